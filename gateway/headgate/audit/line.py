"""One line of the log's files, pure: what is written, what is read back, and how lines hang together.

    8 hex digits, a space, one JSON object, a line feed

The digits are the CRC-32 of the JSON text: they tell a power cut from an edit. `previous` in the JSON is
the SM3 of the JSON text of the line before: that is the chain, and any tool can check it. Specified in
`docs/reference/audit.md`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from headgate.audit.entry import Entry
from headgate.env import ClockState

#: What the first line of all says of the line before it.
NOTHING: Final = "0" * 64
#: No line is longer: longer texts are cut before they are written, and a longer line is damage.
LONGEST_LINE: Final = 16 * 1024
_LONGEST_TEXT: Final = 256
_LONGEST_ENTRY: Final = 12 * 1024
_MOST_FIELDS: Final = 24
_CRC_DIGITS: Final = 8

Field = str | int | float | bool | None


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry as it stands in the log. `at` is boottime, `wall` unix time, both in microseconds.

    `clock` says how far `wall` can be trusted; `boot` is the boot of `at`, hexadecimal.
    """

    seq: int
    at: int
    boot: str
    wall: int
    clock: ClockState
    kind: str
    who: str
    what: str
    result: str
    code: str
    fields: dict[str, Field]
    previous: str


class Found(msgspec.Struct, frozen=True):
    """A sound line of a file: where it begins, its JSON text, and what that says."""

    offset: int
    text: bytes
    line: Line

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + _CRC_DIGITS + 1 + len(self.text) + 1


class Unsound(msgspec.Struct, frozen=True):
    """Bytes [offset, end) that are no line of a log."""

    offset: int
    end: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def bounded(entry: Entry) -> Entry:
    """The same entry, with texts cut to what a line may hold: nobody outside decides how long one gets."""
    fields = {
        _cut(name): _cut(value) if isinstance(value, str) else value
        for name, value in list(entry.fields.items())[:_MOST_FIELDS]
    }
    kept = Entry(
        kind=_cut(entry.kind), who=_cut(entry.who), what=_cut(entry.what),
        result=_cut(entry.result), code=_cut(entry.code), fields=fields,
    )  # fmt: skip
    # Escapes may still make six bytes of one character.
    while fields and len(_encode(kept)) > _LONGEST_ENTRY:
        fields.popitem()
    return kept


def _cut(text: str) -> str:
    # What a stranger sent may hold half a surrogate pair, which JSON cannot.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def json_text(line: Line) -> bytes:
    """The JSON text of a line: what its digest is made of."""
    return _encode(line)


def encode(text: bytes) -> bytes:
    """A whole line of the file."""
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decode(raw: bytes) -> Line | None:
    """What a line without its line feed says; None when these are not bytes that `encode` made."""
    text = raw[_CRC_DIGITS + 1 :]
    if raw[: _CRC_DIGITS + 1] != b"%08x " % zlib.crc32(text):
        return None
    try:
        line = _decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # Byte for byte what we would write: there are not two texts for one entry.
    return line if _encode(line) == text else None


def scan(data: bytes) -> Iterator[Found | Unsound]:
    """Every sound line of a file in order, and every stretch that holds none. Never raises."""
    offset, bad = 0, None
    while offset < len(data):
        end = data.find(b"\n", offset)
        raw = data[offset:end] if end >= 0 else b""
        line = decode(raw) if 0 < len(raw) <= LONGEST_LINE else None
        after = len(data) if end < 0 else end + 1
        if line is None:
            bad = offset if bad is None else bad
        else:
            if bad is not None:
                yield Unsound(bad, offset)
                bad = None
            yield Found(offset, raw[_CRC_DIGITS + 1 :], line)
        offset = after
    if bad is not None:
        yield Unsound(bad, len(data))
