"""What a profile may say of a Modbus point, and what is wrong when it says something else."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.sdk import Device, Problem, ProfileError
from headgate_drivers.modbus.codec import MAX_BITS, MAX_REGISTERS, READ_COILS, READ_DISCRETE
from headgate_drivers.modbus.encoding import DECODED, ORDERS, PLAIN, Encoding
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
    if problems:
        raise ProfileError(problems)
    return Limits(
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
        fields: _Fields = {"key": "address", "value": str(device.address), "allowed": "0 .. 255"}
        raise ProfileError([Problem(f'device "{device.id}": address', "HG-3120", fields)])
    return unit


class _Wrong(Exception):
    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key)
        self.fields: _Fields = {"key": key, "value": str(value), "allowed": allowed}


def _place(index: int, source: Mapping[str, object], limits: Limits) -> Place:
    kind = source.get("type", "uint16")
    area = source.get("area", "holding")
    if area not in AREAS:
        raise _Wrong("area", area, " | ".join(AREAS))
    function = AREAS[str(area)]
    register = _number(source, "register", 0, 0xFFFF)
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
