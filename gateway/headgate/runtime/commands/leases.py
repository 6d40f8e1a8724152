"""Lets go of what was forced: at the end of a lease, after a reboot, when the journal is lost, or when asked.

A lease that cannot be shown to run has ended. Its end was authorised and written down with the command, so
it waits for nobody: not for the link, not for the audit log, and for a device only until it answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import msgspec

from headgate.env import Env
from headgate.envelope.command import Content, Operation, Step
from headgate.errors import HeadgateError, SpoolError
from headgate.model import Value
from headgate.runtime.commands.allowed import UNSEEN, Allowed, Refusal
from headgate.runtime.commands.hands import over
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.journal import Changes, Journal, Kept, Lease
from headgate.runtime.commands.lanes import Lane
from headgate.runtime.commands.plant import Plant
from headgate.runtime.commands.telling import Teller

log = logging.getLogger(__name__)

replace = msgspec.structs.replace

LOOK_EVERY_S: Final = 1.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
#: Tries after which people are told.
TELL_AFTER: Final = 3


class Leases:
    """Ends leases. `run` until cancelled."""

    def __init__(
        self,
        env: Env,
        gateway: str,
        journal: Journal,
        plant: Plant,
        teller: Teller,
        lane: Callable[[str], Lane],
        controls: Callable[[], Mapping[Place, Allowed]],
        number: Callable[[str], int],
    ) -> None:
        self._env = env
        self._gateway = gateway
        self._journal = journal
        self._plant = plant
        self._teller = teller
        self._lane = lane
        self._controls = controls
        self._number = number
        self._ending: dict[Place, asyncio.Task[None]] = {}
        #: When the leases were last looked at.
        self.looked_us = env.clock.boottime_us()

    # ------------------------------------------------------------ which

    async def run(self) -> None:
        """Look each second which lease is over."""
        while True:
            try:
                self.look()
            except Exception:
                # Whatever it is: the next second looks again, or nothing would ever be let go.
                log.exception("leases were not looked at")
            else:
                self.looked_us = self._env.clock.boottime_us()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Begin to end every lease that cannot be shown to run."""
        boot, now_us = self._env.clock.boot_id(), self._env.clock.boottime_us()
        for place, lease in list(self._journal.leases.items()):
            why = lease.ending
            if not why and lease.boot != boot:
                why = "reboot"
            elif not why and lease.until_us <= now_us:
                why = "time"
            if why and place not in self._ending:
                loop = asyncio.get_running_loop()
                task = loop.create_task(self._end(lease, why), name=f"lease {'/'.join(place)}")
                self._ending[place] = task
                task.add_done_callback(partial(self._ended, place))

    def _ended(self, place: Place, task: asyncio.Task[None]) -> None:
        if self._ending.get(place) is task:
            del self._ending[place]
        if not task.cancelled() and task.exception() is not None:
            # Begun again with the next look: a bug must not leave a pump forced.
            log.error("the end of a lease broke off", exc_info=task.exception())

    def lost(self, controls: Iterable[Allowed]) -> None:
        """The journal was damaged: what may have been forced is taken as forced, and over."""
        for allowed in controls:
            if allowed.end is None:
                continue
            self._journal.leases[allowed.name] = Lease(
                device=allowed.control.device, point=allowed.control.point,
                command=self._env.random.token(16), who="gateway", value=False, raw=False,
                on_end=allowed.control.on_lease_end, end=allowed.end, until_us=0,
                boot=self._env.clock.boot_id(), ending="journal",
            )  # fmt: skip

    async def stop(self) -> None:
        """Leave off; what is not ended is ended after the next start."""
        for task in list(self._ending.values()):
            task.cancel()
        await asyncio.gather(*self._ending.values(), return_exceptions=True)

    # ------------------------------------------------------------ the end

    async def _end(self, lease: Lease, why: str) -> None:
        lane = self._lane(lease.device)
        pause_s, tries, alarmed, noted = FIRST_PAUSE_S, 0, False, False
        while True:
            async with lane.lock:
                now = self._journal.leases.get(lease.name)
                if now is None or now.command != lease.command or not self._over(now, why):
                    return  # another command, or a renewal, was faster
                kept = self.kept(lease, "gateway")
                if not noted:
                    fields = {"why": why, "on_lease_end": lease.on_end}
                    noted = await self._teller.try_note(replace(kept, state="ending"), **fields)
                try:
                    await self.write(lease)
                except (HeadgateError, TimeoutError) as error:
                    reason = str(error) or "no answer in time"
                else:
                    await self.over(lease, kept, why)
                    if alarmed:
                        self._teller.alarm(kept, active=False)
                    return
            tries += 1
            log.warning(
                "a lease cannot be ended yet",
                extra={"device": lease.device, "point": lease.point, "reason": reason},
            )
            if tries == TELL_AFTER:
                alarmed = True
                self._teller.alarm(replace(kept, text=reason), active=True)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _over(self, lease: Lease, why: str) -> bool:
        return why != "time" or lease.until_us <= self._env.clock.boottime_us()

    async def write(self, lease: Lease) -> None:
        """Write what the end of a lease is. The device's lane is held.

        Raises:
            HeadgateError, TimeoutError: not done; the switch is on local, or the device did not take it.
        """
        if lease.end is None:
            return
        allowed = self._controls().get(lease.name)
        if allowed is not None and allowed.remote is not None:
            await self._on_remote(allowed)
        end = lease.end
        back = await self._plant.write(end.device, end.point, end.raw)
        if not isinstance(back, (bool, int, float)) or not math.isclose(
            back, end.raw, rel_tol=1e-6
        ):
            raise Refusal(
                f"{end.device}/{end.point} reads {back!r} after {end.raw}", code="HG-6542",
                wanted=end.raw, back=repr(back),
            )  # fmt: skip

    async def _on_remote(self, allowed: Allowed) -> None:
        """Raise Refusal while the switch is seen on local.

        One that cannot be seen stops nothing: letting go is the safe side of this doubt, and a PLC on local
        does not listen.
        """
        assert allowed.remote is not None
        seen: dict[Place, Value] = {}
        for device in {device for device, _ in allowed.remote.places}:
            try:
                told = await self._plant.look(device)
            except (HeadgateError, TimeoutError):
                return
            seen.update(((device, point), reading.value) for point, reading in told.items())
        try:
            replace(allowed, interlock=()).conditions(seen)
        except Refusal as error:
            if error.code != UNSEEN:
                raise

    async def over(self, lease: Lease, kept: Kept, why: str) -> Kept:
        """Keep and tell that a lease is over; its end is written. The device's lane is held."""
        what = "hold" if lease.end is None else f"{lease.end.point} = {lease.end.raw}"
        fields = {"why": why, "what": what, "device": lease.device, "point": lease.point}
        done = over(kept, "ended", "HG-6537", None, fields)
        known = self._journal.command(lease.command)
        ended = [] if known is None else [replace(done, who=known.who)]
        try:
            await self._journal.write(Changes(leases={lease.name: None}, commands=ended))
        except SpoolError as error:
            # Ended once more after a restart, which harms nobody.
            log.error("the end of a lease is not written", extra={"reason": str(error)})
            self._journal.leases.pop(lease.name, None)
        await self._teller.try_note(done, why=why)
        await self._teller.report(done)
        return done

    def kept(self, lease: Lease, who: str) -> Kept:
        """The command that began a lease, as far as its end is told of it."""
        known = self._journal.command(lease.command)
        if known is not None:
            return replace(known, who=who, value=None)
        content = Content(
            self._gateway, lease.device, lease.point, Operation.RELEASE, None, "", lease.command,
            0, 1, 0,
        )  # fmt: skip
        return Kept(
            content=content, issuer=b"", who=who, step=Step.OPERATE.value, state="ended",
            at_us=self._env.clock.boottime_us(), boot=self._env.clock.boot_id(),
            number=self._number(lease.device),
        )  # fmt: skip
