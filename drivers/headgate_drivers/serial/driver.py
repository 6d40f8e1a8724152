"""The two drivers: one that listens to what is said by itself, one that asks. One codec beneath both."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from headgate.sdk import (
    Alarm,
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Device,
    Frame,
    LineSettings,
    PollingDriver,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Status,
    StreamingDriver,
    line_of,
    readings,
)
from headgate_drivers.serial.codec import Codec, Damaged, Whole, cut
from headgate_drivers.serial.plan import Group, Layout, failed, keys_of, layout_of
from headgate_drivers.serial.values import POINT_KEYS, Found

log = logging.getLogger(__name__)

#: Addresses told of one stretch of overheard bytes.
MOST_OVERHEARD = 256
SCHEMES = ("serial", "serial+tcp", "serial+rfc2217")


class Chunks:
    """Bytes as they come; what they are is for the codecs, of which a line may need several."""

    unique_keys = False

    def next(self, buffer: bytearray) -> Frame | None:
        """All there is."""
        if not buffer:
            return None
        payload = bytes(buffer)
        buffer.clear()
        return Frame(None, payload)


class SerialDriver(StreamingDriver):
    """Sensors that talk by themselves."""

    name: ClassVar[str] = "serial"
    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    point_keys = POINT_KEYS

    def check(self, device: Device) -> None:
        """Raise ProfileError when frame, points or address cannot be."""
        layout_of(device, polled=False)

    async def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm]:
        """A block for each frame of each device; it speaks of the points that came.

        Raises:
            ProfileError: a device that cannot be read.
            ChannelClosed: the line is not open.
        """
        layouts = [layout_of(device, polled=False) for device in devices]
        codecs = [
            (Codec(rule), [layout for layout in layouts if layout.rule == rule])
            for rule in keys_of(layouts)
        ]
        async for chunk in channel.frames(Chunks()):
            at_us = channel.now_us()
            for codec, mine in codecs:
                codec.feed(chunk.payload)
                for event in codec.events():
                    if isinstance(event, Damaged):
                        log.debug("damaged frame", extra={"channel": channel.id})
                    elif isinstance(event, Whole):
                        for block in _blocks(mine, event.content, at_us):
                            yield block

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace the last that was said of each point; nothing when nothing of it was. Pure."""
        return _tail(self, device, frames)

    def heard(self, device: Device, data: bytes) -> Mapping[str, Block]:
        """What bytes of a line told, by address. Raises ProfileError."""
        return _overheard(layout_of(device, polled=False), data)

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded bytes would have brought, the latest of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        layout = layout_of(device, polled=False)
        codec = Codec(layout.rule)
        found: dict[int, Found] = {}
        for _, said in frames:
            codec.feed(said)
            for event in codec.events():
                if isinstance(event, Whole):
                    for group in layout.groups_in(event.content):
                        found.update(layout.values(event.content, group))
        return layout.block(0, _unsaid(layout) | found)


