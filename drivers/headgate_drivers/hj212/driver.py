"""Loggers of HJ 212 that dial in: what they upload is on disk before 9014 leaves.

Each part of a split packet (PNUM, PNO) is data by itself, and is stored and answered by itself: no part is
ever held in memory until others come. A packet that is wrong is not answered, so the logger sends it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from headgate.sdk import (
    AttendingDriver,
    Block,
    Channel,
    ChannelTimeout,
    Deliver,
    Device,
    DeviceRefused,
    Errand,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Roll,
    Told,
    Value,
    no_call,
    zone_problems,
)
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.commands import Accepted, Done, Kind
from headgate_drivers.hj212.errands import ASKS, commanded, items_for, refusal, told
from headgate_drivers.hj212.frames import LONGEST_DATA, LONGEST_SAID, Fault
from headgate_drivers.hj212.orders import Reply
from headgate_drivers.hj212.points import POINT_KEYS, Said, items_of, looks
from headgate_drivers.hj212.replies import kind
from headgate_drivers.hj212.talk import Talk, old_codes

_MN = re.compile(r"[0-9A-Za-z_.-]{1,40}")
#: Of a command: its instrument did not answer, or failed on the way. "No data" says nothing of it either.
_PERHAPS = (Done.FAILED, Done.TIMEOUT, Done.BROKEN, Done.NO_DATA)


class Hj212Driver(AttendingDriver):
    """A platform for loggers of HJ 212, one call at a time."""

    name: ClassVar[str] = "hj212"
    schemes: ClassVar[tuple[str, ...]] = ("hj212+listen", "hj212+listen+udp")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        self._talks: dict[Channel, Talk] = {}

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

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
        """What is wrong with `longest` and `loggers`; that a new site must be of 2025, which this is not."""
        problems = [Problem(f"channel {channel}", "HG-3624", {"channel": channel})]

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
            if not isinstance(entry, Mapping) or not entry or set(entry) - {"password", "secret"}:
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
                if packet is None or kind(packet, up=True) is Kind.REPLY or _unread(found):
                    continue
                for look in looks(packet, names, old_codes=old_codes(device)):
                    said.update(look.said)
                if "clock" in names:  # a recording has no other clock than the logger's own
                    said[names["clock"][0]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        talk = self._talks[channel] = Talk(channel, roll, deliver)
        try:
            await talk.run()
        finally:
            del self._talks[channel]

    # ------------------------------------------------------------ what a logger is asked

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """The requests of 6.6.5 that move nothing but the logger's own settings."""
        return {name: ask.errand for name, ask in ASKS.items()}

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        """Put the errand's requests to the logger; data that it answers with are stored as any.

        Raises:
            DeviceRefused: an argument is none, our clock is not trusted, the logger said no.
            ChannelTimeout, ChannelClosed: no answer came.
        """
        items = items_for(device, name, arguments)
        talk = self._talk(channel, device)
        if name == "set-clock":
            now = talk.now_of(device)
            if now is None:
                raise DeviceRefused("no trusted clock", code="HG-3657", device=device.id)
            items = [("SystemTime", f"{now:%Y%m%d%H%M%S}")]
        lines: list[Told] = []
        for cn in ASKS[name].commands:
            reply = _done(device, cn, await talk.ask(device, cn, items))
            lines += told(cn, reply.data)
            if reply.done is Done.NO_DATA:
                lines.append(Told("ExeRtn", int(Done.NO_DATA)))
        return lines

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Give a control command, once. What "reads back" is what was commanded, when the logger says done.

        Raises:
            DeviceRefused: the point commands nothing, or the logger said no.
            ChannelTimeout, ChannelClosed: no answer came: it may have been done.
            ProtocolError: it tried, and cannot tell how far that went.
        """
        order, items = commanded(device, point, raw)
        talk = self._talk(channel, device)
        reply = await talk.ask(device, order.cn, items, tries=1)
        if reply.done in _PERHAPS:
            no = refusal(device, order.cn, reply)
            raise ProtocolError(str(no), code=no.code, **no.fields)
        _done(device, order.cn, reply)
        return raw

    def _talk(self, channel: Channel, device: Device) -> Talk:
        talk = self._talks.get(channel)
        if talk is None:
            raise no_call(device)
        if not talk.spoken(device):
            raise DeviceRefused(f"{device.id} has said nothing", code="HG-3658", device=device.id)
        return talk


def _done(device: Device, cn: str, reply: Reply) -> Reply:
    """A reply that says it was done.

    Raises:
        ChannelTimeout: no answer, or none to how it went.
        DeviceRefused: no.
    """
    if reply.well:
        return reply
    if reply.done is None and reply.accepted in (None, Accepted.READY):
        raise ChannelTimeout(
            f"{device.id} did not answer {cn}", code="HG-3628", device=device.id, cn=cn
        )
    raise refusal(device, cn, reply)


def _unread(found: object) -> bool:
    return isinstance(found, Fault) and found.code == "not_supported"
