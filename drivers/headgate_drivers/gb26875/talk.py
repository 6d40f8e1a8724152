"""One call of a fire alarm transmitter: what it says is stored and confirmed, or denied.

A frame that fails a check of clause 6.5.3 is denied (command 6), where its station is known; the transmitter
sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from headgate.sdk import (
    MOST_FAULTS,
    Block,
    Channel,
    Deliver,
    Device,
    Origin,
    Quality,
    Questions,
    Roll,
    SpoolError,
    Unframed,
    shown,
    unix_us,
)
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import OWN, Command, Fault, Frame, encode
from headgate_drivers.gb26875.items import Message
from headgate_drivers.gb26875.points import Building, Look, items_of, looks, strange
from headgate_drivers.gb26875.replies import (
    RESENDS,
    Centre,
    confirmation,
    denial,
    set_clock,
    wants_answer,
)

log = logging.getLogger(__name__)

#: A clock that is further off than this is set (type 90), where the profile says so.
CLOCK_OFF_S = 60.0


class Known:
    """What is kept of one transmitter over its calls: what it told of the building, how it is spoken to."""

    def __init__(self) -> None:
        self.building = Building()
        self.centre = Centre()
        #: Whether what it had raised before a restart stands in `building`.
        self.recalled = False


class Talk:
    """One call. `about`: what is known of a device; `questions`: who waits for answers."""

    def __init__(
        self,
        channel: Channel,
        roll: Roll,
        deliver: Deliver,
        about: Callable[[Device], Known],
        questions: Questions[Frame],
    ) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._about, self._questions = about, questions
        self._codec = Codec()
        self._faults = 0
        self._station = ""
        self._block_us = 0
        #: Its clock is set by this matter of ours; how often that was said, whether it was confirmed.
        self._setting = -1
        self._settings = 0
        self._clock_set = False

    async def run(self) -> None:
        """Until the call ends, or it is nobody of ours."""
        async for piece in self._channel.frames(Unframed()):
            for found in self._codec.feed(piece.payload):
                if isinstance(found, Fault):
                    if not await self._fault(found, piece.payload):
                        return
                elif not await self._frame(found):
                    return

    async def _fault(self, fault: Fault, raw: bytes) -> bool:
        self._roll.faulty(self._channel, fault.code, raw)
        if fault.code == "bad_field" and fault.frame is not None:
            # Its sum is right: what can be read is stored, and it is confirmed.
            return await self._frame(fault.frame)
        self._faults += 1
        frame = fault.frame
        if frame is not None and self._name(frame) == self._station != "":
            device = self._roll.claim(self._station, self._channel)
            if device is not None and wants_answer(frame):
                await self._channel.send(encode(denial(frame, self._now(device))))
        return self._faults < MOST_FAULTS

    def _name(self, frame: Frame) -> str:
        """Whose frame it is.

        Some transmitters leave their own address out: then it is this call's, or, in the first frame,
        the one that they write as the target.
        """
        return str(frame.source) if frame.source else self._station or str(frame.target)

    async def _frame(self, frame: Frame) -> bool:
        """One right frame; False ends the call."""
        station = self._name(frame)
        device = self._roll.claim(station, self._channel)
        if device is None:
            return False
        self._station = station
        known = self._about(device)
        known.centre.heard(frame)
        if not known.recalled:
            known.recalled = True
            known.building.recall(self._roll.standing(device))
        if wants_answer(frame) or frame.command >= OWN:
            self._roll.relay(station, encode(frame), answered=wants_answer(frame))
        match frame.command:
            case Command.SEND_DATA | Command.CONTROL:
                await self._report(frame, device)
            case Command.ACK | Command.REPLY | Command.DENY:
                await self._answered(frame, device)
            case number if number >= OWN:
                await self._report(frame, device)
            case _:
                return await self._unknown(frame, device)
        self._faults = 0
        return True

    async def _unknown(self, frame: Frame, device: Device) -> bool:
        """A command that is reserved, or a centre's own: one more check that failed (clause 6.5.3)."""
        self._roll.faulty(self._channel, "bad_command", encode(frame))
        self._faults += 1
        await self._channel.send(encode(denial(frame, self._now(device))))
        return self._faults < MOST_FAULTS

    async def _answered(self, frame: Frame, device: Device) -> None:
        """To something that we began: what it tells is on disk before whoever asked has it."""
        if frame.serial == self._setting and frame.command == Command.ACK:
            self._clock_set = True
        if frame.command == Command.REPLY:
            await self._report(frame, device)
        self._questions.heard(self._channel, device, frame.serial, frame)

    async def _report(self, frame: Frame, device: Device) -> None:
        building, own = self._about(device).building, frame.command >= OWN
        message = frame.message or Message(0, 0, ())
        self._block_us = max(self._channel.now_us(), self._block_us + 1)
        shown = Message(0, 0, ()) if own else message
        asked = frame.command == Command.REPLY
        alarms = building.alarms(device, shown, self._block_us, asked)
        before = building.before()
        blocks = self._blocks(frame, message, device, building)
        kind = f"{frame.command:02X}"
        origin = Origin(self._station, kind, frame.serial, None, identity(frame, message))
        kept = False
        try:
            await self._deliver(blocks, origin, alarms)
            kept = True
        except SpoolError as error:
            # Not confirmed, so the transmitter sends it again.
            log.warning("report not confirmed", extra={"device": device.id, "reason": str(error)})
            return
        finally:
            if not kept:  # its alarms are raised again when it comes again
                building.forget(before)
        if wants_answer(frame) or (own and device.quirk("confirm_own", "no") == "yes"):
            now = self._now(device)
            await self._channel.send(encode(confirmation(frame, now)))
            await self._judge_clock(frame, device, now)

    def _blocks(
        self, frame: Frame, message: Message, device: Device, building: Building
    ) -> list[Block]:
        names, own = items_of(device), frame.command >= OWN
        told = strange(frame, names) if own else looks(message, names, building)
        now, sent = self._now(device), frame.sent_at
        if "clock" in names and now is not None and sent is not None:
            told = told or [Look(None, {})]
            told[-1].said[names["clock"]] = (sent - now).total_seconds(), Quality.GOOD, 0
        blocks = []
        for look in told:
            when = look.at or sent
            own_us = None if when is None else unix_us(device, when)
            blocks.append(device.partial(self._block_us, look.said, device_time_us=own_us))
            self._block_us += 1  # several looks within one microsecond: ours must differ
        return blocks

    async def _judge_clock(self, frame: Frame, device: Device, now: datetime | None) -> None:
        """Set a clock that is wrong; again with a later report where it was not confirmed (clause 6.2.3)."""
        sent = frame.sent_at
        if now is None or self._clock_set or device.quirk("set_clock", "no") != "yes":
            return
        if sent is not None and abs((sent - now).total_seconds()) <= CLOCK_OFF_S:
            return
        if self._settings > RESENDS:
            return
        centre = self._about(device).centre
        if not self._settings:
            self._setting = centre.number()
        self._settings += 1
        said = centre.say(Command.CONTROL, set_clock(now), self._setting, now)
        await self._channel.send(encode(said))

    def _now(self, device: Device) -> datetime | None:
        """Now by the transmitter's wall, in its zone; None while our clock is not trusted."""
        return shown(device, self._roll.wall_us())


def identity(frame: Frame, message: Message) -> bytes:
    """What a frame and its repetition have in common beside the serial number, which wraps and begins anew.

    The time in the head is that of sending (table 1), so a repetition may bear another one. Only where no
    object says when it happened is that time what tells one from the next.
    """
    if any(getattr(item, "at", None) is not None for item in message.items):
        return frame.adu
    return frame.stamp + frame.adu
