"""Packets of HJ 212 out of a stream of bytes. Pure, and never raises on what it is fed.

`feed` gives what is complete: packets, and faults that say how many bytes were taken for them. Nothing
means that more is needed; `waiting` is what is kept until then, never more than `most`.

A wrong length is found by the end of the packet, not by waiting for bytes that never come: what is
declared ends before CR LF, or CR LF comes first behind something that looks like a check.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from headgate.sdk import StreamCodec
from headgate_drivers.hj212 import sealed
from headgate_drivers.hj212.crc import crc16
from headgate_drivers.hj212.editions import Edition
from headgate_drivers.hj212.frames import (
    CP,
    END,
    HEAD,
    LONGEST_DATA,
    LONGEST_SAID,
    MARK,
    TAIL,
    Code,
    Fault,
    Packet,
    characters,
    read_segment,
)

#: What a packet ends with, wherever its length says it does.
_LOOKS_ENDED = re.compile(rb"&&[0-9A-Fa-f]{4}\r\n")
_BEGINS = re.compile(rb"##[0-9]{4}")
#: A check whose zeros in front were left out.
_SHORT = re.compile(rb"([0-9A-Fa-f]{1,3})\r\n")
_BETWEEN = b"\r\n \t\0"
#: An encrypted byte that is printed takes five characters: `0xE4,`.
_PRINTED = 5


class Codec(StreamCodec[Packet | Fault]):
    """One stream.

    Args:
        longest: the longest data segment that is taken (1024 by the standard; some loggers need more).
        keys: the key of a logger by its MN, where its CP is encrypted (2025); None where there is none.
    """

    def __init__(
        self,
        longest: int = LONGEST_DATA,
        keys: Callable[[str], bytes | None] = lambda mn: None,
    ) -> None:
        super().__init__()
        self.longest = min(longest, LONGEST_SAID)
        self.piece = HEAD + self.longest + TAIL
        self._longest_printed = HEAD + _PRINTED * self.longest + TAIL
        #: The most that is ever kept: one longest packet, printed, and what came with its end.
        self.most = self._longest_printed + self.piece
        self._keys = keys

    @property
    def unended(self) -> bool:
        """Whether what is kept is a packet of which only CR LF is missing: it may never come."""
        return self._unended() is not None

    def feed(self, data: bytes) -> list[Packet | Fault]:
        """Take bytes as they came; give what is complete by now, in order."""
        return [event for event, _ in self.pieces(data)]

    def pieces(self, data: bytes) -> list[tuple[Packet | Fault, bytes]]:
        """As `feed`, each with its bytes."""
        found: list[tuple[Packet | Fault, bytes]] = []
        for at in range(0, len(data), self.piece):
            self._buffer += data[at : at + self.piece]
            while True:
                before = bytes(self._buffer)
                event = self.next()
                if event is None:
                    break
                taken = before[: len(before) - len(self._buffer)]
                found.append((event, taken.lstrip(_BETWEEN)))
        return found

    def _truncated(self, count: int) -> Fault:
        packet = self._unended()
        if packet is not None:
            return self._fault("bad_end", count, "no CR LF", packet)
        return self._fault("truncated", count)

    def _unended(self) -> Packet | None:
        buffer = self._buffer
        if not buffer.startswith(MARK) or not bytes(buffer[2:HEAD]).isdigit():
            return None
        end = HEAD + int(buffer[2:HEAD])
        if buffer[end + 4 :] not in (b"", END[:1]) or len(buffer) < end + 4:
            return None
        data = bytes(buffer[HEAD:end])
        right = _same(bytes(buffer[end : end + 4]), crc16(data))
        return read_segment(data)[0] if right else None

    def _fault(
        self, code: Code, count: int, detail: str = "", packet: Packet | None = None
    ) -> Fault:
        del self._buffer[:count]
        return Fault(code, count, detail, packet)

    def next(self) -> Packet | Fault | None:
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
        if not 0 < length <= self.longest and not self._is_printed():
            return self._lost("bad_length", HEAD, f"{length} bytes, {self.longest} allowed")
        return self._whole(length)

    def _whole(self, length: int) -> Packet | Fault | None:
        buffer, end = self._buffer, HEAD + length
        if self._is_printed():
            return self._printed()
        early = _LOOKS_ENDED.search(buffer, HEAD, end + TAIL - 1)
        if early is not None and early.end() != end + TAIL:
            # Cut off, the packet behind it looks like its end: that one begins inside.
            inside = _BEGINS.search(buffer, HEAD, early.end())
            count = inside.start() if inside else early.end()
            packet = None if inside else self._counted(early.end() - len(END))
            return self._fault("bad_length", count, f"it ends before {length} bytes", packet)
        if len(buffer) < end + 4:
            return self._short(end)
        data, check = bytes(buffer[HEAD:end]), bytes(buffer[end : end + 4])
        right, tail = _same(check, crc16(data)), buffer[end + 4 : end + TAIL]
        if tail == END:
            return self._read(data, end + TAIL) if right else self._sealed(data, check)
        if len(tail) < len(END) and END.startswith(tail):
            return self._short(end)
        if right:
            return self._fault("bad_end", end + 4, "no CR LF", read_segment(data)[0])
        return self._short(end) or self._lost(
            "bad_length", HEAD, f"it does not end behind {length} bytes"
        )

    def _read(self, data: bytes, size: int) -> Packet | Fault:
        """A segment whose check is right."""
        packet, flaws = read_segment(data)
        if _of_2025(packet) and sealed.must_be(packet.cn):
            cp = data.partition(CP)[2].removesuffix(b"&&")
            if sealed.looks_coded(cp) or sealed.looks_sealed(cp):
                return self._refused(packet, size, "in no way that is known here")
        if flaws:
            return self._fault("bad_field", size, "; ".join(flaws[:4]), packet)
        del self._buffer[:size]
        return packet

    def _short(self, end: int) -> Fault | None:
        """A check whose zeros in front were left out: four characters belong to it."""
        found = _SHORT.match(self._buffer, end)
        data = bytes(self._buffer[HEAD:end])
        if found is None or int(found[1], 16) != crc16(data):
            return None
        detail = f"its check has {len(found[1])} characters"
        return self._fault("bad_length", found.end(), detail, read_segment(data)[0])

    def _damaged(self, size: int, detail: str) -> Fault:
        """A check that is wrong: leave a packet alone that begins inside of what a length swallowed."""
        inside = _BEGINS.search(self._buffer, HEAD, size)
        return self._fault("bad_checksum", inside.start() if inside else size, detail)

    def _lost(self, code: Code, at: int, detail: str) -> Fault | None:
        """Where it ends is not known: at the next CR LF, or where another packet begins."""
        buffer = self._buffer
        ends, begins = buffer.find(END, at), _BEGINS.search(buffer, len(MARK))
        if begins is not None and (ends < 0 or begins.start() < ends):
            return self._fault(code, begins.start(), detail)
        if ends >= 0:
            return self._fault(code, ends + len(END), detail, self._counted(ends))
        if len(buffer) < self.piece:
            return None
        return self._fault(code, len(buffer) - buffer.endswith(b"#"), detail)

    def _counted(self, ends: int) -> Packet | None:
        """A packet whose length counts characters where the standard counts bytes, or check and end too."""
        raw, said = bytes(self._buffer[: ends - 4]), bytes(self._buffer[ends - 4 : ends])
        data = raw[HEAD:]
        if len(data) > self.longest or not _same(said, crc16(data)):
            return None
        counted = (len(characters(data)), len(data) + 4, len(data) + TAIL)
        right = raw[2:HEAD].isdigit() and int(raw[2:HEAD]) in counted
        return read_segment(data)[0] if right else None

    # ------------------------------------------------------------ encrypted as 2025 does it

    def _is_printed(self) -> bool:
        return sealed.PRINTED.search(self._buffer, HEAD, HEAD + 256) is not None

    def _printed(self) -> Packet | Fault | None:
        """Encrypted bytes as text; the length is that of the plain segment, or of what is there."""
        ends = self._buffer.find(END, HEAD)
        if ends < 0:
            if len(self._buffer) < self._longest_printed:
                return None
            return self._fault("bad_length", len(self._buffer), "printed bytes without an end")
        head, mark, rest = bytes(self._buffer[HEAD:ends]).partition(CP)
        cp = sealed.from_printed(rest[:-6])
        if cp is None or rest[-6:-4] != b"&&":
            return self._fault("bad_checksum", ends + len(END), "printed bytes that are none")
        return self._opened(head + mark + cp + b"&&", rest[-4:], ends + len(END))

    def _sealed(self, data: bytes, check: bytes) -> Packet | Fault:
        """A check that is not that of the segment: encrypted, or damaged."""
        size, cp = HEAD + len(data) + TAIL, data.partition(CP)[2].removesuffix(b"&&")
        head = read_segment(data.partition(CP)[0] + CP + b"&&")[0]
        # Who has a key here is believed to use it, whatever Flag says or is not there to say.
        if self._keys(head.mn) is not None or (_of_2025(head) and sealed.looks_sealed(cp)):
            return self._opened(data, check, size)
        return self._damaged(size, f"{check!r} where {crc16(data):04X} is right")

    def _opened(self, data: bytes, check: bytes, size: int) -> Packet | Fault:
        before, mark, cp = data.partition(CP)
        head = read_segment(before + mark + b"&&")[0]
        key = self._keys(head.mn)
        if key is None:
            return self._refused(head, size, "and there is no key for it")
        plain = before + mark + sealed.opened(key, cp.removesuffix(b"&&")) + b"&&"
        if not _same(check, crc16(plain)):
            return self._damaged(size, "encrypted with another key, or damaged")
        found = self._read(plain, size)
        return msgspec.structs.replace(found, sealed=True) if isinstance(found, Packet) else found

    def _refused(self, head: Packet, size: int, why: str) -> Fault:
        head = msgspec.structs.replace(head, cp="", sealed=True)
        detail = f"CP of {head.mn} is encrypted (HJ 212-2025, 6.4), {why}"
        return self._fault("not_supported", size, detail, head)


def _of_2025(packet: Packet) -> bool:
    return packet.flag is not None and packet.flag.version >= Edition.OF_2025


def _same(check: bytes, computed: int) -> bool:
    # Loggers write either case, and all four characters.
    return check.upper() == b"%04X" % computed
