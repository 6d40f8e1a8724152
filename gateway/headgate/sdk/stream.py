"""Frames out of a stream of bytes: what every codec of one does, whatever its frames are.

    class Codec(StreamCodec[Frame | Fault]):
        def next(self) -> Frame | Fault | None:
            ...                                   # look at self._buffer, cut off what is done with

        def _truncated(self, count: int) -> Fault:
            return self._fault("truncated", count)

Bytes come as the line gives them: a frame in pieces, several at once, noise between. A codec never
raises on them, keeps no more than one longest frame and one piece, and says of all that is no frame how
many bytes it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

T = TypeVar("T")


class StreamCodec(ABC, Generic[T]):
    """One stream. `T` is what it gives: frames, and faults with their `code` and how much they `consumed`.

    Args:
        buffer: read from somebody else's buffer instead of what is fed; then `next` is asked.
    """

    #: How many bytes are taken at once, so that a flood is never kept whole.
    piece: int = 4096

    def __init__(self, buffer: bytearray | None = None) -> None:
        self._buffer = bytearray() if buffer is None else buffer

    @property
    def waiting(self) -> int:
        """How many bytes of something unfinished are kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[T]:
        """Take bytes as they came; give what is complete by now, in order."""
        found: list[T] = []
        for at in range(0, len(data), self.piece):
            self._buffer += data[at : at + self.piece]
            while (event := self.next()) is not None:
                found.append(event)
        return found

    def end(self) -> T | None:
        """The line has ended, or was silent for too long: what was kept is no frame any more."""
        if not self._buffer:
            return None
        return self._truncated(len(self._buffer))

    @abstractmethod
    def next(self) -> T | None:
        """Cut the next frame or fault off the front; None: more bytes are needed."""

    @abstractmethod
    def _truncated(self, count: int) -> T:
        """The fault of so many bytes that nothing followed. They are cut off."""
