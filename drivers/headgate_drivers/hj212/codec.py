"""Packets of HJ 212 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: packets, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than one longest packet.

A wrong length is found by the end of the packet, not by waiting for bytes that never come: what is
declared ends before CR LF, or CR LF comes first behind something that looks like a check.
"""

from __future__ import annotations

import re

from headgate_drivers.hj212.crc import crc16
from headgate_drivers.hj212.frames import (
    END,
    HEAD,
    LONGEST_DATA,
    LONGEST_SAID,
    MARK,
    TAIL,
    Code,
    Fault,
    Packet,
    read_segment,
)

#: What a packet ends with, wherever its length says it does.
_LOOKS_ENDED = re.compile(rb"&&[0-9A-Fa-f]{4}\r\n")
_BEGINS = re.compile(rb"##[0-9]{4}")
_BETWEEN = b"\r\n \t\0"


class Codec:
    """One stream.

    Args:
        longest: the longest data segment that is taken (1024 by the standard; some loggers need more).
    """

    def __init__(self, longest: int = LONGEST_DATA) -> None:
        self.longest = min(longest, LONGEST_SAID)
        self.most = HEAD + self.longest + TAIL
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """How many bytes of something unfinished are kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Packet | Fault]:
        """Take bytes as they came; give what is complete by now, in order."""
        found: list[Packet | Fault] = []
        # In pieces, so that a flood is never kept whole.
        for at in range(0, len(data), self.most):
            self._buffer += data[at : at + self.most]
            while (event := self._next()) is not None:
                found.append(event)
        return found

    def end(self) -> Fault | None:
        """The line has ended, or was silent for too long: what was kept is no packet any more."""
        if not self._buffer:
            return None
        return self._fault("truncated", len(self._buffer))

    def _fault(
        self, code: Code, count: int, detail: str = "", packet: Packet | None = None
    ) -> Fault:
        del self._buffer[:count]
        return Fault(code, count, detail, packet)

    def _next(self) -> Packet | Fault | None:
        buffer = self._buffer
        while buffer and buffer[0] in _BETWEEN:
            del buffer[0]
        at = buffer.find(MARK)
        if at < 0:
            at = len(buffer) - buffer.endswith(b"#")
        if at:
            return self._fault("bad_start", at)
        if len(buffer) < HEAD:
            return None
        digits = bytes(buffer[2:HEAD])
        marks = len(buffer) - len(buffer.lstrip(b"#"))
        if marks > len(MARK):
            return self._fault("bad_start", marks - len(MARK))
        if not digits.isdigit():
            return self._lost("bad_length", HEAD, f"the length is no number: {digits!r}")
        length = int(digits)
        if not 0 < length <= self.longest:
            return self._lost("bad_length", HEAD, f"{length} bytes, {self.longest} allowed")
        return self._whole(length)

    def _whole(self, length: int) -> Packet | Fault | None:
        buffer, end = self._buffer, HEAD + length
        early = _LOOKS_ENDED.search(buffer, HEAD, end + TAIL - 1)
        if early is not None and early.end() != end + TAIL:
            return self._fault("bad_length", early.end(), f"it ends before {length} bytes")
        if len(buffer) < end + TAIL:
            return None
        data, check = bytes(buffer[HEAD:end]), bytes(buffer[end : end + 4])
        right = _same(check, crc16(data))
        if buffer[end + 4 : end + TAIL] == END:
            if not right:
                return self._damaged(end + TAIL, f"{check!r} where {crc16(data):04X} is right")
            packet, flaws = read_segment(data)
            if flaws:
                return self._fault("bad_field", end + TAIL, "; ".join(flaws[:4]), packet)
            del buffer[: end + TAIL]
            return packet
        if right:
            return self._fault("bad_end", end + 4, "no CR LF", read_segment(data)[0])
        return self._lost("bad_length", HEAD, f"it does not end behind {length} bytes")

    def _damaged(self, size: int, detail: str) -> Fault:
        """A check that is wrong: leave a packet alone that begins inside of what a length swallowed."""
        inside = _BEGINS.search(self._buffer, HEAD, size)
        return self._fault("bad_checksum", inside.start() if inside else size, detail)

    def _lost(self, code: Code, at: int, detail: str) -> Fault | None:
        """Where it ends is not known: at the next CR LF, or where another packet begins."""
        buffer = self._buffer
        ends, begins = buffer.find(END, at), _BEGINS.search(buffer, at)
        if begins is not None and (ends < 0 or begins.start() < ends):
            return self._fault(code, begins.start(), detail)
        if ends >= 0:
            return self._fault(code, ends + len(END), detail)
        if len(buffer) < self.most:
            return None
        return self._fault(code, len(buffer) - buffer.endswith(b"#"), detail)


def _same(check: bytes, computed: int) -> bool:
    # Loggers write either case, and all four characters.
    return check.upper() == b"%04X" % computed
