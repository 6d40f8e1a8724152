"""Frames of SZY 206 and SL/T 427 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest frame.

After damage the next whole frame is found wherever it begins, also inside what a wrong length
swallowed: at most one frame is lost behind a damaged one.
"""

from __future__ import annotations

import re

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.szy206 import body
from headgate_drivers.szy206.body import AS_IT_FITS, Reading
from headgate_drivers.szy206.frames import (
    HEAD,
    Code,
    Fault,
    Frame,
    read_frame,
    sizes,
)

#: The least that a frame begins with, as far as its bytes are there.
_BEGINS = re.compile(rb"\x68(?s:.)\x68|\x68(?s:.)?\Z")
_PLAUSIBLE = re.compile(rb"\x68[^\x00]\x68")
#: How many later beginnings are looked at while one frame waits for more bytes.
LOOK_AHEAD = 16


class Codec(StreamCodec[Frame | Fault]):
    """One stream.

    Args:
        how: how data is read where a frame does not say it; `body.read` reads a frame in another way.
    """

    def __init__(self, how: Reading = AS_IT_FITS) -> None:
        super().__init__()
        self.how = how
        #: Places in the buffer that look like a beginning and are none.
        self._refuted: set[int] = set()

    def _truncated(self, count: int) -> Fault:
        return self._fault("truncated", count)

    def _take(self, count: int) -> None:
        del self._buffer[:count]
        self._refuted.clear()

    def _fault(self, code: Code, count: int, detail: str = "") -> Fault:
        self._take(count)
        return Fault(code, count, detail)

    def next(self) -> Frame | Fault | None:
        buffer = self._buffer
        at = _beginning(buffer, 0)
        if at:
            return self._fault("bad_start", at)
        if len(buffer) <= HEAD:
            return None
        possible = sizes(buffer)
        if possible is None:
            return None
        if not possible:
            detail = f"{buffer[1]} bytes are none"
            return self._fault("bad_length", min(_beginning(buffer, 1), HEAD), detail)
        wrong: Code = "bad_end"
        for index, size in enumerate(possible):
            if len(buffer) < size:
                ahead = self._whole_frame_in(len(buffer))
                return None if ahead is None else self._fault("truncated", ahead)
            frame = read_frame(bytes(buffer[:size]))
            if isinstance(frame, Frame):
                return self._read(frame, size)
            wrong = frame if index == 0 else wrong
        size = possible[0]
        ahead = self._whole_frame_in(size)
        if ahead is not None:
            return self._fault(wrong, ahead)
        if wrong == "bad_checksum":  # its end is where it says
            return self._fault(wrong, size)
        return self._fault(wrong, min(_beginning(buffer, 1), size))

    def _read(self, frame: Frame, size: int) -> Frame | Fault:
        self._take(size)
        frame = msgspec.structs.replace(frame, message=body.read(frame, self.how))
        if frame.message is not None and frame.message.flaws:
            return Fault("bad_field", size, "; ".join(frame.message.flaws[:4]), frame)
        return frame

    def _whole_frame_in(self, limit: int) -> int | None:
        """Where a later frame begins, before `limit`, that is complete and right."""
        buffer, at, looked = self._buffer, 0, 0
        while looked < LOOK_AHEAD:
            match = _PLAUSIBLE.search(buffer, at + 1)
            if match is None or match.start() >= limit:
                return None
            at = match.start()
            if at in self._refuted:
                continue
            looked += 1
            possible = sizes(buffer[at : at + 16])
            if possible is None or any(len(buffer) < at + size for size in possible):
                continue
            for size in possible:
                if isinstance(read_frame(bytes(buffer[at : at + size])), Frame):
                    return at
            self._refuted.add(at)
        return None


def _beginning(buffer: bytearray, at: int) -> int:
    """Where a frame may begin, from `at` on; the length where none does."""
    match = _BEGINS.search(buffer, at)
    return match.start() if match else len(buffer)
