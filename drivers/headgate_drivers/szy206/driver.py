"""Stations of SZY 206-2016 and SL/T 427-2021 that dial in: what they report is durable, then confirmed.

A confirmation sets the station's clock. So it holds our time only while our clock is trusted; otherwise the
station gets its own time back and keeps the clock that it has. A frame that is wrong is not answered: the
station sends it again with FCB one less, at most three times.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

import msgspec

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
from headgate_drivers.szy206 import body
from headgate_drivers.szy206.body import REPORTS, Reading
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.frames import PICTURES, Afn, Fault, encode
from headgate_drivers.szy206.frames import Frame as Telegram
from headgate_drivers.szy206.items import LOG_OUT, Label, Message
from headgate_drivers.szy206.pictures import Assembly
from headgate_drivers.szy206.points import POINT_KEYS, Said, items_of, said_by
from headgate_drivers.szy206.replies import confirmation, label_of, wants_answer

log = logging.getLogger(__name__)

#: FCB of what is sent for the first time.
_FIRST = 3


class Szy206Driver(AttendingDriver):
    """A centre for water resources stations, one call at a time."""

    name: ClassVar[str] = "szy206"
    schemes: ClassVar[tuple[str, ...]] = ("szy206+listen", "szy206+listen+udp")
    point_keys = POINT_KEYS

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address, an item, a zone or a quirk that is none."""
        problems = []
        address = str(device.address)
        fields: dict[str, str | int | float] = {"device": device.id}
        if len(address) != 10 or not set(address) <= set("0123456789ABCDEF"):
            where = f'device "{device.id}": address'
            problems.append(Problem(where, "HG-3661", fields | {"address": address}))
        for key, allowed in (("label", ("auto", "5", "7")), ("words", ("low", "high"))):
            value = str(device.quirks.get(key, allowed[0]))
            if value not in allowed:
                wrong = fields | {"key": key, "value": value}
                problems.append(Problem(f"{device.id}: quirks.{key}", "HG-3662", wrong))
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
        names, codec, pictures = items_of(device), Codec(), Assembly()
        said: dict[str, Said] = {}
        for _, data in frames:
            for found in codec.feed(data):
                frame = found.frame if isinstance(found, Fault) else found
                if frame is None or not frame.up:
                    continue
                if frame.afn in PICTURES:
                    whole = pictures.add(frame)
                    if whole is not None and "picture" in names:
                        said[names["picture"]] = whole, Quality.GOOD, 0
                elif (message := body.read(frame, _reading(device))) is not None:
                    said.update(said_by(message, names))
                    if "clock" in names:  # a recording has no other clock than the station's own
                        said[names["clock"]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        await _Talk(channel, roll, deliver).run()


class _Talk:
    """One call: its codec, the parts of a picture, and how long the station's time labels are."""

    def __init__(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._codec = Codec()
        self._pictures = Assembly()
        self._faults = 0
        self._long_label = True
        #: Of reports without a time: the last one, and when it came.
        self._undated: tuple[bytes, int] = (b"", 0)

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
        """What is no right frame is told; with a right check it is stored as far as it can be read."""
        self._roll.faulty(self._channel, fault.code, raw)
        self._faults += 1
        if fault.frame is not None and self._faults < MOST_FAULTS:
            return await self._frame(fault.frame, right=False)
        return self._faults < MOST_FAULTS

    async def _frame(self, frame: Telegram, *, right: bool = True) -> bool:
        """One frame whose check is right; False ends the call."""
        if not frame.up:
            return True  # an echo of our own, or somebody who is a centre himself
        device = self._roll.claim(frame.address, self._channel)
        if device is None:
            return False
        if right:
            self._faults = 0
        frame = msgspec.structs.replace(frame, message=body.read(frame, _reading(device)))
        if frame.afn == Afn.LINK:
            await self._channel.send(encode(confirmation(frame, None)))
            return frame.message is None or frame.message.link != LOG_OUT
        if frame.afn in PICTURES:
            await self._picture(frame, device)
        elif frame.afn in REPORTS and frame.message is not None:
            await self._report(frame, frame.message, device)
        return True

    async def _picture(self, part: Telegram, device: Device) -> None:
        """Each part is confirmed; the last one when the whole picture is on disk."""
        whole = self._pictures.add(part)
        names = items_of(device)
        if whole is not None and "picture" in names:
            said: dict[str, Said] = {names["picture"]: (whole, Quality.GOOD, 0)}
            block = device.partial(self._channel.now_us(), said)
            if not await self._durable(part, device, [block], whole):
                return
        now = self._now(device)
        label = None if now is None else label_of(now, long=self._long_label)
        await self._channel.send(encode(confirmation(part, label, _mode(device))))

    async def _report(self, frame: Telegram, message: Message, device: Device) -> None:
        names = items_of(device)
        said = said_by(message, names)
        now, label = self._now(device), message.label
        if label is not None:
            self._long_label = label.month is not None
        # Five bytes of time have no month: without a clock of ours nobody knows which.
        when = None if label is None else label.near(now) if now is not None else label.at
        if "clock" in names and when is not None and now is not None:
            said[names["clock"]] = (when - now).total_seconds(), Quality.GOOD, 0
        own_us = None if when is None else unix_us(device, when)
        block = device.partial(self._channel.now_us(), said, device_time_us=own_us)
        # FCB counts down when it is sent again: it is no part of the name.
        known_us = own_us if own_us is not None else self._undated_us(frame)
        name = b"%d %b" % (known_us, frame.data)
        if await self._durable(frame, device, [block], name) and wants_answer(frame):
            await self._channel.send(
                encode(confirmation(frame, self._answer_label(device, label), _mode(device)))
            )

    def _undated_us(self, frame: Telegram) -> int:
        """What tells a report without a time from the same one sent again: FCB counts down then."""
        data, came_us = self._undated
        if frame.tries == _FIRST or data != frame.data:
            data, came_us = self._undated = frame.data, self._channel.now_us()
        return came_us

    async def _durable(
        self, frame: Telegram, device: Device, blocks: list[Block], said: bytes
    ) -> bool:
        function = f"{frame.afn:02X}.{frame.kind:X}"
        try:
            await self._deliver(blocks, Origin(frame.address, function, 0, None, said))
        except SpoolError as error:
            # Not confirmed, so the station keeps it and sends it again.
            log.warning("report not confirmed", extra={"device": device.id, "reason": str(error)})
            return False
        return True

    def _answer_label(self, device: Device, own: Label | None) -> Label | None:
        """Our time while it is trusted and may be given; else the station's own: it sets its clock by it."""
        now = self._now(device)
        if now is None or device.quirk("set_clock", "yes") == "no":
            return own
        return label_of(now, long=self._long_label)

    def _now(self, device: Device) -> datetime | None:
        """Now by the station's wall, in its zone; None while our clock is not trusted."""
        return shown(device, self._roll.wall_us())


def _reading(device: Device) -> Reading:
    label = str(device.quirks.get("label", "auto"))
    words = str(device.quirks.get("words", "low"))
    return Reading(
        5 if label == "5" else 7 if label == "7" else 0, "big" if words == "high" else "little"
    )


def _mode(device: Device) -> int:
    mode = device.quirks.get("work_mode", 0)
    return mode if isinstance(mode, int) and 0 <= mode <= 3 else 0
