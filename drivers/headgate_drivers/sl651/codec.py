"""Frames of SL 651 out of a stream of bytes, in either coding. Pure, and never raises on what it is fed.

`feed` gives what is complete: frames, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest frame.

After damage the next whole frame is found wherever it begins, also inside what a wrong length
swallowed: at most one frame is lost behind a damaged one.
"""

from __future__ import annotations

import re

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.sl651 import body, spelling, text
from headgate_drivers.sl651.frames import (
    CHECK,
    HEAD,
    LONGEST,
    Code,
    Coding,
    Direction,
    Fault,
    Frame,
    Head,
    head_of,
    read_frame,
)
from headgate_drivers.sl651.items import Message

#: The least that a frame in each coding begins with, as far as its bytes are there.
_BCD = re.compile(rb"\x7e(?:\x7e|\Z)")
_ASCII = re.compile(rb"\x01(?:[0-9A-Fa-f]{22}[\x02\x16]|[0-9A-Fa-f]{0,22}\Z)")
#: A head that makes sense, to look for behind damage.
_PLAUSIBLE = re.compile(
    rb"\x7e\x7e(?s:.{9})[\x00-\x0f\x80-\x8f](?s:.)[\x02\x16]|\x01[0-9A-Fa-f]{22}[\x02\x16]"
)
#: How many later beginnings are looked at while one frame waits for more bytes.
LOOK_AHEAD = 16


def understand(frame: Frame) -> Message:
    """What the body of a frame says, or of several packets put together."""
    read = body.read if frame.coding is Coding.BCD else text.read
    return read(frame.function, frame.body, up=frame.direction is Direction.UP)


def compose(message: Message, coding: Coding) -> bytes:
    """The body that says this.

    Raises:
        ValueError: something that has no place in this coding.
    """
    return body.write(message) if coding is Coding.BCD else spelling.write(message)


class Codec(StreamCodec[Frame | Fault]):
    """One stream, which may change its coding from frame to frame."""

    piece = LONGEST

    def __init__(self) -> None:
        super().__init__()
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
        if not buffer:
            return None
        coding = Coding.BCD if buffer[0] == 0x7E else Coding.ASCII
        if len(buffer) < HEAD[coding]:
            return None
        head = head_of(bytes(buffer[: HEAD[coding]]), coding)
        if not isinstance(head, Head):
            later = _PLAUSIBLE.search(buffer, 1)
            # Whose head is all there is plausible or none: only the last bytes may still become one.
            begins = _beginning(buffer, max(1, len(buffer) - HEAD[Coding.ASCII] + 1))
            return self._fault(head, later.start() if later else begins)
        if len(buffer) < head.size:
            ahead = self._whole_frame_in(len(buffer))
            return None if ahead is None else self._fault("truncated", ahead)
        frame = read_frame(bytes(buffer[: head.size]), coding, head)
        if isinstance(frame, Frame):
            return self._read(frame, head.size)
        if frame == "bad_field":  # its check is right: the frame ends where it says
            return self._fault(frame, head.size, "which packet of how many makes no sense")
        return self._damaged(frame, head.size, coding)

    def _read(self, frame: Frame, size: int) -> Frame | Fault:
        self._take(size)
        if frame.total:
            return frame
        frame = msgspec.structs.replace(frame, message=understand(frame))
        if frame.message is not None and frame.message.flaws:
            return Fault("bad_field", size, "; ".join(frame.message.flaws[:4]), frame)
        return frame

    def _damaged(self, code: Code, size: int, coding: Coding) -> Fault:
        """Leave the next frame alone: one that is whole inside, or what may begin one behind."""
        ahead = self._whole_frame_in(size)
        if ahead is not None:
            return self._fault(code, ahead)
        if code == "bad_checksum":  # its end is where it says, its check may be another's beginning
            return self._fault(code, min(size, _beginning(self._buffer, size - CHECK[coding])))
        later = _PLAUSIBLE.search(self._buffer, 1)
        begins = _beginning(self._buffer, size - HEAD[coding])
        return self._fault(code, later.start() if later else begins)

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
            coding = Coding.BCD if buffer[at] == 0x7E else Coding.ASCII
            head = head_of(bytes(buffer[at : at + HEAD[coding]]), coding)
            if isinstance(head, Head):
                if len(buffer) < at + head.size:
                    continue
                if isinstance(read_frame(bytes(buffer[at : at + head.size]), coding, head), Frame):
                    return at
            self._refuted.add(at)
        return None


def _beginning(buffer: bytearray, at: int) -> int:
    """Where a frame may begin, from `at` on; the length where none does."""
    places = [match.start() for each in (_BCD, _ASCII) if (match := each.search(buffer, at))]
    return min(places, default=len(buffer))
