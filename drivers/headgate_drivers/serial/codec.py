"""Frames out of a stream of bytes, by the rule of a profile. Pure, and never raises on what it is fed.

The rule says how a frame begins, how long it is or how it ends, and how it is checked. Offsets count
from a frame's first byte, the start included; negative ones from its end, the closing bytes not counted.

After noise or a damaged frame the next whole frame is found: a candidate that fails its check gives
up one byte, not its whole length, and while a candidate waits for more bytes a later one that is
complete and checks out is preferred to it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from headgate_drivers.serial.checksum import Checksum

#: A rule may not ask for more than this; what is unfinished is never kept beyond it.
LONGEST = 1024
#: How many later candidates are looked at while one waits for more bytes.
LOOK_AHEAD = 16


class Number(NamedTuple):
    """An unsigned number inside a frame: where, how many bytes, and how they are written."""

    at: int
    size: int = 1
    #: `binary`, `hex` (ASCII digits), `ascii` (decimal digits), `bcd`.
    encoding: str = "binary"
    little: bool = False

    def of(self, frame: bytes | bytearray) -> int | None:
        """The number in a frame; None when it is not there or is no number."""
        at = self.at + len(frame) if self.at < 0 else self.at
        raw = bytes(frame[at : at + self.size]) if at >= 0 else b""
        if len(raw) < self.size:
            return None
        if self.encoding == "binary":
            return int.from_bytes(raw, "little" if self.little else "big")
        if self.encoding == "bcd":
            text = (raw[::-1] if self.little else raw).hex()
            return int(text) if text.isdecimal() else None
        return digits(raw, 16 if self.encoding == "hex" else 10)

    def write(self, value: int) -> bytes:
        """The number as it stands on the wire. Raises ValueError when it does not fit."""
        try:
            if self.encoding == "binary":
                return value.to_bytes(self.size, "little" if self.little else "big")
            if self.encoding == "bcd":
                raw = bytes.fromhex(f"{value:0{2 * self.size}d}")
                text = raw[::-1] if self.little else raw
            else:
                kind = "X" if self.encoding == "hex" else "d"
                text = f"{value:0{self.size}{kind}}".encode()
        except OverflowError as error:
            raise ValueError(str(value)) from error
        if len(text) != self.size:
            raise ValueError(str(value))
        return text


class Check(NamedTuple):
    """Where a frame keeps its check value, what it covers, and how it is computed."""

    algorithm: Checksum
    place: Number
    begin: int = 0
    #: The first byte no longer covered; None: the check value's own place.
    end: int | None = None
    #: What stands before the check value; a frame without it has none.
    mark: bytes = b""
    required: bool = True

    def holds(self, content: bytes) -> bool:
        """Whether the check value is there, if it must be, and is right."""
        at = self.place.at + len(content) if self.place.at < 0 else self.place.at
        if self.mark and content[max(0, at - len(self.mark)) : max(0, at)] != self.mark:
            return not self.required
        end = at - len(self.mark) if self.end is None else self.end
        stored = self.place.of(content)
        return stored is not None and stored == self.algorithm.of(content[self.begin : end])


class Rule(msgspec.Struct, frozen=True):
    """How frames of one kind of device are cut. One of: `size`, `length`, or neither and `end` alone."""

    start: bytes = b""
    end: bytes = b""
    #: The whole frame in bytes, start and end included; 0: not fixed.
    size: int = 0
    #: Where the frame tells its length; the whole frame is that and `length_add`.
    length: Number | None = None
    length_add: int = 0
    longest: int = 256
    check: Check | None = None

    def content(self, frame: bytes) -> bytes:
        """A frame without its closing bytes; a line that ends with LF may have a CR before it."""
        if not self.end:
            return frame
        content = frame[: -len(self.end)]
        return content.removesuffix(b"\r") if self.end == b"\n" else content

    def holds(self, frame: bytes) -> bool:
        """Whether a frame of the right length closes and checks as it must."""
        if self.end and not frame.endswith(self.end):
            return False
        return self.check is None or self.check.holds(self.content(frame))


class Whole(NamedTuple):
    """A frame that came whole: its content, without the closing bytes."""

    content: bytes


class Damaged(NamedTuple):
    """Bytes that began as a frame and are none."""

    data: bytes


class Noise(NamedTuple):
    """Bytes that belong to nothing."""

    size: int


Event = Whole | Damaged | Noise


class Codec:
    """Fed bytes, gives events. Keeps at most one unfinished frame."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self._buffer += data

    def events(self) -> list[Event]:
        """What is complete by now, in order."""
        found = []
        while (event := cut(self.rule, self._buffer)) is not None:
            found.append(event)
        return found

    @property
    def waiting(self) -> int:
        """How many bytes of something unfinished are kept."""
        return len(self._buffer)


