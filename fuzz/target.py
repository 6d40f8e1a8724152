"""What a target is, and what is asked of every decoder of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from headgate.sdk import Framing


class Target(NamedTuple):
    """One decoder under fire.

    Attributes:
        run: takes hostile bytes; raises when the decoder did what it must not. Errors that the decoder
            declares are caught inside, everything else is a finding.
        seeds: good inputs to begin with.
        longest: bytes of one input; longer ones only cost time.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 4096


def pieces(data: bytes) -> Iterable[bytes]:
    """The input as a line would hand it over: the first byte says how long the pieces are."""
    size = 1 + (data[0] if data else 0)
    for at in range(1, len(data), size):
        yield data[at : at + size]


def whole(data: bytes) -> bytes:
    """A seed for a target that uses `pieces`: handed over at once, as far as one byte can say so."""
    return b"\xff" + data


def cut(framing: Framing, data: bytes, keeps: int) -> list[bytes]:
    """The payloads of a stream, its promises checked.

    Every frame takes bytes off the buffer, and what is unfinished is never more than `keeps`.
    """
    buffer = bytearray()
    frames: list[bytes] = []
    for piece in pieces(data):
        buffer += piece
        while True:
            before = len(buffer)
            frame = framing.next(buffer)
            assert len(buffer) <= before, "a framing adds nothing to its buffer"
            if frame is None:
                break
            assert len(buffer) < before, "a frame takes bytes with it"
            frames.append(frame.payload)
        assert len(buffer) <= keeps, f"{len(buffer)} bytes kept, {keeps} allowed"
    return frames
