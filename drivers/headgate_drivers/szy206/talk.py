"""One call of a station: what it reports is on disk before it is confirmed.

A confirmation sets the station's clock. So it holds our time only while our clock is trusted; otherwise the
station gets its own time back and keeps the clock that it has. A frame that is wrong is not answered: the
station sends it again with FCB one less, at most three times.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from headgate.sdk import (
    MOST_FAULTS,
    Block,
    Channel,
    Deliver,
    Device,
    Origin,
    Quality,
    Roll,
    SpoolError,
    Unframed,
    shown,
    unix_us,
)
from headgate_drivers.szy206 import body
from headgate_drivers.szy206.body import REPORTS, Reading
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.frames import PICTURES, Afn, Fault, encode
from headgate_drivers.szy206.frames import Frame as Telegram
from headgate_drivers.szy206.items import LOG_OUT, Edition, Label, Message
from headgate_drivers.szy206.parts import Assembly
from headgate_drivers.szy206.points import Said, items_of, said_by
from headgate_drivers.szy206.replies import confirmation, label_of, wants_answer

log = logging.getLogger(__name__)

#: FCB of what is sent for the first time.
_FIRST = 3
#: What a station says by itself has a time, but for some.
PROMPT = (Afn.REPORT, Afn.ALARM, Afn.BY_HAND)
#: Told each right frame of a station of ours, with how long its time labels are.
Heard = Callable[[Channel, Device, Telegram, bool], None]


class Talk:
    """One call: its codec, messages in parts, and how long the station's time labels are."""

    def __init__(self, channel: Channel, roll: Roll, deliver: Deliver, heard: Heard) -> None:
        self._channel, self._roll, self._deliver, self._heard = channel, roll, deliver, heard
        self._codec = Codec()
        self._pictures, self._reports = Assembly(), Assembly()
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
        frame = msgspec.structs.replace(
            frame, message=body.read(frame, self._reading(frame, device))
        )
        self._roll.relay(frame.address, partial(encode, frame), answered=wants_answer(frame))
        if frame.afn == Afn.LINK:
            await self._channel.send(encode(confirmation(frame, None)))
            return frame.message is None or frame.message.link != LOG_OUT
        if frame.afn in PICTURES:
            await self._picture(frame, device)
        elif frame.afn in REPORTS:
            await self._said(frame, device)
        self._heard(self._channel, device, frame, self._long_label)
        return True

    def _reading(self, frame: Telegram, device: Device) -> Reading:
        """By its quirks. What has no time in it is of the edition that the station's reports are of."""
        how = reading_of(device)
        if not how.edition and not self._long_label and frame.afn not in PROMPT:
            return how._replace(edition="szy206")
        return how

    async def _said(self, frame: Telegram, device: Device) -> None:
        """A report, or a part of one."""
        if not frame.parts:
            await self._report(frame, device)
            return
        parts = self._reports.add(frame)
        if parts is not None:
            whole = body.joined(frame, parts, reading_of(device))
            # The last of several looks the same as one of one: who lost the others cannot vouch for it.
            await self._report(whole, device, confirms=frame, vouched=len(parts) > 1)
        elif wants_answer(frame):
            await self._confirm(frame, device, None)

    async def _picture(self, part: Telegram, device: Device) -> None:
        """Each part is confirmed; the last one when the whole picture is on disk."""
        parts = self._pictures.add(part)
        names = items_of(device)
        if parts is not None and "picture" in names:
            whole = b"".join(parts)
            said = {names["picture"]: picture_of(whole)}
            block = device.partial(self._channel.now_us(), said)
            if not await self._durable(part, device, [block], whole):
                return
        now = self._now(device)
        label = None if now is None else label_of(now, long=self._long_label)
        await self._channel.send(encode(confirmation(part, label, _mode(device))))

    async def _report(
        self,
        frame: Telegram,
        device: Device,
        *,
        confirms: Telegram | None = None,
        vouched: bool = True,
    ) -> None:
        message = frame.message or Message()
        names = items_of(device)
        said = said_by(message, names)
        if not vouched:
            said = {
                point: (value, max(quality, Quality.UNCERTAIN), status)
                for point, (value, quality, status) in said.items()
            }
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
            await self._confirm(confirms or frame, device, label)

    async def _confirm(self, frame: Telegram, device: Device, own: Label | None) -> None:
        told = confirmation(frame, self._answer_label(device, own), _mode(device))
        await self._channel.send(encode(told))

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


#: How files of pictures begin: JPEG, PNG, GIF, BMP.
_PICTURE_MARKS = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM")


def picture_of(whole: bytes) -> Said:
    """A picture without a beginning lacks what came before we were there."""
    begins = whole.startswith(_PICTURE_MARKS)
    return whole, Quality.GOOD if begins else Quality.UNCERTAIN, 0


EDITIONS: dict[str, Edition] = {
    "slt427": "slt427", "szy206": "szy206", "szy206-2012": "szy206-2012",
}  # fmt: skip


def reading_of(device: Device) -> Reading:
    """How a station's data is read, by its quirks."""
    label = device.quirk("label", "auto")
    words = device.quirk("words", "low")
    return Reading(
        5 if label == "5" else 7 if label == "7" else 0,
        "big" if words == "high" else "little",
        EDITIONS.get(device.quirk("edition", "auto"), ""),
    )


def _mode(device: Device) -> int:
    mode = device.quirks.get("work_mode", 0)
    return mode if isinstance(mode, int) and 0 <= mode <= 3 else 0
