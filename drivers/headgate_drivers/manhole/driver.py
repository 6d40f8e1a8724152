"""A manhole concentrator: many covers behind one port, mostly asleep, whose alarms cannot wait.

What a profile alone could not say: repetitions by radio are recognised, a flag that changes becomes an
alarm and later its end, and the concentrator is told that an alarm arrived so that it stops repeating.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import ClassVar

from headgate.sdk import (
    Alarm,
    Block,
    Channel,
    Device,
    Quality,
    StreamingDriver,
    Unframed,
)
from headgate_drivers.manhole.codec import Codec, Kind, Tag, Word, acknowledgement
from headgate_drivers.manhole.points import (
    CONDITIONS,
    POINT_KEYS,
    address_of,
    items_of,
    value_of,
)

log = logging.getLogger(__name__)

#: Addresses nobody configured that are logged, once each; further ones are only counted.
MOST_STRANGERS = 64


class Cover:
    """One device and what it said last."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.items = items_of(device)
        self.last = b""
        #: Flags as last told; None until the first word.
        self.flags: int | None = None

    def block(self, word: Word, at_us: int) -> Block:
        """The block of one word; of what a cover did not say it does not speak."""
        raw = {name: value_of(word, item) for name, item in self.items.items()}
        said = {k: (value, Quality.GOOD, 0) for k, value in raw.items() if value is not None}
        return self.device.partial(at_us, said)

    def remember(self, word: Word) -> None:
        """This word was taken: what it said is no news any more."""
        self.last = word.said
        self.flags = word.items.get(Tag.FLAGS, self.flags)

    def alarms(self, word: Word, at_us: int) -> list[Alarm]:
        """What began or ended with this word.

        The first word of a cover tells every condition: what was raised before a restart and has
        ended meanwhile must not stand for ever.
        """
        flags = word.items.get(Tag.FLAGS)
        if flags is None:
            return []
        changed = ~0 if self.flags is None else self.flags ^ flags
        tilt = word.items.get(Tag.TILT)
        return [
            Alarm(
                device=self.device.number,
                point=condition.point,
                code=condition.code,
                severity=condition.severity,
                active=bool(flags & condition.bit),
                at_us=at_us,
                value=None if tilt is None else tilt / 10,
            )
            for condition in CONDITIONS
            if changed & condition.bit
        ]


class ManholeDriver(StreamingDriver):
    """Covers behind a concentrator that forwards what they say."""

    name: ClassVar[str] = "manhole"
    schemes: ClassVar[tuple[str, ...]] = ("serial", "serial+tcp", "serial+rfc2217")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        #: What each cover said last, by channel and device: it outlives a line that was lost.
        self._covers: dict[tuple[str, int], Cover] = {}
        self._strangers: set[int] = set()

    def check(self, device: Device) -> None:
        """Raise ProfileError when address or points cannot be."""
        address_of(device)
        items_of(device)

    async def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm]:
        """Alarms first, then the block of the same word. Repetitions bring nothing anew.

        Raises:
            ProfileError: a device that cannot be read.
            ChannelClosed: the line is not open.
        """
        covers = {address_of(device): self._cover(channel.id, device) for device in devices}
        codec = Codec()
        async for chunk in channel.frames(Unframed()):
            at_us = channel.now_us()
            codec.feed(chunk.payload)
            for word in codec.events():
                cover = covers.get(word.address)
                if cover is None:
                    self._stranger(channel, word)
                    continue
                if word.said != cover.last:
                    for alarm in cover.alarms(word, at_us):
                        yield alarm
                    yield cover.block(word, at_us)
                    cover.remember(word)
                if word.kind == Kind.ALARM:
                    # Only now: an alarm is on disk when we are resumed. Repetitions too are
                    # acknowledged, for the first acknowledgement may be what was lost.
                    await channel.send(acknowledgement(word))

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace the last stretch in which this cover spoke; nothing when it did not. Pure."""
        address, end = address_of(device), b""
        for _, said in reversed([pair for pair in frames if pair[1]]):
            end = said + end
            codec = Codec()
            codec.feed(end)
            if any(word.address == address for word in codec.events()):
                return [(b"", end)]
        return []

    def heard(self, device: Device, data: bytes) -> Mapping[str, Block]:
        """The last word of each cover in bytes of a line, by its address. Raises ProfileError."""
        cover, codec = Cover(device), Codec()
        codec.feed(data)
        return {f"{word.address:08X}": cover.block(word, 0) for word in codec.events()}

    def _cover(self, channel_id: str, device: Device) -> Cover:
        known = self._covers.get((channel_id, device.number))
        if known is None or known.device != device:
            known = self._covers[channel_id, device.number] = Cover(device)
        return known

    def _stranger(self, channel: Channel, word: Word) -> None:
        if word.address not in self._strangers and len(self._strangers) < MOST_STRANGERS:
            self._strangers.add(word.address)
            log.info(
                "a cover that the site does not know",
                extra={"channel": channel.id, "address": f"{word.address:08X}"},
            )

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block of the last word of this device in recorded bytes; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        cover, address = Cover(device), address_of(device)
        codec = Codec()
        for _, said in frames:
            codec.feed(said)
        words = [word for word in codec.events() if word.address == address]
        return cover.block(words[-1], 0) if words else device.block(0, {})
