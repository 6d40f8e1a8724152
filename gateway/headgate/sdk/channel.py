"""Channels: the byte lines that the core opens and a driver speaks over.

The core owns opening, reconnecting, exclusive use, line settings, draining and tracing. A driver
brings a `Framing`, which cuts the stream into frames, and asks: `await channel.exchange(...)`.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

import msgspec

if TYPE_CHECKING:
    from headgate.sdk.device import Device


class Frame(NamedTuple):
    """One frame cut from the stream. `key` says whose answer it is (a transaction id, a unit)."""

    key: Hashable
    payload: bytes


class Framing(Protocol):
    """Cuts a byte stream into frames. Pure: fed bytes, gives frames, never raises on hostile ones.

    A framing whose keys name one request for good (a transaction id) says `unique_keys = True`: then
    a late answer is recognised by its key, and the line need not be drained after a timeout.
    """

    def next(self, buffer: bytearray) -> Frame | None:
        """The next whole frame, its bytes (and any noise before it) removed from `buffer`.

        None when more bytes are needed. What can never become a frame is removed, so that the
        buffer stays bounded.
        """
        ...


class Unframed:
    """Bytes as they come, for a codec that cuts them itself."""

    def next(self, buffer: bytearray) -> Frame | None:
        if not buffer:
            return None
        payload = bytes(buffer)
        buffer.clear()
        return Frame(None, payload)


class FixedSize:
    """Frames of one known size, for the simplest devices."""

    def __init__(self, size: int) -> None:
        self.size = size

    def next(self, buffer: bytearray) -> Frame | None:
        if len(buffer) < self.size:
            return None
        payload = bytes(buffer[: self.size])
        del buffer[: self.size]
        return Frame(None, payload)


class Delimited:
    """Frames that end with a delimiter (a line); longer ones than `limit` are dropped."""

    def __init__(self, delimiter: bytes = b"\r\n", limit: int = 1024) -> None:
        self.delimiter = delimiter
        self.limit = limit

    def next(self, buffer: bytearray) -> Frame | None:
        end = buffer.find(self.delimiter)
        if end < 0:
            if len(buffer) > self.limit:
                del buffer[: len(buffer) - len(self.delimiter)]
            return None
        payload = bytes(buffer[:end])
        del buffer[: end + len(self.delimiter)]
        return Frame(None, payload)


class LineSettings(msgspec.Struct, frozen=True):
    """Serial settings for one transaction: a meter at 2400 8E1 beside a unit at 9600 8N1.

    `gap_s` is the least silence before the request (0: what the baud rate asks for), `echo` says that
    every byte sent comes back before the answer does, as on some two-wire adapters.
    """

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: float = 1.0
    gap_s: float = 0.0
    echo: bool = False

    def with_text(self, text: str) -> LineSettings:
        """These settings changed by what a technician writes: "2400 8E1", "2400" or "8E1".

        Raises:
            ValueError: something else.
        """
        match = _LINE.fullmatch(text.strip().upper())
        if match is None or not (match[1] or match[2]):
            raise ValueError(text)
        baud = int(match[1]) if match[1] else self.baud
        if not LOWEST_BAUD <= baud <= HIGHEST_BAUD:
            raise ValueError(text)
        if not match[2]:
            return msgspec.structs.replace(self, baud=baud)
        return msgspec.structs.replace(
            self,
            baud=baud,
            data_bits=int(match[2]),
            parity=match[3],
            stop_bits=float(match[4]),
        )

    def seconds(self, size: int) -> float:
        """How long `size` bytes take on the wire."""
        parity = 0 if self.parity == "N" else 1
        return size * (1 + self.data_bits + parity + self.stop_bits) / self.baud

    def silence(self) -> float:
        """The least silence between two frames: 3.5 characters, 1.75 ms above 19200 baud.

        Source: MODBUS over Serial Line V1.02, section 2.5.1.1.
        """
        least = 0.00175 if self.baud > 19200 else 3.5 * 11 / self.baud
        return max(self.gap_s, least)

    def __str__(self) -> str:
        return f"{self.baud} {self.data_bits}{self.parity}{self.stop_bits:g}"


LOWEST_BAUD, HIGHEST_BAUD = 50, 4_000_000
_LINE = re.compile(r"(?:(\d{2,7}))?\s*(?:([78])([NEO])(1|1\.5|2))?")


def line_of(url: str) -> LineSettings:
    """The line settings that a channel's URL carries: `?baud=9600&parity=E&stop=1&echo=1&gap_ms=5`.

    Raises:
        ValueError: with what is wrong, in English.
    """
    query = dict(parse_qsl(urlsplit(url).query))

    def number(key: str, usual: float, low: float, high: float) -> float:
        try:
            value = float(query.get(key, usual))
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise ValueError(f"{key}={query[key]}: {low:g} to {high:g}")
        return value

    parity = query.get("parity", "N").upper()[:1]
    if parity not in ("N", "E", "O"):
        raise ValueError(f"parity={query['parity']}: N, E or O")
    stop = number("stop", 1, 1, 2)
    if stop not in (1, 1.5, 2):
        raise ValueError(f"stop={query['stop']}: 1, 1.5 or 2")
    return LineSettings(
        baud=int(number("baud", 9600, LOWEST_BAUD, HIGHEST_BAUD)),
        data_bits=int(number("bits", 8, 7, 8)),
        parity=parity,
        stop_bits=stop,
        gap_s=number("gap_ms", 0, 0, 10_000) / 1000,
        echo=query.get("echo", "0").lower() in ("1", "true", "yes", "on"),
    )


class Channel(ABC):
    """One open line, held by the caller for the length of one `read`."""

    #: The channel's id in the site file, and its URL without secrets.
    id: str
    url: str
    #: Who called, where it is a call that we were given ("10.3.0.7:40112").
    peer: str = ""
    #: The channel's options, with secrets fetched: never logged.
    options: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        """Send `request` and return the payload of the frame whose key is `key`.

        Frames of other keys are counted as stale and dropped. After a timeout the line is drained
        until quiet before anything else is sent, where the framing carries no unique key.

        Raises:
            ChannelTimeout: no such frame in time.
            ChannelClosed: the line is not open, or was lost meanwhile.
        """

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send without awaiting an answer (broadcast, acknowledgement). Raises ChannelClosed."""

    @abstractmethod
    def frames(self, framing: Framing) -> AsyncIterator[Frame]:
        """Every frame that arrives, for devices that talk by themselves. Ends when the line is lost."""

    @abstractmethod
    def now_us(self) -> int:
        """Boottime in microseconds: what a block is stamped with."""

    def wall_us(self) -> int | None:
        """Now, in unix microseconds; None while the clock is not trusted: then tell nobody the time."""
        return None

    def introduce(self, name: str) -> None:  # noqa: B027 - only a call has a caller
        """Whoever calls has said who it is: a call that never does is ended soon."""

    def dismiss(self, name: str) -> None:  # noqa: B027
        """That caller has dialled anew: what is said to it goes over the other call."""

    def hang_up(self) -> None:  # noqa: B027
        """End this call; nothing on a line of our own."""


