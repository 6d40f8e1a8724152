"""Carries out what was accepted: looks once more, writes it down, writes it, and looks what came of it.

Whoever calls holds the device's lane, so one thing at a time is done to a device. The order is what
matters: fresh reading, audit entry on disk, journal on disk, write, read-back, feedback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from headgate.columns import convert
from headgate.env import Env
from headgate.envelope.command import CommandValue
from headgate.errors import DeviceRefused, HeadgateError, SpoolError
from headgate.model import Reading, Value
from headgate.runtime.commands.allowed import HOUR_US, Allowed, Move, Refusal
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.journal import Changes, Journal, Kept, Lease
from headgate.runtime.commands.plant import Plant
from headgate.runtime.commands.telling import Teller, sentence
from headgate.runtime.inverse import same

log = logging.getLogger(__name__)

replace = msgspec.structs.replace

FEEDBACK_EVERY_S: Final = 0.25
#: After a restart a device gets this long to say what became of a command.
RECOVER_S: Final = 60.0
RECOVER_EVERY_S: Final = 2.0


class Job(msgspec.Struct):
    """One accepted command on its way. `request` is the SM3 of the message to be answered."""

    kept: Kept
    request: bytes = b""
    token: bytes | None = None


class Hands:
    """Does what jobs say.

    Args:
        still: the control that a job may be carried out by now; raises Refusal when it may no more.
    """

    def __init__(
        self,
        env: Env,
        journal: Journal,
        plant: Plant,
        teller: Teller,
        still: Callable[[Job], Allowed],
    ) -> None:
        self._env = env
        self._now_us = env.clock.boottime_us
        self._journal = journal
        self._plant = plant
        self._teller = teller
        self._still = still

    # ------------------------------------------------------------ set

    async def set(self, job: Job) -> Kept:
        """Give a point its value; what became of it, told everywhere."""
        try:
            allowed = self._still(job)
            raw = allowed.raw(job.kept.content.value)
            seen = await self.look(allowed)
            before, now = _of(seen, allowed.name)
            start = self.judge(allowed, job.kept.content.value, seen)
        except (HeadgateError, TimeoutError) as error:
            return await self.finish(job, refused(job.kept, error))
        name, now_us, boot = allowed.name, self._now_us(), self._env.clock.boot_id()
        previous, moves = self._journal.leases.get(name), self._journal.moves(name)
        executing = replace(job.kept, state="executing", raw=raw, before=before)
        lease = self._lease(executing, allowed, raw)
        fresh = tuple(m for m in moves if m.boot == boot and now_us - m.at_us < 24 * HOUR_US)
        older = tuple(m for m in moves if m.boot != boot) if now_us < 24 * HOUR_US else ()
        changes = Changes(
            commands=[executing], leases={name: lease},
            moves={name: (*older, *fresh, Move(boot, now_us, start))},
        )  # fmt: skip
        try:
            # The audit log first: what it does not take, nobody knows of, and nothing moves.
            await self._teller.note(executing, now=_plain(now), raw=_plain(raw))
            await self._journal.write(changes)
        except SpoolError as error:
            return await self.finish(job, refused(job.kept, error, "HG-6528"))
        try:
            # Somebody may have locked it meanwhile, or changed what is allowed: a reading takes its time.
            self._still(job)
        except Refusal as error:
            undone: dict[str, Any] = {"leases": {name: previous}, "moves": {name: moves}}
            return await self.finish(job, refused(job.kept, error), **undone)
        job.kept = executing
        done, refused_for_good = await self._write(executing, allowed, raw)
        undo: dict[str, Any] = {}
        if refused_for_good:
            # The device did nothing: what was forced before still is, and nothing has started.
            undo = {"leases": {name: previous}, "moves": {name: moves}}
        return await self.finish(job, done, **undo)

    def _lease(self, kept: Kept, allowed: Allowed, raw: bool | int | float) -> Lease:
        content = kept.content
        assert content.value is not None
        return Lease(
            device=content.device, point=content.point, command=content.command, who=kept.who,
            value=content.value, raw=raw, on_end=allowed.control.on_lease_end, end=allowed.end,
            until_us=self._now_us() + content.lease_s * 1_000_000, boot=self._env.clock.boot_id(),
        )  # fmt: skip

    async def _write(
        self, kept: Kept, allowed: Allowed, raw: bool | int | float
    ) -> tuple[Kept, bool]:
        """What became of the write; and whether the device certainly did nothing."""
        content = kept.content
        try:
            back = await self._plant.write(content.device, content.point, raw)
        except DeviceRefused as error:
            return over(kept, "failed", "HG-6529", None, {"reason": str(error)}), True
        except Exception as error:  # noqa: BLE001 - a driver that breaks may have written
            reason = str(error) or type(error).__name__
            log.warning("a write without an answer", extra={"reason": reason})
            seen = await self._last_look(content.device)
            value = seen.get(content.point)
            now = None if value is None else value.value
            return over(kept, "unknown", "HG-6541", now, {"reason": reason}), False
        value_back = _value(convert(allowed.place.point.conversion, back))
        if not same(allowed.place.point, raw, back):
            fields = {"wanted": content.value, "back": value_back}
            return over(kept, "failed", "HG-6542", value_back, fields), False
        return await self._feedback(kept, allowed, value_back), False

    async def _feedback(self, kept: Kept, allowed: Allowed, back: CommandValue | None) -> Kept:
        """Wait until the feedback point shows it; what was measured counts, not what was sent."""
        if allowed.feedback is None:
            return over(kept, "confirmed", "", back)
        device, point = allowed.feedback
        loop = asyncio.get_running_loop()
        deadline = loop.time() + allowed.control.feedback_within.s
        while True:
            measured = (await self._last_look(device)).get(point)
            if measured is not None and allowed.agrees(measured.value, kept.content.value):
                return over(kept, "confirmed", "", back)
            if loop.time() >= deadline:
                break
            await asyncio.sleep(min(FEEDBACK_EVERY_S, max(0.0, deadline - loop.time())))
        fields = {
            "place": f"{device}/{point}", "measured": "-" if measured is None else measured.value,
            "within": str(allowed.control.feedback_within),
        }  # fmt: skip
        return over(kept, "failed", "HG-6530", back, fields)

    async def _last_look(self, device: str) -> Mapping[str, Reading]:
        try:
            return await self._plant.look(device)
        except (HeadgateError, TimeoutError) as error:
            log.debug("no look", extra={"device": device, "reason": str(error)})
            return {}

    # ------------------------------------------------------------ renew

    async def renew(self, job: Job) -> Kept:
        """Let a lease begin anew; nothing is written."""
        content = job.kept.content
        try:
            allowed = self._still(job)
            raw = allowed.raw(content.value)
            seen = await self.look(allowed)
            lease = self._journal.leases.get(allowed.name)
            forced, _ = _of(seen, allowed.name)
            if (
                lease is None or not self._runs(lease) or type(lease.value) is not type(content.value)
                or lease.value != content.value or not same(allowed.place.point, raw, forced)
            ):  # fmt: skip
                raise Refusal(
                    "no such lease", code="HG-6536", device=content.device, point=content.point
                )
            allowed.conditions({place: r.value for place, r in seen.items()})
        except (HeadgateError, TimeoutError) as error:
            return await self.finish(job, refused(job.kept, error))
        done = over(job.kept, "renewed", "", content.value)
        longer = replace(lease, until_us=self._now_us() + content.lease_s * 1_000_000)
        try:
            await self._teller.note(done)
            await self._journal.write(Changes(commands=[done], leases={lease.name: longer}))
        except SpoolError as error:
            return await self.finish(job, refused(job.kept, error, "HG-6528"))
        return await self.finish(job, done, noted=True)

    def _runs(self, lease: Lease) -> bool:
        """Whether a lease can be shown to run."""
        now_us, boot = self._now_us(), self._env.clock.boot_id()
        return not lease.ending and lease.boot == boot and now_us < lease.until_us

    # ------------------------------------------------------------ before and after

    async def look(self, allowed: Allowed) -> Mapping[Place, Reading]:
        """A fresh reading of all that decides. Raises HeadgateError, TimeoutError."""
        seen: dict[Place, Reading] = {}
        for device in sorted({allowed.control.device, *allowed.asks_for}):
            told = await self._plant.look(device)
            seen.update(((device, point), reading) for point, reading in told.items())
        return seen

    def judge(
        self, allowed: Allowed, value: CommandValue | None, seen: Mapping[Place, Reading]
    ) -> bool:
        """Whether this would start something. Raises Refusal when it must not be done now."""
        _, now = _of(seen, allowed.name)
        allowed.conditions({place: reading.value for place, reading in seen.items()})
        allowed.step(value, now)
        start = allowed.starts(value, now)
        boot = self._env.clock.boot_id()
        allowed.rate(self._journal.moves(allowed.name), start, self._now_us(), boot)
        return start

    async def finish(self, job: Job, done: Kept, *, noted: bool = False, **changes: Any) -> Kept:
        """Keep and tell how a command ended."""
        job.kept = done
        if not noted:
            try:
                await self._journal.write(Changes(commands=[done], **changes))
            except SpoolError as error:
                log.error("a command's end is not written", extra={"reason": str(error)})
            await self._teller.try_note(done)
        lease = self._journal.leases.get((done.content.device, done.content.point))
        left_us = None
        if lease is not None and done.state in ("confirmed", "renewed"):
            left_us = max(0, lease.until_us - self._now_us())
        await self._teller.report(done, left_us)
        self._teller.answer(done, job.request, lease_ms=(left_us or 0) // 1000)
        return done

    # ------------------------------------------------------------ after a crash

    async def recover(self, kept: Kept, allowed: Allowed | None) -> Kept:
        """What can be said of a command that was executing when the last run ended. Never repeats it."""
        job = Job(kept, kept.request)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RECOVER_S
        content = kept.content
        while True:
            own = (await self._last_look(content.device)).get(content.point)
            shown = None
            if allowed is not None and allowed.feedback is not None:
                shown = (await self._last_look(allowed.feedback[0])).get(allowed.feedback[1])
            if own is not None or loop.time() >= deadline:
                break
            await asyncio.sleep(RECOVER_EVERY_S)
        value = None if own is None else _value(own.value)
        told = (
            allowed is not None and own is not None and kept.raw is not None
            and same(allowed.place.point, kept.raw, own.raw)
            and kept.before is not None and not same(allowed.place.point, kept.raw, kept.before)
            and (allowed.feedback is None
                 or (shown is not None and allowed.agrees(shown.value, content.value)))
        )  # fmt: skip
        state, code = ("confirmed", "") if told else ("unknown", "HG-6532")
        return await self.finish(job, over(kept, state, code, value))


def refused(kept: Kept, error: Exception, code: str | None = None) -> Kept:
    """A command that was not carried out, and why."""
    if isinstance(error, Refusal):
        return over(kept, "refused", error.code, None, error.fields)
    if isinstance(error, SpoolError):
        return over(kept, "refused", code or "HG-6528", None, {"reason": str(error)})
    reason = str(error) or "no answer in time"
    return over(kept, "refused", code or "HG-6529", None, {"reason": reason})


def over(
    kept: Kept,
    state: str,
    code: str = "",
    value: Value = None,
    fields: Mapping[str, object] | None = None,
) -> Kept:
    """A command in its last state, with the sentence that says why."""
    said = {name: _said(each) for name, each in (fields or {}).items()}
    text = sentence(code, said)
    return replace(
        kept, state=state, code=code, text=text[:400], value=_value(value), fields=said
    )  # fmt: skip


def _of(seen: Mapping[Place, Reading], place: Place) -> tuple[bool | int | float | None, Value]:
    """Raw value and value of a point, None for what nobody knows."""
    reading = seen.get(place)
    if reading is None or not isinstance(reading.raw, (bool, int, float)):
        return None, None
    return reading.raw, reading.value


def _value(value: Value) -> CommandValue | None:
    return None if isinstance(value, bytes) else value


def _said(value: object) -> str | int | float | bool | None:
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _plain(value: Value) -> str | int | float | bool | None:
    return value.hex() if isinstance(value, bytes) else value
