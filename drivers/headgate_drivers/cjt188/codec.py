"""Frames of CJ/T 188 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest frame.

One 68 is little to begin with. So while a frame waits for more bytes, and behind every damage, a later
frame that is whole and right is looked for, wherever it begins.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.cjt188.frames import (
    HEAD,
    LEAST,
    LONGEST,
    LONGEST_WAKE,
    START,
    WAKE,
    Code,
    Fault,
    Frame,
    read_frame,
)
from headgate_drivers.cjt188.messages import understand

#: Who listens: to a master its own requests are an echo; a monitor hears both sides.
Side = Literal["monitor", "master"]
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

    def next(self) -> Frame | Fault | None:
        """What is complete at the beginning of the buffer, taken off it; None: more is needed."""
        buffer = self._buffer
        wake = 0
        while wake < len(buffer) and buffer[wake] == WAKE:
            wake += 1
        if wake > LONGEST_WAKE:
            return self._fault("bad_start", wake - LONGEST_WAKE, "nothing but FE")
        if wake == len(buffer):
            return None
        if buffer[wake] != START:
            return self._fault("bad_start", self._beginning(wake), "no 68 where one belongs")
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

    def _fault(self, code: Code, count: int, detail: str = "", frame: Frame | None = None) -> Fault:
        del self._buffer[:count]
        return Fault(code, count, detail, frame)

    def _read(self, frame: Frame) -> Frame | Fault:
        message = understand(frame.control, frame.data)
        frame = msgspec.structs.replace(frame, message=message)
        if frame.refused:
            return Fault("device_error", frame.size, message.says, frame)
        if self.side == "master" and not frame.reply:
            return Fault("not_supported", frame.size, "a request, perhaps our own", frame)
        if message.flaws:
            return Fault("bad_field", frame.size, "; ".join(message.flaws[:4]), frame)
        return frame

    def _damaged(self, code: Code, wake: int, size: int) -> Fault:
        """Leave the next frame alone: one that is whole inside, or what may begin one behind."""
        ahead = self._whole_frame_in(wake, wake + size)
        if ahead is not None:
            return self._fault(code, ahead)
        if code == "bad_checksum":  # its end is where it says
            return self._fault(code, wake + size)
        return self._fault(code, self._beginning(wake + 1))

    def _whole_frame_in(self, wake: int, limit: int) -> int | None:
        """Where a later frame begins, before `limit`, that is complete and right."""
        buffer, at = self._buffer, wake
        for _ in range(LOOK_AHEAD):
            at = buffer.find(START, at + 1, limit)
            if at < 0 or len(buffer) < at + LEAST:
                return None
            size = LEAST + buffer[at + HEAD - 1]
            whole = bytes(buffer[at : at + size])
            if len(whole) == size and isinstance(read_frame(whole), Frame):
                return self._with_wake(at, wake + 1)
        return None

    def _beginning(self, at: int) -> int:
        """Where a frame may begin, from `at` on, with the FE before it; the length where none does."""
        found = self._buffer.find(START, at)
        return self._with_wake(found if found >= 0 else len(self._buffer), at)

    def _with_wake(self, at: int, least: int) -> int:
        while at > least and self._buffer[at - 1] == WAKE:
            at -= 1
        return at
