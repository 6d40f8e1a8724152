"""Loggers of HJ 212 that dial in: what they upload is on disk before 9014 leaves.

Each part of a split packet (PNUM, PNO) is data by itself, and is stored and answered by itself: no part is
ever held in memory until others come. A packet that is wrong is not answered, so the logger sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from headgate.sdk import (
    MOST_FAULTS,
    AttendingDriver,
    Block,
    Channel,
    ChannelClosed,
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
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import COMMANDS, Done, Kind
from headgate_drivers.hj212.data import moment
from headgate_drivers.hj212.editions import HEARTBEAT
from headgate_drivers.hj212.frames import LONGEST_DATA, LONGEST_SAID, Fault, Packet, encode
from headgate_drivers.hj212.orders import Orders
from headgate_drivers.hj212.points import POINT_KEYS, Look, Said, items_of, looks
from headgate_drivers.hj212.replies import Platform, answer, answer_as, id_of, kind, wants_answer

log = logging.getLogger(__name__)

#: A clock that is further off than this is set, where the profile says so; the standard gives no bound.
CLOCK_OFF_S = 60.0
#: A clock that does not stay set is not set again and again.
CLOCK_AGAIN_US = 3600_000_000
_MN = re.compile(r"[0-9A-Za-z_.-]{1,40}")
_PW = re.compile(rb"PW=[^;&]*")


class Hj212Driver(AttendingDriver):
    """A platform for loggers of HJ 212, one call at a time."""

    name: ClassVar[str] = "hj212"
    schemes: ClassVar[tuple[str, ...]] = ("hj212+listen", "hj212+listen+udp")
    point_keys = POINT_KEYS

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address that is no MN, an item that is none, a zone that is none."""
        problems = []
        mn = str(device.address)
        if _MN.fullmatch(mn) is None or mn.lower() == "null":
            fields: dict[str, str | int | float] = {"device": device.id, "address": mn}
            problems.append(Problem(f'device "{device.id}": address', "HG-3621", fields))
        try:
            items_of(device)
        except ProfileError as error:
            problems += error.problems
        problems += zone_problems(device)
        if problems:
            raise ProfileError(problems)

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with `longest` and `loggers`."""
        problems = []

        def wrong(key: str) -> None:
            problems.append(Problem(f"channel {channel}: options.{key}", "HG-3622", {"key": key}))

        for key in options:
            if key not in ("longest", "loggers"):
                wrong(key)
        longest = options.get("longest", LONGEST_DATA)
        if not isinstance(longest, int) or not LONGEST_DATA <= longest <= LONGEST_SAID:
            wrong("longest")
        loggers = options.get("loggers", {})
        if not isinstance(loggers, Mapping):
            wrong("loggers")
            return problems
        for mn, entry in loggers.items():
            if not isinstance(entry, Mapping) or set(entry) != {"password"}:
                wrong(f"loggers.{mn}")
        return problems

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """What recorded bytes told last of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        names, codec = items_of(device), Codec(LONGEST_SAID)
        said: dict[str, Said] = {}
        for _, raw in frames:
            for found in codec.feed(raw):
                packet = found.packet if isinstance(found, Fault) else found
                if packet is None or kind(packet, up=True) is Kind.REPLY:
                    continue
                for look in looks(packet, names, old_codes=_old(device)):
                    said.update(look.said)
                if "clock" in names:  # a recording has no other clock than the logger's own
                    said[names["clock"][0]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        await _Talk(channel, roll, deliver).run()


class _Talk:
    """One call: its codec, the time of a part that says none, the logger's clock."""

    def __init__(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._codec = Codec(int(roll.options.get("longest", LONGEST_DATA)))
        self._orders = Orders(channel.send)
        self._faults = 0
        self._known = False
        self._block_us = 0
        self._part: tuple[tuple[str, ...], datetime | None] = ((), None)
        self._clock_us: int | None = None
        self._setting: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the call ends, or it is nobody of ours."""
        try:
            async for piece in self._channel.frames(Unframed()):
                for found in self._codec.feed(piece.payload):
                    if isinstance(found, Fault):
                        if not await self._fault(found, piece.payload):
                            return
                    elif not await self._packet(found):
                        return
        finally:
            if self._setting is not None:
                self._setting.cancel()
                await asyncio.gather(self._setting, return_exceptions=True)

    async def _fault(self, fault: Fault, raw: bytes) -> bool:
        """What is no right packet is told; with a right check it is taken as far as it can be read."""
        self._roll.faulty(self._channel, fault.code, _PW.sub(b"PW=***", raw))
        self._faults += 1
        if fault.packet is not None and fault.packet.mn and self._faults < MOST_FAULTS:
            return await self._packet(fault.packet, right=False)
        return self._faults < MOST_FAULTS

    async def _packet(self, packet: Packet, *, right: bool = True) -> bool:
        """One packet whose check is right; False ends the call."""
        device = self._roll.claim(packet.mn, self._channel)
        if device is None:
            # A forwarder may carry loggers of ours beside others.
            self._faults += 1
            return self._known and self._faults < MOST_FAULTS
        if not self._allowed(packet):
            self._roll.faulty(self._channel, "password", b"")
            return False
        self._known = True
        if right:
            self._faults = 0
        if kind(packet, up=True) is Kind.REPLY:
            self._orders.heard(packet)
        elif packet.cn not in COMMANDS or COMMANDS[packet.cn].up is not None:
            await self._upload(packet, device)
        return True

    def _allowed(self, packet: Packet) -> bool:
        """Whether PW is the one that the site gives for this logger; without one any will do, none too."""
        entry = self._roll.options.get("loggers", {}).get(packet.mn, {})
        wanted = entry.get("password") or self._roll.options.get("password")
        return wanted is None or packet.pw == wanted

    # ------------------------------------------------------------ what it sends

    async def _upload(self, packet: Packet, device: Device) -> None:
        blocks = self._blocks(packet, device)
        if blocks:
            try:
                await self._deliver(blocks, _origin(packet, device))
            except SpoolError as error:
                # Not answered, so the logger keeps it and sends it again.
                log.warning("not answered", extra={"device": device.id, "reason": str(error)})
                return
        back = answer(packet)
        heartbeat = device.quirk("heartbeat", "no")
        if packet.cn == HEARTBEAT and heartbeat in ("9013", "9014") and wants_answer(packet):
            back = answer_as(packet, heartbeat)
        if back is not None:
            await self._channel.send(encode(back, LONGEST_SAID))
        self._judge_clock(packet, device)

    def _blocks(self, packet: Packet, device: Device) -> list[Block]:
        names = items_of(device)
        told = looks(packet, names, old_codes=_old(device))
        if "clock" in names and (off_s := self._off_s(packet, device)) is not None:
            told = told or [Look(None, {})]
            told[-1].said[names["clock"][0]] = off_s, Quality.GOOD, 0
        blocks = []
        for look in told:
            when = self._time_of(packet, look)
            own_us = None if when is None else unix_us(device, when)
            # Several looks within one microsecond: ours must differ.
            self._block_us = max(self._channel.now_us(), self._block_us + 1)
            blocks.append(device.partial(self._block_us, look.said, device_time_us=own_us))
        return blocks

    def _time_of(self, packet: Packet, look: Look) -> datetime | None:
        """DataTime; of a part that says none, that of the part before it; else when it was sent."""
        parts = (packet.mn, packet.st, packet.cn, str(packet.pnum))
        if look.at is not None:
            self._part = parts, look.at
            return look.at
        if packet.pnum > 1 and packet.pno > 1 and self._part[0] == parts:
            return self._part[1]
        return packet.asked_at

    # ------------------------------------------------------------ its clock

    def _off_s(self, packet: Packet, device: Device) -> float | None:
        """How far the logger's clock is before ours, by what it sends at once: real time, signs of life."""
        if packet.cn not in ("2011", "1013", HEARTBEAT) or packet.pno > 1:
            return None
        said, now = packet.asked_at or moment(packet.records[0].time or ""), self._now(device)
        return None if said is None or now is None else (said - now).total_seconds()

    def _now(self, device: Device) -> datetime | None:
        """Now by the logger's wall, in its zone; None while our clock is not trusted."""
        return shown(device, self._roll.wall_us())

    def _judge_clock(self, packet: Packet, device: Device) -> None:
        """Set it (1012), where the profile says so, and it is off or the logger asks for it (1013)."""
        if device.quirk("set_clock", "no") != "yes":
            return
        off_s, now_us = self._off_s(packet, device), self._channel.now_us()
        bound_s = float(device.quirks.get("clock_off_s", CLOCK_OFF_S))
        if off_s is None or (packet.cn != "1013" and abs(off_s) <= bound_s):
            return
        again = self._clock_us is None or now_us - self._clock_us > CLOCK_AGAIN_US
        if again and (self._setting is None or self._setting.done()):
            self._clock_us = now_us
            work = self._set_clock(packet, device, off_s)
            self._setting = asyncio.create_task(work, name=f"clock of {device.id}")

    async def _set_clock(self, packet: Packet, device: Device, off_s: float) -> None:
        version = packet.flag.version if packet.flag else 0
        platform = Platform(packet.mn, packet.pw, packet.st, version)
        now = self._now(device)
        if now is None:
            return
        try:
            result = await self._orders.ask(platform.set_clock(now + timedelta(milliseconds=1)))
        except ChannelClosed:
            return
        level = logging.INFO if result is Done.SUCCESS else logging.WARNING
        said = "no answer" if result is None else result.name
        log.log(level, "clock set", extra={"device": device.id, "off_s": off_s, "result": said})


def _origin(packet: Packet, device: Device) -> Origin:
    """What a resend is known by: its QN and what it says; without QN, or by quirk, what it says alone."""
    qn = "" if device.quirk("resend", "qn") == "data" else id_of(packet)
    said = f"{qn};{packet.pnum};{packet.pno};{packet.cp}".encode()
    return Origin(packet.mn, packet.cn, packet.pno, None, said)


def _old(device: Device) -> bool:
    return str(device.quirks.get("codes", "")) == "2005"
