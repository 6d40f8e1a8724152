"""Fire alarm transmitters of GB/T 26875.3-2011 that dial in: what they send is durable, then confirmed.

A fire or a fault goes upstream as an alarm, before anything else and without waiting for room. A frame whose
sum is wrong is denied (command 6), where its station is known; the transmitter sends it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from headgate.sdk import (
    MOST_FAULTS,
    AttendingDriver,
    Block,
    Channel,
    Deliver,
    Device,
    Origin,
    Problem,
    ProfileError,
    Quality,
    Roll,
    SpoolError,
    Unframed,
    shown,
    unix_us,
    zone_problems,
)
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.frames import Command, Fault, encode
from headgate_drivers.gb26875.frames import Frame as Telegram
from headgate_drivers.gb26875.items import Message
from headgate_drivers.gb26875.points import POINT_KEYS, Building, Look, Said, items_of, looks
from headgate_drivers.gb26875.replies import Centre, confirmation, denial, wants_answer

log = logging.getLogger(__name__)

#: A clock that is further off than this is set (type 90), where the profile says so.
CLOCK_OFF_S = 60.0
_LARGEST = 2**48 - 1


class Gb26875Driver(AttendingDriver):
    """A centre for fire alarm transmitters, one call at a time."""

    name: ClassVar[str] = "gb26875"
    schemes: ClassVar[tuple[str, ...]] = ("gb26875+listen", "gb26875+listen+udp")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        super().__init__()
        #: What each transmitter has told, kept over its calls.
        self._buildings: dict[int, Building] = {}

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address that is none, an item that is none, a zone that is none."""
        problems = []
        address = str(device.address)
        if not address.isdecimal() or not 0 < int(address) <= _LARGEST or address[0] == "0":
            fields: dict[str, str | int | float] = {"device": device.id, "address": address}
            problems.append(Problem(f'device "{device.id}": address', "HG-3671", fields))
        try:
            items_of(device)
        except ProfileError as error:
            problems += error.problems
        problems += zone_problems(device)
        if problems:
            raise ProfileError(problems)

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """What recorded bytes told last of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        names, codec, building = items_of(device), Codec(), Building()
        said: dict[str, Said] = {}
        for _, data in frames:
            for found in codec.feed(data):
                frame = found
                if isinstance(frame, Fault):
                    if frame.code != "bad_field" or frame.frame is None:
                        continue
                    frame = frame.frame
                if frame.message is not None:
                    building.alarms(device, frame.message, 0)
                    for look in looks(frame.message, names, building):
                        said.update(look.said)
                if "clock" in names:  # a recording has no other clock than the transmitter's own
                    said[names["clock"]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        await _Talk(channel, roll, deliver, self._buildings).run()


class _Talk:
    """One call: its codec, and who it is."""

    def __init__(
        self, channel: Channel, roll: Roll, deliver: Deliver, buildings: dict[int, Building]
    ) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._buildings = buildings
        self._codec = Codec()
        self._faults = 0
        self._station = ""
        self._block_us = 0
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
        self._faults += 1
        frame = fault.frame
        if frame is not None and fault.code == "bad_field":
            return await self._frame(frame)  # its sum is right: what can be read is stored
        if frame is not None and self._name(frame) == self._station != "":
            device = self._roll.claim(self._station, self._channel)
            if device is not None and wants_answer(frame):
                await self._channel.send(encode(denial(frame, self._now(device))))
        return self._faults < MOST_FAULTS

    def _name(self, frame: Telegram) -> str:
        """Whose frame it is.

        Some transmitters leave their own address out: then it is this call's, or, in the first frame,
        the one that they write as the target.
        """
        return str(frame.source) if frame.source else self._station or str(frame.target)

    async def _frame(self, frame: Telegram) -> bool:
        """One right frame; False ends the call."""
        station = self._name(frame)
        device = self._roll.claim(station, self._channel)
        if device is None:
            return False
        self._station = station
        if frame.message is None or not frame.message.flaws:
            self._faults = 0
        if frame.command in (Command.SEND_DATA, Command.REPLY, Command.CONTROL):
            await self._report(frame, device)
        return True

    async def _report(self, frame: Telegram, device: Device) -> None:
        building = self._buildings.setdefault(device.number, Building())
        message = frame.message or Message(0, 0, ())
        self._block_us = max(self._channel.now_us(), self._block_us + 1)
        known = building.known()
        alarms = building.alarms(device, message, self._block_us)
        blocks = self._blocks(frame, message, device, building)
        # Serial numbers wrap and begin anew: what it says, and when it was sent, belongs to the name.
        said = frame.stamp + frame.adu
        origin = Origin(self._station, f"{frame.command:02X}", frame.serial, None, said)
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
                building.forget(known)
        if wants_answer(frame):
            now = self._now(device)
            await self._channel.send(encode(confirmation(frame, now)))
            await self._judge_clock(frame, device, now)

    def _blocks(
        self, frame: Telegram, message: Message, device: Device, building: Building
    ) -> list[Block]:
        names = items_of(device)
        told = looks(message, names, building)
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

    async def _judge_clock(self, frame: Telegram, device: Device, now: datetime | None) -> None:
        sent = frame.sent_at
        if now is None or self._clock_set or device.quirk("set_clock", "no") != "yes":
            return
        if sent is not None and abs((sent - now).total_seconds()) <= CLOCK_OFF_S:
            return
        self._clock_set = True
        centre = Centre(frame.target, frame.source, frame.version)
        await self._channel.send(encode(centre.set_clock(frame.serial + 1 & 0xFFFF, now)))

    def _now(self, device: Device) -> datetime | None:
        """Now by the transmitter's wall, in its zone; None while our clock is not trusted."""
        return shown(device, self._roll.wall_us())
