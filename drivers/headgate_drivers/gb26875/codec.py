"""Frames of GB/T 26875.3 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest frame.

After damage the next whole frame is found wherever it begins, also inside what a wrong length
swallowed: at most one frame is lost behind a damaged one.
"""

from __future__ import annotations

import re

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875.frames import (
    HEAD,
    LONGEST,
    LONGEST_ADU,
    START,
    TAIL,
    Code,
    Fault,
    Frame,
    length_in,
    parse,
    parse_head,
    read_frame,
)

#: A head that makes sense, to look for behind damage: its length is one that is allowed.
_PLAUSIBLE = re.compile(rb"@@(?s:.{22})(?:(?s:.)[\x00-\x03]|\x00\x04)")
#: How many later beginnings are looked at while one frame waits for more bytes.
LOOK_AHEAD = 16


class Codec(StreamCodec[Frame | Fault]):
    """One stream."""

    piece = LONGEST

    def __init__(self) -> None:
        super().__init__()
        #: Places in the buffer that look like a beginning and are none.
        self._refuted: set[int] = set()

    def _truncated(self, count: int) -> Fault:
        return self._fault("truncated", count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._refuted.clear()
        return taken

    def _fault(self, code: Code, count: int, detail: str = "", frame: Frame | None = None) -> Fault:
        self._take(count)
        return Fault(code, count, detail, frame)

    def next(self) -> Frame | Fault | None:
        buffer = self._buffer
        at = _beginning(buffer, 0)
        if at:
            return self._fault("bad_start", at)
        if len(buffer) < HEAD:
            return None
        length = length_in(buffer)
        if length > LONGEST_ADU:
            detail = f"{length} bytes of data, {LONGEST_ADU} allowed"
            head = parse_head(bytes(buffer[:HEAD]))
            return self._fault("bad_length", self._later(HEAD), detail, head)
        size = HEAD + length + TAIL
        if len(buffer) < size:
            ahead = self._whole_frame_in(len(buffer))
            return None if ahead is None else self._fault("truncated", ahead)
        raw = bytes(buffer[:size])
        frame = read_frame(raw)
        if isinstance(frame, Frame):
            return self._read(frame, size)
        ahead = self._whole_frame_in(size)
        if ahead is not None:
            return self._fault(frame, ahead)
        if frame == "bad_checksum":  # its end is where it says
            return self._fault(frame, size, "", parse(raw))
        return self._fault(frame, self._end_of(size), "", parse_head(raw))

    def _read(self, frame: Frame, size: int) -> Frame | Fault:
        self._take(size)
        frame = msgspec.structs.replace(frame, message=adu.read(frame.adu))
        if frame.message is not None and frame.message.flaws:
            return Fault("bad_field", size, "; ".join(frame.message.flaws[:4]), frame)
        return frame

    def _end_of(self, size: int) -> int:
        """Where a frame with no end where it should be is over: at the next that may begin."""
        later = _PLAUSIBLE.search(self._buffer, 1, size)
        # The last bytes may be the beginning of the next one.
        return later.start() if later else _beginning(self._buffer, max(1, size - HEAD + 1))

    def _later(self, known: int) -> int:
        later = _PLAUSIBLE.search(self._buffer, 1)
        begins = _beginning(self._buffer, max(1, len(self._buffer) - HEAD + 1))
        return later.start() if later else max(1, min(begins, len(self._buffer)) or known)

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
            size = HEAD + length_in(buffer[at : at + HEAD - 1]) + TAIL
            if len(buffer) < at + size:
                continue
            if isinstance(read_frame(bytes(buffer[at : at + size])), Frame):
                return at
            self._refuted.add(at)
        return None


def _beginning(buffer: bytearray, at: int) -> int:
    """Where a frame may begin, from `at` on; the length where none does."""
    found = buffer.find(START, at)
    if found >= 0:
        return found
    return len(buffer) - (len(buffer) > at and buffer.endswith(START[:1]))
