"""Whoever stands at the box: goes first, obeys the same controls, and can lock the others out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec

from headgate.columns import convert
from headgate.env import Env
from headgate.envelope.command import CommandValue, Content, Operation, Step
from headgate.errors import HeadgateError
from headgate.model import Value
from headgate.runtime.api import Handler
from headgate.runtime.audited import who
from headgate.runtime.commands.allowed import Allowed, Refusal
from headgate.runtime.commands.desk import Desk
from headgate.runtime.commands.hands import Job
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.journal import Changes, Kept, Lock
from headgate.runtime.inverse import raw_for
from headgate.sdk import DevicePoint

#: Commands that `headgate control` shows.
MOST_SHOWN: Final = 50
_REASON: Final = 200


class Local:
    """The technician's calls. `open_writes`: points without a control may be written by hand."""

    def __init__(self, env: Env, gateway: str, desk: Desk) -> None:
        self._env = env
        self._gateway = gateway
        self._desk = desk
        self.open_writes = True

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {
            "controls": self.controls, "control-lock": self.lock, "control-unlock": self.unlock,
            "control-release": self.release,
        }  # fmt: skip

    # ------------------------------------------------------------ write

    def control(self, place: Place) -> Allowed | None:
        """The control that a write by hand obeys; None where there is none, and need be none.

        Raises:
            Refusal: the controls are not in force, or this point may not be written without one.
        """
        if self._desk.in_force.reason:
            return self._desk.controlled(place)
        allowed = self._desk.in_force.controls.get(place)
        if allowed is None and not self.open_writes:
            device, point = place
            raise Refusal("no control", code="HG-6543", device=device, point=point)
        if allowed is not None and allowed.control.people > 1:
            # Whoever stands here is one person, and nobody can tell which.
            raise Refusal("two people", code="HG-6519", people=allowed.control.people, have="local")
        return allowed

    async def write(self, allowed: Allowed, wanted: Value, peer: str) -> Kept:
        """Set a point by hand, as any command would be. Never raises: the state says what became of it.

        Raises:
            HeadgateError: the value is nothing that the point can be.
        """
        value = typed(allowed.control.device, allowed.place, wanted)
        allowed.raw(value)
        lease_s = max(1, int(allowed.control.lease.s))
        return await self._do(allowed, Operation.SET, value, lease_s, peer)

    async def _do(
        self,
        allowed: Allowed,
        operation: Operation,
        value: CommandValue | None,
        lease_s: int,
        peer: str,
    ) -> Kept:
        device, point = allowed.name
        command = self._env.random.token(16)
        content = Content(
            self._gateway, device, point, operation, value, allowed.place.point.unit, command, 0, 1,
            lease_s,
        )  # fmt: skip
        kept = Kept(
            content=content, issuer=b"", who=f"local:{peer}", step=Step.OPERATE.value, state="accepted",
            at_us=self._env.clock.boottime_us(), boot=self._env.clock.boot_id(), spent=True,
            number=allowed.device.number,
        )  # fmt: skip
        await self._desk.clear(device, point, "superseded", "HG-6526")
        async with self._desk.lane(device).lock:
            job = Job(kept)
            if operation is Operation.RELEASE:
                return await self._desk.release(job)
            return await self._desk.hands.set(job)

    # ------------------------------------------------------------ the calls

    async def controls(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Every control, what is forced, the last commands, the lock."""
        yield self.status()

    async def lock(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Take no remote commands until `unlock`, over restarts too. What waits is cancelled."""
        reason = str(request.get("reason", ""))[:_REASON]
        clock = self._env.clock
        lock = Lock(who(request), reason, clock.boottime_us(), clock.boot_id())
        await self._desk.teller.switched(lock.who, "locked", reason=reason)
        await self._desk.journal.write(Changes(lock=lock))
        self._desk.teller.event("remote-locked", who=lock.who, reason=reason)
        for device in self._desk.devices:
            await self._desk.clear(device, None, "cancelled", "HG-6522")
        # Whoever reads "locked" may reach for the shaft: what is in hand has ended by then.
        await self._desk.quiet()
        yield msgspec.to_builtins({"locked": True, "who": lock.who, "reason": reason})

    async def unlock(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Take remote commands again."""
        await self._desk.teller.switched(who(request), "unlocked")
        await self._desk.journal.write(Changes(unlock=True))
        self._desk.teller.event("remote-unlocked", who=who(request))
        yield {"locked": False}

    async def release(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """End a lease now, by its rule."""
        place = (str(request.get("device", "")), str(request.get("point", "")))
        allowed = self._desk.controlled(place)
        done = await self._do(allowed, Operation.RELEASE, None, 0, who(request))
        if done.state != "confirmed":
            raise HeadgateError(done.text, code=done.code, **done.fields)
        yield {"device": place[0], "point": place[1], "state": done.state}

    # ------------------------------------------------------------ what it tells

    def status(self) -> dict[str, Any]:
        """Controls, leases, the last commands and the lock, as the local API says them."""
        desk, journal = self._desk, self._desk.journal
        now_us, boot = self._env.clock.boottime_us(), self._env.clock.boot_id()
        lock = journal.lock
        leases = [
            {
                "device": lease.device, "point": lease.point, "value": lease.value, "who": lease.who,
                "left_s": max(0, lease.until_us - now_us) / 1e6 if lease.boot == boot else 0.0,
                "on_lease_end": lease.on_end, "ending": lease.ending,
            }
            for lease in journal.leases.values()
        ]  # fmt: skip
        commands = [
            {
                "command": kept.content.command.hex(), "device": kept.content.device,
                "point": kept.content.point, "operation": kept.content.operation.value,
                "value": kept.content.value, "who": kept.who, "step": kept.step,
                "state": kept.state, "code": kept.code, "text": kept.text,
                "fields": dict(kept.fields), "back": kept.value,
                "age_s": (now_us - kept.at_us) / 1e6 if kept.boot == boot else None,
            }
            for kept in journal.commands()[-MOST_SHOWN:]
        ]  # fmt: skip
        return {
            "in_force": not desk.in_force.reason,
            "reason": desk.in_force.reason,
            "locked": None if lock is None else {"who": lock.who, "reason": lock.reason},
            "journal_damaged": journal.damaged,
            "controls": [_shown(allowed) for allowed in desk.in_force.controls.values()],
            "leases": leases,
            "commands": commands,
            "refused": dict(desk.door.refusals),
        }


def typed(device: str, place: DevicePoint, wanted: Value) -> CommandValue:
    """What a person wrote, as a value of the point's type. Raises DeviceRefused."""
    value = convert(place.point.conversion, raw_for(device, place, wanted))
    if value is None or isinstance(value, bytes):
        raise Refusal("no such value", code="HG-6512", wanted=place.point.type, said=str(wanted))
    return value


def _shown(allowed: Allowed) -> dict[str, Any]:
    control = allowed.control
    return {
        "device": control.device, "point": control.point, "unit": allowed.place.point.unit,
        "operations": list(control.operations), "min": control.min, "max": control.max,
        "people": control.people, "lease_s": control.lease.s, "on_lease_end": control.on_lease_end,
        "interlock": list(control.interlock), "remote_when": control.remote_when,
    }  # fmt: skip
