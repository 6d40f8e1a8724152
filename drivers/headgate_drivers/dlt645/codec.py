"""Frames of DL/T 645 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest frame.

After damage the next whole frame is found wherever it begins, also inside what a wrong length
swallowed. Both editions may be on one line; a frame of DL/T 698.45 between them is passed over whole.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.dlt645 import neighbours
from headgate_drivers.dlt645.frames import (
    HEAD,
    LEAST,
    LONGEST,
    LONGEST_WAKE,
    WAKE,
    Code,
    Fault,
    Frame,
    read_frame,
)
from headgate_drivers.dlt645.messages import understand

#: Who listens: to a master its own requests are an echo; a monitor hears both sides.
Side = Literal["monitor", "master"]

#: What a frame begins with, as far as its bytes are there.
_BEGINS = re.compile(rb"\x68(?:(?s:.{6})(?:\x68|\Z)|(?s:.{0,5})\Z)")
#: A head that is all there, to look for behind damage.
_PLAUSIBLE = re.compile(rb"\x68(?s:.{6})\x68(?s:.{2})")
#: How many later beginnings are looked at while one frame waits for more bytes.
LOOK_AHEAD = 16


class Codec(StreamCodec[Frame | Fault]):
    """One stream.

    Args:
        side: a "master" takes what other masters (and its own echo) ask for `not_supported`.
        buffer: read from somebody else's buffer instead of what is fed; then `next` is asked.
    """

    piece = LONGEST

    def __init__(self, side: Side = "monitor", buffer: bytearray | None = None) -> None:
        super().__init__(buffer)
        self.side = side

    def _truncated(self, count: int) -> Fault:
        return self._fault("truncated", count)

    def _fault(self, code: Code, count: int, detail: str = "", frame: Frame | None = None) -> Fault:
        del self._buffer[:count]
        return Fault(code, count, detail, frame)

    def next(self) -> Frame | Fault | None:
        """What is complete at the beginning of the buffer, taken off it; None: more is needed."""
        buffer = self._buffer
        if not buffer:
            return None
        wake = 0
        while wake < len(buffer) and buffer[wake] == WAKE:
            wake += 1
        if wake > LONGEST_WAKE:
            return self._fault("bad_start", wake - LONGEST_WAKE, "nothing but FE")
        if wake == len(buffer):
            return None
        if _BEGINS.match(buffer, wake) is None:
            return self._stray(wake)
        if len(buffer) < wake + HEAD:
            return None
        size = LEAST + buffer[wake + HEAD - 1]
        if len(buffer) < wake + size:
            ahead = self._whole_frame_in(wake, len(buffer))
            return None if ahead is None else self._fault("truncated", ahead)
        frame = read_frame(bytes(buffer[wake : wake + size]))
        if isinstance(frame, Frame):
            del buffer[: wake + size]
            return self._read(msgspec.structs.replace(frame, preamble=wake))
        return self._damaged(frame, wake, size)

    def _stray(self, wake: int) -> Fault | None:
        """Something that is no frame of ours: a neighbour's whole frame, or noise up to the next one."""
        buffer = self._buffer
        size = neighbours.size_of(buffer, wake)
        if size is not None:
            whole = neighbours.whole(buffer, wake, size)
            if whole:
                return self._fault("not_supported", wake + size, "a frame of DL/T 698.45")
            unfinished = whole is None and len(buffer) < LONGEST
            if unfinished and self._whole_frame_in(wake, len(buffer)) is None:
                return None
        return self._fault("bad_start", _beginning(buffer, wake + 1), "no 68 where one belongs")

    def _read(self, frame: Frame) -> Frame | Fault:
        frame = msgspec.structs.replace(frame, message=understand(frame.control, frame.data))
        message = frame.message
        if frame.refused:
            return Fault("device_error", frame.size, message.says if message else "", frame)
        if self.side == "master" and not frame.reply:
            return Fault("not_supported", frame.size, "a request, perhaps our own", frame)
        if message is not None and message.flaws:
            return Fault("bad_field", frame.size, "; ".join(message.flaws[:4]), frame)
        return frame

    def _damaged(self, code: Code, wake: int, size: int) -> Fault:
        """Leave the next frame alone: one that is whole inside, or what may begin one behind."""
        ahead = self._whole_frame_in(wake, wake + size)
        if ahead is not None:
            return self._fault(code, ahead)
        if code == "bad_checksum":  # its end is where it says
            return self._fault(code, wake + size)
        later = _PLAUSIBLE.search(self._buffer, wake + 1)
        begins = _beginning(self._buffer, max(wake + 1, wake + size - HEAD))
        return self._fault(code, min(later.start(), begins) if later else begins)

    def _whole_frame_in(self, wake: int, limit: int) -> int | None:
        """Where a later frame begins, before `limit`, that is complete and right."""
        buffer, at = self._buffer, wake
        for _ in range(LOOK_AHEAD):
            match = _PLAUSIBLE.search(buffer, at + 1)
            if match is None or match.start() >= limit:
                return None
            at = match.start()
            size = LEAST + buffer[at + HEAD - 1]
            whole = bytes(buffer[at : at + size])
            if len(whole) == size and isinstance(read_frame(whole), Frame):
                while at > wake + 1 and buffer[at - 1] == WAKE:
                    at -= 1
                return at
        return None


def _beginning(buffer: bytearray, at: int) -> int:
    """Where a frame may begin, from `at` on, with the FE before it; the length where none does."""
    match = _BEGINS.search(buffer, at)
    begins = match.start() if match else len(buffer)
    while begins > at and buffer[begins - 1] == WAKE:
        begins -= 1
    return begins
