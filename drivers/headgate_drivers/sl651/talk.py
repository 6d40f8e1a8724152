"""One call of a station: what it reports is on disk before it is confirmed (modes M1 to M3).

A frame that is wrong is not answered (clause 6.3.1.2), so the station sends again. What a station answers
to a question (M4) is confirmed as a report is: the standard's centre ends a question with a confirmation
without data (clause 6.3.1.2 d, the notes to tables 44, 50 and 52).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

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
from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Coding, Control, Direction, Fault, encode
from headgate_drivers.sl651.frames import Frame as Telegram
from headgate_drivers.sl651.items import Message, Observed
from headgate_drivers.sl651.packets import Assembly
from headgate_drivers.sl651.points import (
    MOST_VALUES,
    Look,
    by_station,
    count,
    items_of,
    looks,
)
from headgate_drivers.sl651.replies import SLEEP, STAY, Centre, again, confirmation, wants_answer

log = logging.getLogger(__name__)

#: Clause 6.6.4.24: a clock that is further off than this is set.
CLOCK_OFF = timedelta(minutes=5)
_PACKET_ASKS = 3
#: What a time field holds where nobody knows the time; stations' times have no zone.
UNKNOWN = datetime(2000, 1, 1)  # noqa: DTZ001


class Listens(NamedTuple):
    """Who is told what a station says: of each frame how it speaks, of each whole one what it says."""

    spoke: Callable[[Telegram], None]
    heard: Callable[[Channel, Device, Telegram], None]


class Talk:
    """One call: its codec, the packets that are still missing, the station's clock."""

    def __init__(self, channel: Channel, roll: Roll, deliver: Deliver, tells: Listens) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._tells = tells
        self._codec = Codec()
        self._packets = Assembly()
        self._asked = 0
        self._faults = 0
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

    async def _fault(self, fault: Fault, data: bytes) -> bool:
        """What is no right frame is told; one with a right check and a wrong field is stored all the same."""
        self._roll.faulty(self._channel, fault.code, data)
        self._faults += 1
        if fault.frame is not None:
            return await self._frame(fault.frame)
        return self._faults < MOST_FAULTS

    async def _frame(self, frame: Telegram) -> bool:
        """One right frame; False ends the call."""
        if frame.direction is not Direction.UP:
            return True  # an echo of our own, or somebody who is a centre himself
        device = self._roll.claim(frame.address, self._channel)
        if device is None:
            return False
        self._faults = 0
        self._tells.spoke(frame)
        last = frame.number == frame.total  # of packets only the last is answered
        self._roll.relay(
            frame.address, partial(encode, frame), answered=wants_answer(frame) and last
        )
        if frame.total:
            return await self._packet(frame, device)
        await self._report(frame, device)
        return True

    async def _packet(self, packet: Telegram, device: Device) -> bool:
        """Mode M3: the whole is confirmed once, what is missing is asked for one by one."""
        whole = self._packets.add(packet)
        if whole is not None:
            self._asked = 0
            await self._report(whole, device)
        elif packet.number == packet.total or self._asked:
            missing = self._packets.missing()
            if missing and self._asked < _PACKET_ASKS * packet.total:
                self._asked += 1
                now = self._now(device) or UNKNOWN
                await self._channel.send(encode(again(packet, missing[0], now)))
        return True

    async def _report(self, frame: Telegram, device: Device) -> None:
        message = frame.message
        if message is None or frame.function == Function.KEEP_ALIVE:
            return
        if count(message) > MOST_VALUES:
            self._roll.faulty(self._channel, "too_many_values", frame.body)
            return
        # Who waits for an answer does not wait for the disk: what was done is done.
        self._tells.heard(self._channel, device, frame)
        blocks = self._blocks(frame, message, device)
        origin = Origin(
            frame.address, f"{frame.function:02X}", message.serial, None, identity(frame, message)
        )
        try:
            await self._deliver(blocks, origin)
        except SpoolError as error:
            # Not confirmed, so the station keeps it and sends it again.
            log.warning("report not confirmed", extra={"device": device.id, "reason": str(error)})
            return
        if wants_answer(frame) and device.quirk("confirm", "yes") != "no":
            await self._confirm(frame, message, device)

    async def _confirm(self, frame: Telegram, message: Message, device: Device) -> None:
        now = self._now(device)
        sent = message.sent_at
        late = now is not None and sent is not None and abs(now - sent) > CLOCK_OFF
        setting = late and not self._clock_set and device.quirk("set_clock", "no") == "yes"
        sleeps = device.quirk("sleeps", "no") == "yes"
        end = SLEEP if sleeps and not setting else STAY
        # Without a trusted clock the station gets its own time back: nobody is set wrong by it.
        at = now or sent or UNKNOWN
        await self._channel.send(encode(confirmation(frame, at, end)))
        if setting and now is not None and frame.end != Control.ETB:
            self._clock_set = True
            centre = Centre(frame.centre, frame.address, frame.password, frame.coding)
            for _ in range(2):  # twice, clause 6.6.4.24
                await self._channel.send(encode(centre.set_clock(now)))

    def _now(self, device: Device) -> datetime | None:
        """Now by the station's wall, in its zone; None while our clock is not trusted."""
        return shown(device, self._roll.wall_us())

    def _blocks(self, frame: Telegram, message: Message, device: Device) -> Sequence[Block]:
        """What each station that a report speaks of told; most speak of one."""
        parts = by_station(message)
        if len(parts) < 2 and (not parts or self._roll.known(parts[0][0]) is None):
            return self._told(frame, message, device)
        blocks: list[Block] = []
        for address, part in parts:
            # Behind a relay; one that the site does not name is told as any stranger, and left out.
            named = device if address in ("", frame.address) else None
            whose = named or self._roll.claim(address, self._channel)
            if whose is not None:
                blocks += self._told(frame, part, whose)
        return blocks

    def _told(self, frame: Telegram, message: Message, device: Device) -> Sequence[Block]:
        names = items_of(device)
        told = looks(message, names, frame.function)
        if "clock" in names and message.sent_at is not None:
            now = self._now(device)
            if now is not None:
                off_s = (message.sent_at - now).total_seconds()
                told = told or [Look(None, {})]
                told[-1].said[names["clock"]] = off_s, Quality.GOOD, 0
        at_us = self._channel.now_us()
        blocks = []
        for index, look in enumerate(told):
            when = look.observed or message.sent_at
            own_us = None if when is None else unix_us(device, when)
            # One report, several instants of the station's clock: ours must differ, too.
            blocks.append(device.partial(at_us + index, look.said, device_time_us=own_us))
        return blocks


#: Bytes before the time of sending, and of it: serial number 2, time 6; in ASCII coding twice that.
_SENDING = {Coding.BCD: (2, 8), Coding.ASCII: (4, 16)}


def identity(frame: Telegram, message: Message) -> bytes:
    """What a report and its repetition have in common: the body without the time of sending.

    Many stations stamp each sending anew. Only where nothing says when it was observed is that time what
    tells one look from the next: stations whose serial number never moves exist, too.
    """
    if not any(isinstance(item, Observed) for item in message.items):
        return bytes(frame.body)
    begin, end = _SENDING[frame.coding]
    return bytes(frame.body[:begin] + frame.body[end:])
