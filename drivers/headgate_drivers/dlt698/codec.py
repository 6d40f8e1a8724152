"""Frames of DL/T 698.45 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. The check
of the head decides early whether a frame begins at all, so that a wrong length is not waited for.
"""

from __future__ import annotations

from headgate.sdk import StreamCodec
from headgate_drivers.dlt698.frames import (
    LONGEST,
    START,
    Code,
    Fault,
    Frame,
    head_right,
    head_size,
    read_frame,
    size_of,
)

WAKE = 0xFE


class Codec(StreamCodec[Frame | Fault]):
    """One stream. FE before a frame is passed over."""

    piece = LONGEST

    def _truncated(self, count: int) -> Fault:
        return self._fault("truncated", count)

    def _fault(self, code: Code, count: int) -> Fault:
        del self._buffer[:count]
        return Fault(code, count)

    def next(self) -> Frame | Fault | None:
        buffer = self._buffer
        while buffer and buffer[0] == WAKE:
            del buffer[0]
        if not buffer:
            return None
        if buffer[0] != START:
            return self._fault("bad_start", self._beginning(0))
        if len(buffer) < 5:
            return None
        begins = bytes(buffer[:5])
        size, head = size_of(begins), head_size(begins)
        if not isinstance(size, int):
            return self._fault(size, self._beginning(1))
        if head + 3 > size:
            return self._fault("bad_length", self._beginning(1))
        if len(buffer) < head:
            return None
        if not head_right(bytes(buffer[:head])):
            return self._fault("bad_checksum", self._beginning(1))
        if len(buffer) < size:
            # The head is right, but perhaps the rest never came: the next whole frame decides.
            later = self._whole_frame_in(1)
            return None if later is None else self._fault("truncated", later)
        frame = read_frame(bytes(buffer[:size]))
        if isinstance(frame, Frame):
            del buffer[:size]
            return frame
        inside = self._whole_frame_in(1, size)
        if inside is not None:
            return self._fault(frame, inside)
        return self._fault(frame, size if frame != "bad_end" else self._beginning(1))

    def _beginning(self, at: int) -> int:
        found = self._buffer.find(START, at)
        return found if found >= 0 else len(self._buffer)

    def _whole_frame_in(self, at: int, before: int = LONGEST) -> int | None:
        """Where a later frame begins that is complete and right, if it begins early enough."""
        buffer = self._buffer
        while (at := buffer.find(START, at, before)) >= 0:
            rest = bytes(buffer[at : at + 24])
            size = size_of(rest) if len(rest) >= 5 else "truncated"
            if isinstance(size, int) and at + size <= len(buffer) and head_size(rest) + 3 <= size:
                raw = bytes(buffer[at : at + size])
                carried = _says(bytes(buffer[max(0, at - 3) : at]), size)
                if not carried and head_right(raw) and isinstance(read_frame(raw), Frame):
                    return at
            at += 1
        return None


def _says(before: bytes, size: int) -> bool:
    """Whether the length of an octet string stands there: a frame that another one carries to a meter."""
    if size < 0x80:
        return before[-1:] == bytes([size])
    if size < 0x100:
        return before[-2:] == bytes([0x81, size])
    return before == b"\x82" + size.to_bytes(2, "big")
