"""Values out of bytes as a profile says where they stand: for every sensor nobody wrote a codec for."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

Order = Literal["little", "big"]

#: Encodings of a profile that make sense in a frame of bytes, with their own size (0: must be said).
SIZES = {
    "uint16": 2, "int16": 2, "uint32": 4, "int32": 4, "uint64": 8, "int64": 8, "bits": 2,
    "float32": 4, "float64": 8, "bool": 1, "text": 0,
}  # fmt: skip


class Place(NamedTuple):
    """Where one value stands. An integer may take fewer bytes than its type: a uint16 of one byte."""

    kind: str
    at: int = 0
    size: int = 2
    order: Order = "little"
    bit: int | None = None

    @property
    def end(self) -> int:
        """Bytes the frame must have."""
        return self.at + self.size


def value_at(data: bytes, place: Place) -> int | float | bool | str | None:
    """The raw value; None when the frame ends before it, or its text is none."""
    part = data[place.at : place.end]
    if len(part) < place.size:
        return None
    if place.kind in ("float32", "float64"):
        letter = "f" if place.kind == "float32" else "d"
        mark = "<" if place.order == "little" else ">"
        value: float = struct.unpack(mark + letter, part)[0]
        return value
    if place.kind == "text":
        try:
            return part.partition(b"\0")[0].decode("utf-8").strip()
        except UnicodeDecodeError:
            return None
    raw = int.from_bytes(part, place.order, signed=place.kind.startswith("int"))
    if place.kind == "bool":
        return bool(raw if place.bit is None else raw >> place.bit & 1)
    return raw