def cut(rule: Rule, buffer: bytearray) -> Event | None:
    """The next event, its bytes removed from `buffer`; None when more bytes are needed."""
    if not buffer:
        return None
    if rule.start:
        at = buffer.find(rule.start)
        if at < 0:
            at = len(buffer) - _begun(buffer, rule.start)
        if at:
            return _noise(buffer, at)
        if len(buffer) < len(rule.start):
            return None
    return _by_length(rule, buffer) if rule.size or rule.length else _by_end(rule, buffer)


def _by_end(rule: Rule, buffer: bytearray) -> Event | None:
    at = buffer.find(rule.end, len(rule.start))
    if at < 0:
        if len(buffer) <= rule.longest:
            return None
        # A frame this long there is not; what may begin another is kept.
        again = buffer.find(rule.start, 1) if rule.start else -1
        return _damaged(buffer, again if again > 0 else len(buffer) - _begun(buffer, rule.start))
    size = at + len(rule.end)
    frame = bytes(buffer[:size])
    again = frame.find(rule.start, 1, at) if rule.start else -1
    if again > 0 and (rule.check is None or not rule.check.required):
        # The one before lost its end: where no check need tell, what began last is the whole one.
        return _damaged(buffer, frame.rfind(rule.start, 1, at))
    if size <= rule.longest and rule.holds(frame):
        del buffer[:size]
        return Whole(rule.content(frame))
    return _damaged(buffer, again if again > 0 else size)


def _by_length(rule: Rule, buffer: bytearray) -> Event | None:
    if not rule.start:
        return _slide(rule, buffer)
    size = _size(rule, buffer)
    if size is None or len(buffer) < size:
        ahead = _ahead(rule, buffer)
        return None if ahead is None else _damaged(buffer, ahead)
    frame = bytes(buffer[:size])
    if size and rule.holds(frame):
        del buffer[:size]
        return Whole(rule.content(frame))
    again = buffer.find(rule.start, 1)
    return _damaged(buffer, again if again > 0 else len(buffer) - _begun(buffer, rule.start, 1))


def _slide(rule: Rule, buffer: bytearray) -> Event | None:
    """Frames without a beginning of their own: every place is one, until the check holds."""
    size = rule.size
    for at in range(len(buffer) - size + 1):
        frame = bytes(buffer[at : at + size])
        if rule.holds(frame):
            if at:
                return _noise(buffer, at)
            del buffer[:size]
            return Whole(rule.content(frame))
    surplus = len(buffer) - size + 1
    return _noise(buffer, surplus) if surplus > 0 else None


def _size(rule: Rule, buffer: bytes | bytearray) -> int | None:
    """The whole frame's size; None while the bytes that tell it are not there, 0 when it makes no sense."""
    if rule.size:
        return rule.size
    number = rule.length
    assert number is not None
    if len(buffer) < number.at + number.size:
        return None
    told = number.of(buffer)
    size = 0 if told is None else told + rule.length_add
    return size if number.at + number.size <= size <= rule.longest else 0


def _ahead(rule: Rule, buffer: bytearray) -> int | None:
    """Where a later frame begins that is complete and checks out."""
    if rule.check is None:
        return None
    at = 0
    for _ in range(LOOK_AHEAD):
        at = buffer.find(rule.start, at + 1)
        if at < 0:
            return None
        head = buffer[at : at + rule.longest]
        size = _size(rule, head)
        if size and len(head) >= size and rule.holds(bytes(head[:size])):
            return at
    return None


def _begun(buffer: bytearray, start: bytes, least: int = 0) -> int:
    """How many bytes at the buffer's end may be the beginning of `start`."""
    for size in range(min(len(start) - 1, len(buffer) - least), 0, -1):
        if buffer.endswith(start[:size]):
            return size
    return 0


def _noise(buffer: bytearray, size: int) -> Noise:
    del buffer[:size]
    return Noise(size)


def _damaged(buffer: bytearray, size: int) -> Damaged:
    data = bytes(buffer[:size])
    del buffer[:size]
    return Damaged(data)


def digits(raw: bytes, base: int) -> int | None:
    """An unsigned number in ASCII digits, blanks around it allowed; None when it is none."""
    text = raw.strip()
    wanted = b"0123456789abcdefABCDEF" if base == 16 else b"0123456789"
    if not text or text.strip(wanted):
        return None
    return int(text, base)
