"""Where a point's value stands in a frame, and how it is written there. Pure."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence

import msgspec

from headgate.sdk import FORMAT, ColumnType, DevicePoint, Status, Value
from headgate_drivers.serial.rules import MISSING, Misfit

#: Keys of a point, besides `type`.
POINT_KEYS: Mapping[str, str] = {
    "at": "first byte in the frame, its start included; negative from its end",
    "size": "bytes (what the type takes)",
    "encoding": "binary | bcd | ascii (a number in text) | hex (ASCII digits of a binary value)",
    "order": "big | little | CDAB | BADC: byte order of binary, bcd and hex values (big)",
    "bit": "bool: which bit, 0 the least significant",
    "field": "which of the separated fields, 0 the first; negative from the last",
    "prefix": "what stands before the number; without `field` it finds the field",
    "suffix": "what stands after it, a unit for example",
    "is": "bool: true when the field reads this",
    "no_value": "what the field reads when there is no value: several with | between",
    "sentence": "only frames that begin with this, after their start: MWV, WIMWV, PVENDOR",
    "request": "asked for with this instead of the frame's request",
    "valid_field": "which field says whether the value counts",
    "valid": "what that field must read (A)",
}

_NUMBER = re.compile(rb"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,3})?")
_INTEGER = re.compile(rb"[+-]?\d{1,30}")
_ORDERS = ("big", "little", "ABCD", "DCBA", "CDAB", "BADC")
_FLOATS = {"f32": ">f", "f64": ">d"}
_BCD_SIZE = {"bcd16": 2, "bcd32": 4, "bcd64": 8}

Found = tuple[Value, Status]


class Place(msgspec.Struct, frozen=True):
    """One point's value in a frame."""

    column: ColumnType
    encoding: str = "binary"
    at: int | None = None
    size: int = 0
    order: str = "big"
    signed: bool = False
    bit: int | None = None
    field: int | None = None
    prefix: bytes = b""
    suffix: bytes = b""
    is_: bytes | None = None
    no_value: tuple[bytes, ...] = (b"",)
    valid_field: int | None = None
    valid: bytes = b"A"

    def of(self, content: bytes, fields: Sequence[bytes]) -> Found:
        """The raw value in a frame, or None and why there is none."""
        raw = self._raw(content, fields)
        if raw is None:
            return None, Status.MALFORMED
        if self.valid_field is not None:
            told = _field(fields, self.valid_field)
            if told is None or told.strip() != self.valid:
                return None, Status.DEVICE_FAULT
        if self.encoding == "ascii":
            return self._text(raw)
        if self.encoding == "hex":
            try:
                raw = bytes.fromhex(raw.decode("ascii"))
            except ValueError:  # UnicodeDecodeError among them
                return None, Status.MALFORMED
        return self._binary(raw)

    def _raw(self, content: bytes, fields: Sequence[bytes]) -> bytes | None:
        if self.at is not None:
            at = self.at + len(content) if self.at < 0 else self.at
            raw = content[at : at + self.size] if at >= 0 else b""
            return raw if len(raw) == self.size else None
        if self.field is not None:
            return _field(fields, self.field)
        return next((f for f in fields if f.strip().startswith(self.prefix)), None)

    def _text(self, raw: bytes) -> Found:
        text = raw.strip(b" \t\r\n\0")
        if text in self.no_value:
            return None, Status.SENTINEL
        if self.column == "text":
            return text.decode("utf-8", "replace"), Status.NONE
        if self.is_ is not None:
            return text == self.is_, Status.NONE
        if not (text.startswith(self.prefix) and text.endswith(self.suffix)):
            return None, Status.MALFORMED
        text = text[len(self.prefix) : len(text) - len(self.suffix)].strip()
        if text in self.no_value:
            return None, Status.SENTINEL
        whole = self.column not in _FLOATS
        if (_INTEGER if whole else _NUMBER).fullmatch(text) is None:
            return None, Status.MALFORMED
        number = int(text) if whole else float(text)
        return self._fitted(number) if math.isfinite(number) else (None, Status.MALFORMED)

    def _binary(self, raw: bytes) -> Found:
        ordered = _ordered(raw, self.order)
        if self.encoding == "bcd":
            digits = ordered.hex()
            if not digits.isdecimal():
                return None, Status.MALFORMED
            return self._fitted(int(digits))
        if self.column in _FLOATS:
            layout = _FLOATS[self.column]
            if len(ordered) != struct.calcsize(layout):
                return None, Status.MALFORMED
            return struct.unpack(layout, ordered)[0], Status.NONE
        if self.column == "text":
            return raw.partition(b"\0")[0].decode("utf-8", "replace").strip(), Status.NONE
        number = int.from_bytes(ordered, "big", signed=self.signed)
        if self.bit is not None:
            number = number >> self.bit & 1
        return self._fitted(number)

    def _fitted(self, number: int | float) -> Found:
        """The number if its column can carry it."""
        if self.column == "bool":
            return bool(number), Status.NONE
        try:
            struct.pack(f">{FORMAT[self.column]}", number)
        except (struct.error, OverflowError):
            return None, Status.MALFORMED
        return number, Status.NONE


