"""Lines to words and back: `$KIND,STATION,...*XX` CR LF; XX is the XOR of what stands between $ and *."""

import re
from functools import reduce

import msgspec

from headgate.sdk import StreamCodec

LONGEST = 128
_END = b"\r\n"
_LINE = re.compile(rb"\$([ -)+-~]*)\*([0-9A-F]{2})")


class Line(msgspec.Struct, frozen=True):
    """A right line: what it is, who says it (or who is meant), the rest."""

    kind: str
    station: str
    words: tuple[str, ...]


class Fault(msgspec.Struct, frozen=True):
    """Bytes that are no right line."""

    code: str
    consumed: int
    detail: str = ""


class Codec(StreamCodec[Line | Fault]):
    """One stream of lines. A wrong one costs nothing of the next."""

    def next(self) -> Line | Fault | None:
        end = self._buffer.find(_END)
        if end < 0:
            # Nobody may keep us waiting with a line that has no end.
            return self._truncated(len(self._buffer)) if len(self._buffer) > LONGEST else None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(_END)]
        found = _LINE.fullmatch(line)
        if found is None:
            return Fault("bad_start", end + len(_END))
        if int(found[2], 16) != check(found[1]):
            return Fault("bad_checksum", end + len(_END), f"{check(found[1]):02X} is right")
        kind, _, rest = found[1].decode("ascii").partition(",")
        station, *words = rest.split(",")
        return Line(kind, station, tuple(words))

    def _truncated(self, count: int) -> Fault:
        del self._buffer[:count]
        return Fault("truncated", count)


def line(*words: object) -> bytes:
    """A line as it goes out."""
    text = ",".join(str(word) for word in words).encode("ascii")
    return b"$%s*%02X%s" % (text, check(text), _END)


def check(text: bytes) -> int:
    """The XOR of all bytes."""
    return reduce(lambda one, two: one ^ two, text, 0)
