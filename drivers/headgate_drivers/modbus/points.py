"""What a profile may say of a Modbus point, and what is wrong when it says something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headgate.sdk import Device, LineSettings, Problem, ProfileError
from headgate_drivers.modbus.codec import MAX_BITS, MAX_REGISTERS, READ_COILS, READ_DISCRETE
from headgate_drivers.modbus.encoding import DECODED, ORDERS, PLAIN, Encoding, Order
from headgate_drivers.modbus.plan import AREAS, Limits, Place

#: Keys of a point, besides `type`.
POINT_KEYS: Mapping[str, str] = {
    "register": "first register, counted as the profile's address_base says",
    "area": "coil, discrete, input or holding (holding when not said)",
    "order": "ABCD, CDAB, BADC or DCBA: byte order as it stands in the frame (ABCD when not said)",
    "length": "text: how many registers it takes",
    "bit": "bool in a register: which bit, 0 the least significant; without it, not zero is true",
    "charset": "text: its character set, utf-8 when not said (gb18030 is common)",
}

#: Quirks of a device that this driver knows.
QUIRKS: Mapping[str, str] = {
    "gap_limit": "registers read along between two points to save a request (8)",
    "max_registers": "registers the device gives at once (125)",
    "max_bits": "coils or inputs the device gives at once (2000)",
    "no_holes": "never ask for a register that no point names",
    "one_register_at_a_time": "ask for every value alone",
    "swapped_words": "32 and 64-bit values stand the other way round than the profile says",
    "address_shift": "added to every register, -1 or 1: a unit that counts otherwise than its manual",
    "line": "serial settings of this device where they differ from its channel's: 2400 8E1",
    "gap_ms": "least silence on the line before a request to this device, in milliseconds",
    "echo": "the adapter gives back every byte that is sent",
    "write_multiple": "write single registers and coils by functions 16 and 15",
    "no_device_id": "never ask for function 43/14, which this device does not survive",
}

_Fields = dict[str, str | int | float]


def limits_of(device: Device) -> Limits:
    """What one request to this device may span, its quirks regarded.

    Raises:
        ProfileError: a quirk with a value that makes no sense.
    """
    quirks = device.quirks
    problems = []
    numbers = {}
    for key, low, high, usual in (
        ("gap_limit", 0, MAX_REGISTERS, 8),
        ("max_registers", 1, MAX_REGISTERS, MAX_REGISTERS),
        ("max_bits", 1, MAX_BITS, MAX_BITS),
    ):
        value = quirks.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            fields: _Fields = {"key": key, "value": str(value), "allowed": f"{low} .. {high}"}
            problems.append(Problem(f'device "{device.id}": quirks.{key}', "HG-3120", fields))
            value = usual
        numbers[key] = value
    shift = quirks.get("address_shift", 0)
    if isinstance(shift, bool) or shift not in (-1, 0, 1):
        fields = {"key": "address_shift", "value": str(shift), "allowed": "-1 .. 1"}
        problems.append(Problem(f'device "{device.id}": quirks.address_shift', "HG-3120", fields))
        shift = 0
    for key in sorted(quirks.keys() - QUIRKS.keys()):
        # A misspelt quirk would be a device that is read as if it had none.
        fields = {"key": "quirks", "value": key, "allowed": ", ".join(QUIRKS)}
        problems.append(Problem(f'device "{device.id}": quirks.{key}', "HG-3120", fields))
    if problems:
        raise ProfileError(problems)
    return Limits(
        shift=int(shift),
        swapped=bool(quirks.get("swapped_words")),
        registers=numbers["max_registers"],
        bits=numbers["max_bits"],
        gap=0 if quirks.get("no_holes") else numbers["gap_limit"],
        joined=not quirks.get("one_register_at_a_time"),
    )


def places_of(device: Device, limits: Limits) -> list[Place]:
    """Where each point of the device stands, in point order.

    Raises:
        ProfileError: every point that cannot be read, with what is wrong with it.
    """
    problems: list[Problem] = []
    places = []
    for index, point in enumerate(device.points):
        where = f'device "{device.id}": point "{point.point.name}"'
        try:
            places.append(_place(index, point.source, limits))
        except _Wrong as wrong:
            problems.append(Problem(where, "HG-3120", wrong.fields))
            continue
        if not places[-1].encoding.fits(point.point.type):
            fields: _Fields = {"type": places[-1].encoding.name, "column": point.point.type}
            problems.append(Problem(where, "HG-3121", fields))
    if problems:
        raise ProfileError(problems)
    return places


class Line(NamedTuple):
    """How this device wants its line, where it differs from what its channel says."""

    text: str = ""
    gap_s: float = 0.0
    echo: bool = False

    def over(self, base: LineSettings) -> LineSettings | None:
        """The settings of this device's transactions; None: the channel's own will do."""
        if self == Line():
            return None
        settings = base.with_text(self.text) if self.text else base
        return msgspec.structs.replace(
            settings, gap_s=max(self.gap_s, base.gap_s), echo=self.echo or base.echo
        )


def line_quirks(device: Device) -> Line:
    """What the device's quirks say of its line.

    Raises:
        ProfileError: settings that are none.
    """
    quirks = device.quirks
    text, gap = str(quirks.get("line", "")), quirks.get("gap_ms", 0)
    problems = []
    try:
        LineSettings().with_text(text or "9600")
    except ValueError:
        fields: _Fields = {"key": "line", "value": text, "allowed": "9600 8N1, 2400 8E1 ..."}
        problems.append(Problem(f'device "{device.id}": quirks.line', "HG-3120", fields))
    if isinstance(gap, (bool, str)) or not 0 <= gap <= 10_000:
        fields = {"key": "gap_ms", "value": str(gap), "allowed": "0 .. 10000"}
        problems.append(Problem(f'device "{device.id}": quirks.gap_ms', "HG-3120", fields))
        gap = 0
    if problems:
        raise ProfileError(problems)
    return Line(text, gap / 1000, bool(quirks.get("echo")))


def unit_of(device: Device) -> int:
    """The unit identifier of the device.

    Raises:
        ProfileError: an address that is none.
    """
    try:
        unit = int(device.address)
    except ValueError:
        unit = -1
    if not 0 <= unit <= 255:
        fields: _Fields = {"value": str(device.address), "allowed": "0 .. 255"}
        raise ProfileError([Problem(f'device "{device.id}": address', "HG-3122", fields)])
    return unit


class _Wrong(Exception):
    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key)
        self.fields: _Fields = {"key": key, "value": str(value), "allowed": allowed}


_SWAPPED: dict[Order, Order] = {"ABCD": "CDAB", "CDAB": "ABCD", "BADC": "DCBA", "DCBA": "BADC"}


def _place(index: int, source: Mapping[str, object], limits: Limits) -> Place:
    kind = source.get("type", "uint16")
    area = source.get("area", "holding")
    if area not in AREAS:
        raise _Wrong("area", area, " | ".join(AREAS))
    function = AREAS[str(area)]
    register = _number(source, "register", 0, 0xFFFF) + limits.shift
    if not 0 <= register <= 0xFFFF:
        raise _Wrong("register", register, "0 .. 65535, address_shift regarded")
    if function in (READ_COILS, READ_DISCRETE):
        if kind != "bool":
            raise _Wrong("type", kind, f"bool (area is {area})")
        return Place(index, function, register, 1, Encoding("bool", 1))
    if kind not in PLAIN and kind not in DECODED:
        raise _Wrong("type", kind, " | ".join((*PLAIN, *DECODED)))
    name = str(kind)
    order = next((letters for letters in ORDERS if letters == source.get("order", "ABCD")), None)
    if order is None:
        raise _Wrong("order", source.get("order"), " | ".join(ORDERS))
    registers = PLAIN[name][1] if name in PLAIN else DECODED[name]
    if limits.swapped and registers > 1:
        order = _SWAPPED[order]
    if name == "text":
        registers = _number(source, "length", 1, limits.registers)
    if registers > limits.registers:
        raise _Wrong("type", kind, f"what fits in max_registers = {limits.registers}")
    if register + registers > 0x10000:
        raise _Wrong("register", register, f"0 .. {0x10000 - registers}")
    bit = None
    if name == "bool" and source.get("bit") is not None:
        bit = _number(source, "bit", 0, 15)
    charset = str(source.get("charset") or "utf-8")
    try:
        "a".encode(charset)
    except LookupError:
        raise _Wrong("charset", charset, "utf-8 | gb18030 | ascii | latin-1") from None
    return Place(
        index, function, register, registers, Encoding(name, registers, order, bit, charset)
    )


def _number(source: Mapping[str, object], key: str, low: int, high: int) -> int:
    value = source.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _Wrong(key, "-" if value is None else value, f"{low} .. {high}")
    return value
