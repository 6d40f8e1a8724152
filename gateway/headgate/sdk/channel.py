"""Channels: the byte lines that the core opens and a driver speaks over.

The core owns opening, reconnecting, exclusive use, line settings, draining and tracing. A driver
brings a `Framing`, which cuts the stream into frames, and asks: `await channel.exchange(...)`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Hashable
from typing import NamedTuple, Protocol

import msgspec


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
    """Serial settings for one transaction: a meter at 2400 8E1 beside a unit at 9600 8N1."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: float = 1.0


class Channel(ABC):
    """One open line, held by the caller for the length of one `read`."""

    #: The channel's id in the site file, and its URL without secrets.
    id: str
    url: str

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


class Listener(ABC):
    """A listening port: each device that dials in becomes a channel."""

    id: str
    url: str

    @abstractmethod
    def accept(self) -> AsyncIterator[Channel]:
        """Every connection that comes, until the listener is closed."""