class Listener(ABC):
    """A listening port: each device that dials in becomes a channel."""

    id: str
    url: str
    #: The channel's options, with secrets fetched: never logged.
    options: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def accept(self) -> AsyncIterator[Channel]:
        """Every connection that comes, until the listener is closed."""

    def wall_us(self) -> int | None:
        """Now, in unix microseconds; None while the clock is not trusted: then tell nobody the time."""
        return None

    def stranger(self, station: str, channel: Channel) -> None:  # noqa: B027 - a fake need not tell
        """Somebody calls under a name that no device of the site has. Told now and then, and counted."""

    def two_sources(self, device: Device, before: Channel, now: Channel) -> None:  # noqa: B027
        """Two calls at once are made in the name of one device; the newer is believed."""

    def broke(self, channel: Channel, error: Exception) -> None:  # noqa: B027
        """A driver failed on one call, which is over; the others go on."""

    def faulty(self, channel: Channel, what: str, data: bytes) -> None:  # noqa: B027
        """Bytes that were no frame: what was wrong, and the first of them."""

    @property
    def relays(self) -> bool:
        """Whether frames go on to a second centre."""
        return True

    def relay(self, station: str, frame: bytes, *, answered: bool) -> None:  # noqa: B027
        """A right frame of a station as it came, for a second centre where the site names one.

        `answered`: whether a centre answers such a frame. Returns at once.
        """

    def standing(self, device: Device) -> Collection[str]:
        """Codes of alarms that a device has raised itself and not cleared, oldest first.

        It outlives a restart and a power cut: what was raised before can be cleared after it.
        """
        return ()