def _tail(
    driver: SerialDriver, device: Device, frames: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """The shortest end of what was said that tells each point as the whole does."""
    pieces = [said for _, said in frames if said]
    whole = driver.replay(device, [(b"", b"".join(pieces))])
    if not any(told.quality == Quality.GOOD for told in readings(whole, device.table)):
        return []
    end = b""
    for piece in reversed(pieces):
        end = piece + end
        if driver.replay(device, [(b"", end)]) == whole:
            break
    return [(b"", end)]


def _overheard(layout: Layout, data: bytes) -> dict[str, Block]:
    codec = Codec(layout.rule)
    codec.feed(data)
    found: dict[str, dict[int, Found]] = {}
    for event in codec.events():
        if not isinstance(event, Whole):
            continue
        address = layout.address_in(event.content)
        name = "" if address is None else str(address)
        if name not in found and len(found) == MOST_OVERHEARD:
            continue
        own = msgspec.structs.replace(layout, address=address)
        for group in own.groups_in(event.content):
            found.setdefault(name, {}).update(own.values(event.content, group))
    return {name: layout.block(0, values) for name, values in found.items()}


def _blocks(layouts: Sequence[Layout], content: bytes, at_us: int) -> Iterable[Block]:
    for layout in layouts:
        found: dict[int, Found] = {}
        for group in layout.groups_in(content):
            found.update(layout.values(content, group))
        if found:
            yield layout.block(at_us, found)


def _unsaid(layout: Layout) -> dict[int, Found]:
    return dict.fromkeys(range(len(layout.places)), (None, Status.NO_ANSWER))


# ---------------------------------------------------------------- polled


class Answers:
    """Cuts the answer to one request out of what comes; its key is the unit that answers."""

    unique_keys = False

    def __init__(self, layout: Layout, group: Group) -> None:
        self._layout = layout
        self._group = group
        #: Frames that did not check, and whole ones that were no answer to this.
        self.damaged = 0

    def next(self, buffer: bytearray) -> Frame | None:
        """The next whole frame. `damaged` counts those that were none."""
        while (event := cut(self._layout.rule, buffer)) is not None:
            if isinstance(event, Damaged):
                self.damaged += 1
            elif isinstance(event, Whole):
                key: Hashable = self._layout.address_in(event.content)
                if key == self._layout.address and self._group not in self._layout.groups_in(
                    event.content
                ):
                    self.damaged += 1
                    continue
                return Frame(key, event.content)
        return None


class Asked:
    """What the polled driver keeps of one device."""

    def __init__(self, layout: Layout, line: str, gap_s: float, echo: bool) -> None:
        self.layout = layout
        self._line = (line, gap_s, echo)
        self._settings: LineSettings | None = None
        self._url = ""

    @property
    def requests(self) -> tuple[bytes, ...]:
        """What one look asks."""
        return tuple(group.request for group in self.layout.groups)

    def settings(self, url: str) -> LineSettings | None:
        """The line settings of its transactions on the channel with this URL; None: the channel's own."""
        text, gap_s, echo = self._line
        if not (text or gap_s or echo):
            return None
        if self._settings is None or self._url != url:
            base = line_of(url)
            changed = base.with_text(text) if text else base
            self._url = url
            self._settings = LineSettings(
                changed.baud,
                changed.data_bits,
                changed.parity,
                changed.stop_bits,
                max(gap_s, base.gap_s),
                echo or base.echo,
            )
        return self._settings


class PolledSerialDriver(PollingDriver):
    """Sensors that answer a request."""

    name: ClassVar[str] = "serial-polled"
    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    point_keys = POINT_KEYS

    def plan(self, device: Device) -> Asked:
        """What is asked of the device, and how the answers are read.

        Raises:
            ProfileError: frame, points, address or line settings that cannot be.
        """
        layout = layout_of(device, polled=True)
        quirks = device.quirks
        line, gap_ms = str(quirks.get("line", "")), quirks.get("gap_ms", 0)
        where = f'device "{device.id}": quirks'
        try:
            LineSettings().with_text(line or "9600")
        except ValueError:
            fields: dict[str, str | int | float] = {
                "key": "line", "value": line, "allowed": "9600 8N1, 2400 8E1 ...",
            }  # fmt: skip
            raise ProfileError([Problem(f"{where}.line", "HG-3400", fields)]) from None
        if isinstance(gap_ms, (bool, str)) or not 0 <= gap_ms <= 10_000:
            fields = {"key": "gap_ms", "value": str(gap_ms), "allowed": "0 .. 10000"}
            raise ProfileError([Problem(f"{where}.gap_ms", "HG-3400", fields)])
        return Asked(layout, line, gap_ms / 1000, bool(quirks.get("echo")))

    async def read(self, channel: Channel, device: Device, plan: Asked) -> Block:
        """One look: every request once, repeated as the device's `retries` say.

        Raises:
            ChannelTimeout: nobody answered the first request.
            ProtocolError: what came instead of every answer was damaged.
            ChannelClosed: the line was lost.
        """
        layout = plan.layout
        found: dict[int, Found] = {}
        answered = 0
        failure: ChannelTimeout | ProtocolError | None = None
        for group in layout.groups:
            try:
                content = await self._ask(channel, device, plan, group)
            except (ChannelTimeout, ProtocolError) as error:
                if isinstance(error, ChannelTimeout) and not answered:
                    raise
                failure = error
                silent = isinstance(error, ChannelTimeout)
                found.update(failed(group, Status.NO_ANSWER if silent else Status.MALFORMED))
            except ChannelClosed:
                if not answered:
                    raise
                found.update(failed(group, Status.LINE_CLOSED))
            else:
                answered += 1
                found.update(layout.values(content, group))
        if not answered and failure is not None:
            raise failure
        return layout.block(channel.now_us(), found)

    async def _ask(self, channel: Channel, device: Device, plan: Asked, group: Group) -> bytes:
        left = device.retries
        while True:
            framing = Answers(plan.layout, group)
            try:
                return await channel.exchange(
                    group.request,
                    framing,
                    key=plan.layout.address,
                    timeout_s=device.timeout_s,
                    settings=plan.settings(channel.url),
                )
            except ChannelTimeout as error:
                if left > 0:
                    left -= 1
                elif framing.damaged:
                    raise ProtocolError(
                        f"device {device.id}: an answer came, damaged or another's",
                        code="HG-3402",
                        device=device.id,
                        channel=channel.id,
                    ) from error
                else:
                    raise

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's exchanges those that read this device: of each request the last good one. Pure."""
        layout = layout_of(device, polled=True)
        kept: dict[bytes, tuple[bytes, bytes]] = {}
        for sent, said in frames:
            for group in layout.groups:
                frame = Answers(layout, group).next(bytearray(said))
                if group.request == sent and frame is not None and frame.key == layout.address:
                    kept[sent] = sent, said
        return list(kept.values())

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded answers would have brought; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
            ProtocolError: a recorded request that this device is never sent.
        """
        layout = layout_of(device, polled=True)
        found = _unsaid(layout)
        for sent, said in frames:
            groups = [group for group in layout.groups if group.request == sent]
            if not groups:
                raise ProtocolError(f"{sent.hex(' ')} is not asked of this device")
            for group in groups:
                answer = Answers(layout, group)
                frame = answer.next(bytearray(said))
                if frame is not None and frame.key == layout.address:
                    found.update(layout.values(frame.payload, group))
                elif answer.damaged:
                    found.update(failed(group, Status.MALFORMED))
        return layout.block(0, found)
