"""What a `profile.toml` says, as types: docs/reference/profile.md is its manual.

Numbers stay as they were written (`int | float`, or an expression over `$params`) until a device
brings its own parameters; `headgate.profiles.compile` puts the two together.
"""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from headgate.errors import Problem
from headgate.model import FORMAT, Access, ColumnType, DataClass
from headgate.profiles.expression import Number
from headgate.profiles.firmware import FirmwareRange, HasFirmware, Scheme

#: The only version of the format there is.
SCHEMA = 1

Scalar = str | int | float | bool

#: How a device encodes a value, and the column that carries it. The driver decodes BCD (a nibble
#: above 9 is a bad value); half a register arrives widened; `bits` is a 16-bit status word.
ENCODINGS: dict[str, ColumnType] = {
    "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64",
    "int64": "i64", "float32": "f32", "float64": "f64", "bool": "bool", "text": "text", "bits": "u16",
    "bytes": "bytes", "bcd16": "u16", "bcd32": "u32", "bcd64": "u64",
    "uint8_high": "u16", "uint8_low": "u16", "int8_high": "i16", "int8_low": "i16",
}  # fmt: skip
Encoding = Literal[
    "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64",
    "bool", "text", "bytes", "bits", "bcd16", "bcd32", "bcd64",
    "uint8_high", "uint8_low", "int8_high", "int8_low",
]  # fmt: skip


class Bits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A field of bits inside a raw value, bit 0 the least significant."""

    shift: int
    width: int = 1


class Param(msgspec.Struct, frozen=True):
    """What one device has to tell about itself; without a `default` the site file must give it.

    `label` announces the value among the device's labels under that name.
    """

    title: str = ""
    title_zh: str = ""
    unit: str = "1"
    type: Literal["number", "integer", "text"] = "number"
    required: bool = True
    default: Scalar | None = None
    range: tuple[float, float] | None = None
    choices: tuple[Scalar, ...] = ()
    label: str = ""

    def misfit(self, value: object) -> str:
        """What this parameter allows, when `value` is not that; empty when it fits."""
        if self.type == "text":
            fits, words = isinstance(value, str), "string"
        elif self.type == "integer":
            fits, words = isinstance(value, int) and not isinstance(value, bool), "integer"
        else:
            fits, words = isinstance(value, (int, float)) and not isinstance(value, bool), "number"
        if self.range is not None:
            low, high = self.range
            unit = "" if self.unit == "1" else f" {self.unit}"
            words = f"{words}, {low:g} .. {high:g}{unit}"
            fits = fits and isinstance(value, (int, float)) and low <= value <= high
        if self.choices:
            words = " | ".join(str(choice) for choice in self.choices)
            fits = fits and value in self.choices
        return "" if fits else words


class PointSpec(msgspec.Struct, frozen=True, rename={"class_": "class"}):
    """One `[[point]]`. `source` holds the driver's own keys, register already counted from zero."""

    name: str
    type: Encoding
    unit: str = "1"
    title: str = ""
    scale: Number | None = None
    offset: Number | None = None
    polynomial: tuple[Number, ...] | None = None
    lookup: tuple[tuple[Number, Number], ...] | None = None
    between: Literal["linear", "step", "exact"] = "linear"
    bits: Bits | None = None
    sentinels: tuple[int | float | Literal["nan"], ...] = ()
    range: tuple[Number, Number] | None = None
    deadband: Number | None = None
    access: Access = Access.READ
    class_: DataClass = DataClass.MEASURE
    interval_s: float | None = None
    source: dict[str, Scalar] = msgspec.field(default_factory=dict)

    @property
    def column(self) -> ColumnType:
        """The column type that carries this point's raw values."""
        return ENCODINGS[self.type]

    def numbers(self) -> tuple[tuple[str, Number], ...]:
        """(key, number) of everything that may refer to a parameter."""
        found: list[tuple[str, Number | None]] = [("scale", self.scale), ("offset", self.offset)]
        found += [("polynomial", number) for number in self.polynomial or ()]
        found += [("lookup", number) for pair in self.lookup or () for number in pair]
        found += [("range", number) for number in self.range or ()]
        found.append(("deadband", self.deadband))
        return tuple((key, number) for key, number in found if number is not None)


class Variant(HasFirmware, frozen=True):
    """The whole map of one firmware range: the profile's points with this variant's changes applied."""

    points: tuple[PointSpec, ...] = ()
    quirks: dict[str, Scalar] = msgspec.field(default_factory=dict)


class Identify(msgspec.Struct, frozen=True):
    """Where the device tells its own firmware. `format` says how the raw words become a version."""

    format: Literal["major.minor bytes", "integer", "text"]
    source: dict[str, Scalar] = {}


class Profile(msgspec.Struct, frozen=True):
    """What a model offers. `where` is the file it came from."""

    vendor: str
    model: str
    driver: str
    variants: tuple[Variant, ...]
    title: str = ""
    title_zh: str = ""
    source: str = ""
    firmware_scheme: Scheme = "dotted"
    params: dict[str, Param] = {}
    identify: tuple[Identify, ...] = ()
    where: str = ""

    @property
    def id(self) -> str:
        """`vendor/model`: what a site file names it by."""
        return f"{self.vendor}/{self.model}"


class Decoded(msgspec.Struct, frozen=True):
    """What came out of one file: a profile unless there are problems; notices do not stop anything."""

    profile: Profile | None
    problems: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()


def raw_sentinel(column: ColumnType, value: int | float | str) -> int | float:
    """A sentinel as it stands in the column.

    A signed sentinel may be written as the manual prints it, in hex: 0x8000 of an int16 is -32768. A
    float32 one is rounded as the device rounds it.

    Raises:
        ValueError: it can never stand in such a column.
    """
    if column in ("f32", "f64"):
        number = float(value)
        try:
            return float(struct.unpack(FORMAT[column], struct.pack(FORMAT[column], number))[0])
        except OverflowError as error:
            raise ValueError(str(value)) from error
    if isinstance(value, bool) or not isinstance(value, int) or column in ("bool", "text", "bytes"):
        raise ValueError(str(value))
    bits = int(column[1:])
    if column[0] == "i" and 1 << (bits - 1) <= value < 1 << bits:
        value -= 1 << bits
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if column[0] == "i" else (0, 1 << bits)
    if not low <= value < high:
        raise ValueError(str(value))
    return value


__all__ = [
    "ENCODINGS",
    "SCHEMA",
    "Bits",
    "Decoded",
    "FirmwareRange",
    "Identify",
    "Param",
    "PointSpec",
    "Profile",
    "Scalar",
    "Scheme",
    "Variant",
    "raw_sentinel",
]