def place_of(point: DevicePoint, separated: bool) -> Place:
    """Where a point's value stands.

    Raises:
        Misfit: a key with a value that is not possible.
    """
    source = point.source
    kind = str(source.get("type", "uint16"))
    column = point.point.type
    bcd = _BCD_SIZE.get(kind)
    usual = "bcd" if bcd else "binary" if "at" in source else "ascii"
    encoding = _choice(source, "encoding", usual, ("binary", "bcd", "ascii", "hex"))
    at = _whole(source, "at", -1024, 1024) if "at" in source else None
    field = _whole(source, "field", -64, 255) if "field" in source else None
    prefix = _bytes(source, "prefix") or b""
    if (at is not None and field is not None) or (at is None and field is None and not prefix):
        raise Misfit("at", source.get("at", MISSING), "one of at, field, prefix")
    if at is None and not separated:
        raise Misfit("field", field, "with a separator in [frame]")
    natural = bcd or _width(column)
    if "size" not in source and at is not None and (encoding in ("ascii", "hex") or not natural):
        raise Misfit("size", MISSING, f"bytes, for {encoding} {kind}")
    size = _whole(source, "size", 1, 256) if "size" in source else natural
    if encoding == "binary" and column in _FLOATS and size != natural:
        raise Misfit("size", size, str(natural))
    if encoding in ("binary", "bcd") and column != "text" and size > 8:
        raise Misfit("size", size, "1 .. 8")
    order = _choice(source, "order", "big", _ORDERS)
    if order in ("CDAB", "BADC") and at is not None and size % 4:
        raise Misfit("order", order, "big | little, for this size")
    told = _bytes(source, "no_value")
    return Place(
        column=column,
        encoding=encoding,
        at=at,
        size=size,
        order=order,
        signed=kind.startswith("int"),
        bit=_whole(source, "bit", 0, 8 * size - 1) if "bit" in source else None,
        field=field,
        prefix=prefix,
        suffix=_bytes(source, "suffix") or b"",
        is_=_bytes(source, "is"),
        no_value=(b"",) if told is None else (b"", *(word.strip() for word in told.split(b"|"))),
        valid_field=_whole(source, "valid_field", -64, 255) if "valid_field" in source else None,
        valid=_bytes(source, "valid") or b"A",
    )


def _width(column: str) -> int:
    return (
        struct.calcsize(FORMAT[column])
        if column in FORMAT and column != "bool"
        else (1 if column == "bool" else 0)
    )


def _field(fields: Sequence[bytes], index: int) -> bytes | None:
    return fields[index] if -len(fields) <= index < len(fields) else None


def _ordered(raw: bytes, order: str) -> bytes:
    if order in ("little", "DCBA"):
        return raw[::-1]
    if order == "CDAB" and len(raw) % 2 == 0:
        words = [raw[i : i + 2] for i in range(0, len(raw), 2)]
        return b"".join(reversed(words))
    if order == "BADC" and len(raw) % 2 == 0:
        return b"".join(raw[i + 1 : i + 2] + raw[i : i + 1] for i in range(0, len(raw), 2))
    return raw


def _whole(source: Mapping[str, object], key: str, low: int, high: int) -> int:
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Misfit(key, MISSING if value is None else value, f"{low} .. {high}")
    return value


def _choice(source: Mapping[str, object], key: str, usual: str, allowed: Sequence[str]) -> str:
    value = source.get(key, usual)
    if value not in allowed:
        raise Misfit(key, value, " | ".join(allowed))
    return str(value)


def _bytes(source: Mapping[str, object], key: str) -> bytes | None:
    value = source.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Misfit(key, value, '"text"')
    return value.encode()
