"""One call of a logger: its packets, what is stored of them, what is answered, its clock, requests to it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from headgate.sdk import (
    MOST_FAULTS,
    Block,
    Channel,
    ChannelClosed,
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
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import COMMANDS, Done, Kind
from headgate_drivers.hj212.data import moment
from headgate_drivers.hj212.editions import HEARTBEAT, NEW_IN_2025
from headgate_drivers.hj212.frames import END, LONGEST_DATA, LONGEST_SAID, Fault, Packet, encode
from headgate_drivers.hj212.orders import TRIES, Orders, Reply
from headgate_drivers.hj212.points import Look, items_of, looks
from headgate_drivers.hj212.replies import Platform, answer, answer_as, id_of, kind, wants_answer
from headgate_drivers.hj212.sealed import key_of

log = logging.getLogger(__name__)

#: A clock that is further off than this is set, where the profile says so; the standard gives no bound.
CLOCK_OFF_S = 60.0
#: A clock that does not stay set is not set again and again.
CLOCK_AGAIN_US = 3600_000_000
#: So long after its last byte a packet without CR LF is taken to be over.
UNENDED_S = 1.0
_PW = re.compile(rb"PW=[^;&]*")
_PERIODS = ("2031", "2041", "2051", "2061")


class Talk:
    """One call: its codec, the time of a part that says none, the logger's clock, requests under way."""

    def __init__(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        self._channel, self._roll, self._deliver = channel, roll, deliver
        self._codec = Codec(int(roll.options.get("longest", LONGEST_DATA)), self._key)
        self._orders = Orders(channel.send)
        self._faults = 0
        self._known = False
        self._block_us = 0
        self._part: tuple[tuple[str, ...], datetime | None] = ((), None)
        self._clock_us: int | None = None
        self._setting: asyncio.Task[None] | None = None
        #: The last packet of each logger on this call: how it wants to be spoken to.
        self._heads: dict[str, Packet] = {}
        self._asked_at = datetime.min  # noqa: DTZ901 - a logger's wall, which has no zone
        self._one_at_a_time = asyncio.Lock()
        self._turn = 0
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the call ends, or it is nobody of ours."""
        try:
            async for piece in self._channel.frames(Unframed()):
                async with self._one_at_a_time:
                    self._turn += 1
                    for found, raw in self._codec.pieces(piece.payload):
                        if not await self._heard(found, raw):
                            return
                if self._codec.unended and (self._ending is None or self._ending.done()):
                    self._ending = asyncio.create_task(self._end(), name="packet without an end")
        finally:
            self._orders.over()
            tasks = [task for task in (self._setting, self._ending) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        """Take a packet whose CR LF never comes, once the line is silent."""
        turn = -1
        while turn != self._turn:
            turn = self._turn
            await asyncio.sleep(UNENDED_S)
        async with self._one_at_a_time:
            if turn == self._turn and self._codec.unended and (fault := self._codec.end()):
                with suppress(ChannelClosed):
                    if not await self._heard(fault, b""):
                        self._channel.hang_up()

    async def _heard(self, found: Packet | Fault, raw: bytes) -> bool:
        if isinstance(found, Packet):
            return await self._packet(found, raw)
        return await self._fault(found, raw)

    async def _fault(self, fault: Fault, raw: bytes) -> bool:
        """What is no right packet is told; with a right check it is taken as far as it can be read."""
        self._faults += 1
        if fault.code == "not_supported":
            return self._encrypted(fault)
        self._roll.faulty(self._channel, fault.code, _PW.sub(b"PW=***", raw))
        if fault.packet is not None and fault.packet.mn and self._faults < MOST_FAULTS:
            return await self._packet(fault.packet, raw, right=False)
        return self._faults < MOST_FAULTS

    def _encrypted(self, fault: Fault) -> bool:
        """It is not garbage: say what it is. Nothing is stored or answered, so the logger keeps it."""
        mn = fault.packet.mn if fault.packet is not None else ""
        device = self._roll.claim(mn, self._channel)
        self._roll.faulty(self._channel, "encrypted", b"")
        if device is not None and mn not in self._heads:
            log.warning("encrypted", extra={"code": "HG-3623", "device": device.id, "station": mn})
        return device is not None and self._faults < MOST_FAULTS

    async def _packet(self, packet: Packet, raw: bytes, *, right: bool = True) -> bool:
        """One packet whose check is right; False ends the call."""
        if self._roll.known(packet.mn) is not None and not self._allowed(packet):
            # Before it is taken for the logger's newest call: the right one would lose its own by it.
            self._roll.faulty(self._channel, "password", b"")
            return False
        device = self._roll.claim(packet.mn, self._channel)
        if device is None:
            # A forwarder may carry loggers of ours beside others.
            self._faults += 1
            return self._known and self._faults < MOST_FAULTS
        self._known = True
        if right:
            self._faults = 0
        self._heads[packet.mn] = packet
        if kind(packet, up=True) is Kind.REPLY:
            # To a request of ours: a second centre never asked.
            self._orders.heard(packet)
        elif packet.cn in NEW_IN_2025 or packet.cn not in COMMANDS or COMMANDS[packet.cn].up:
            whole = raw or encode(packet, LONGEST_SAID)
            whole = whole if whole.endswith(END) else whole.rstrip(b"\r\n") + END
            self._roll.relay(packet.mn, whole, answered=wants_answer(packet))
            await self._upload(packet, device)
            self._orders.heard(packet)
        return True

    def _allowed(self, packet: Packet) -> bool:
        """Whether PW is the one that the site gives for this logger; without one any will do, none too."""
        wanted = self._password(packet.mn)
        return wanted is None or packet.pw == wanted

    def _password(self, mn: str) -> str | None:
        entry = self._roll.options.get("loggers", {}).get(mn, {})
        return entry.get("password") or self._roll.options.get("password")

    def _key(self, mn: str) -> bytes | None:
        """The key of a logger whose CP is encrypted (2025)."""
        entry = self._roll.options.get("loggers", {}).get(mn, {})
        return key_of(str(entry.get("secret") or ""))

    # ------------------------------------------------------------ what it is asked

    def spoken(self, device: Device) -> bool:
        """Whether a logger has said on this call how it wants to be spoken to."""
        return str(device.address) in self._heads

    async def ask(
        self, device: Device, cn: str, items: Sequence[tuple[str, str]] = (), tries: int = TRIES
    ) -> Reply:
        """Put a request to a logger that has spoken.

        Raises:
            ChannelClosed: the call is over.
        """
        head = self._heads[str(device.address)]
        version = head.flag.version if head.flag else 0
        pw = self._password(head.mn) or head.pw
        platform = Platform(head.mn, pw, head.st, version)
        # QN is a name before it is a time: without a clock of our own the logger's will do.
        now = self._now(device) or head.asked_at or moment(head.records[0].time or "")
        now = max(now or self._asked_at, self._asked_at + timedelta(milliseconds=1))
        self._asked_at = now
        return await self._orders.ask(platform.ask(cn, now, items), tries)

    def now_of(self, device: Device) -> datetime | None:
        """What a right clock at a logger shows; None while ours is not trusted."""
        return self._now(device)

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
        heartbeat = device.quirk("heartbeat", "9013")
        if packet.cn == HEARTBEAT and wants_answer(packet):
            back = answer_as(packet, heartbeat) if heartbeat in ("9013", "9014") else None
        if back is not None:
            await self._channel.send(encode(back, LONGEST_SAID))
        self._judge_clock(packet, device)

    def _blocks(self, packet: Packet, device: Device) -> list[Block]:
        names = items_of(device)
        told = looks(packet, names, old_codes=old_codes(device))
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
        now = self._now(device)
        if now is None:
            return
        # A notice may be about the instrument of one factor (annex C.4).
        factor = packet.records[0].item("PolId") if packet.cn == "1013" else None
        items = [("PolId", factor)] if factor else []
        items.append(("SystemTime", f"{now:%Y%m%d%H%M%S}"))
        try:
            reply = await self.ask(device, "1012", items)
        except ChannelClosed:
            return
        level = logging.INFO if reply.done is Done.SUCCESS else logging.WARNING
        result = reply.done or reply.accepted
        said = "no answer" if result is None else result.name
        log.log(level, "clock set", extra={"device": device.id, "off_s": off_s, "result": said})


def _origin(packet: Packet, device: Device) -> Origin:
    """What a resend is known by: its QN and what it says; without QN, or by quirk, what it says alone.

    So is what is told of a period: asked for again (2051 ...), it comes under another QN and is the same.
    """
    alone = packet.cn in _PERIODS or device.quirk("resend", "qn") == "data"
    qn = "" if alone else id_of(packet)
    said = f"{qn};{packet.pnum};{packet.pno};{packet.cp}".encode()
    return Origin(packet.mn, packet.cn, packet.pno, None, said)


def old_codes(device: Device) -> bool:
    """Whether a logger names factors as 2005 did."""
    return str(device.quirks.get("codes", "")) == "2005"
