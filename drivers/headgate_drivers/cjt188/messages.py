"""What the data of a frame say (CJ/T 188): measured values, requests, states, refusals. Pure.

Identifiers come in either byte order and are told in the standard's: 901F, whichever way they stood on
the wire (`order` keeps that). Values keep the unit that stands beside them.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from headgate_drivers.cjt188.units import UNITS

READ, ADDRESS, WRITE, KEY_VERSION, SET_ADDRESS, SYNCHRONISE = 0x01, 0x03, 0x04, 0x09, 0x15, 0x16
#: Data identifiers: present data, settlement of the last twelve months, parameters.
PRESENT, METER_TIME, PRICES, SETTLEMENT_DAY, READING_DAY, PURCHASE, KEY, TOLD_ADDRESS = (
    "901F", "907F", "8102", "8103", "8104", "8105", "8106", "810A",
)  # fmt: skip
SET_PRICES, SET_SETTLEMENT_DAY, SET_READING_DAY, SET_PURCHASE, SET_KEY = (
    "A010", "A011", "A012", "A013", "A014",
)  # fmt: skip
SET_TIME, SET_TOTAL, VALVE, NEW_ADDRESS, FACTORY = "A015", "A016", "A017", "A018", "A019"
#: What the valve is told.
OPEN, CLOSE = 0x55, 0x99

#: First bytes of identifiers as the standard prints them: whichever of the two bytes is one tells the order.
_GROUPS = (0x81, 0x90, 0x91, 0xA0, 0xA1, 0xD1, 0xD2, 0xD3, 0xD4)
_GROUPED = frozenset(_GROUPS)
#: Where the unit stands: behind its value as the standard has it, or before it.
Layout = Literal["", "unit_last", "unit_first"]
#: How the two bytes of an identifier stood on the wire: as printed, or lowest first.
Order = Literal["901F", "1F90"]

_REPLY, _REFUSED, _FUNCTION = 0x80, 0x40, 0x3F
_VALVE = {0: "open", 1: "closed", 2: "unknown", 3: "fault"}
_TIME = re.compile(r"(....)(..)(..)(..)(..)(..)")

#: Values in their order: name, decimals, quantity.
_HEAT = (
    ("settlement_day_heat", 2, "energy"), ("current_heat", 2, "energy"), ("heat_power", 2, "power"),
    ("flow_rate", 4, "flow"), ("total_volume", 2, "volume"),
)  # fmt: skip
_VOLUMES = (("current_total", 2, "volume"), ("settlement_day_total", 2, "volume"))
#: Bytes of the present data behind the serial number.
_WATER_SIZE, _HEAT_SIZE = 19, 43


#: Names of values with their decimals, and the quantities that each may be.
Named = tuple[tuple[str, int, str], ...]


class Field(msgspec.Struct, frozen=True):
    """One value by name. None is no value.

    `count` and `decimals` are the digits as they stood on the wire, to convert without rounding twice.
    """

    name: str
    value: float | int | str | bool | None
    unit: str | None = None
    count: int | None = None
    decimals: int = 0


class Message(msgspec.Struct, frozen=True):
    """The data of a frame.

    Attributes:
        identifier: as the standard prints it; "" where there is none.
        wire: its two bytes as they came.
        serial: counted by the master, answered as it was asked.
        status: the two bytes of the state as printed: valve and battery, then the maker's own.
        says: a refusal in words.
        flaws: what is not right.
    """

    identifier: str = ""
    wire: str = ""
    order: Order | None = None
    serial: int | None = None
    fields: tuple[Field, ...] = ()
    layout: Layout = ""
    status: int | None = None
    says: str = ""
    flaws: tuple[str, ...] = ()


def understand(control: int, data: bytes) -> Message:
    """What this frame says."""
    if control & _REFUSED:
        return _refusal(data)
    if len(data) < 3:
        # A key version or nothing at all: no identifier stands before it.
        flawed = control & _FUNCTION in (READ, WRITE)
        return Message(wire=data[:2].hex().upper(),
                       flaws=("data without an identifier",) if flawed else ())  # fmt: skip
    identifier, order = identifier_of(data[:2])
    known = {"identifier": identifier, "order": order, "serial": data[2]}
    message = _said(bool(control & _REPLY), identifier, data[3:])
    return msgspec.structs.replace(message, wire=data[:2].hex().upper(), **known)


def identifier_of(raw: bytes) -> tuple[str, Order]:
    """The identifier as printed, and how it stood on the wire; as it came where neither is known."""
    if raw[0] not in _GROUPS and raw[1] in _GROUPS:
        return raw[::-1].hex().upper(), "1F90"
    return raw.hex().upper(), "901F"


def wire_of(identifier: str, order: Order) -> bytes:
    """The two bytes of an identifier, in this order."""
    raw = bytes.fromhex(identifier)
    return raw if order == "901F" else raw[::-1]


def digits(raw: bytes) -> int | None:
    """A number of packed digits, lowest byte first; None where a half byte is none."""
    text = raw[::-1].hex()
    return int(text) if text.isdecimal() else None


def _said(reply: bool, identifier: str, content: bytes) -> Message:
    if not reply:
        return _asked(identifier, content)
    if identifier == PRESENT:
        return _present(content)
    if identifier.startswith("D1"):
        return _past(identifier, content)
    if identifier == METER_TIME and len(content) == 7:
        return Message(fields=(Field("meter_time", time_of(content)),))
    written = identifier.startswith("A0")
    if written and len(content) == 2:
        return _status(content, (), ())
    if identifier in _READ and (content or not written):
        return _plain(_READ[identifier], content)
    return Message()


def _asked(identifier: str, content: bytes) -> Message:
    flaws: tuple[str, ...]
    if identifier == VALVE and len(content) == 1:
        # Makers have others beside 55 and 99, as 66 and 77 for a valve that hands may turn.
        return Message(fields=(Field("valve_command", f"{content[0]:02X}"),))
    if identifier == NEW_ADDRESS and len(content) == 7:
        return Message(fields=(Field("new_address", content[::-1].hex().upper()),))
    if identifier == SET_TIME and len(content) == 7:
        return Message(fields=(Field("meter_time", time_of(content)),))
    if identifier == SET_TOTAL and len(content) == 5:
        fields, flaws = _values(_VOLUMES[:1], content, "unit_last")
        return Message(fields=fields, flaws=flaws)
    if identifier in _READ and content:
        return _plain(_READ[identifier], content)
    return Message()


def _present(content: bytes) -> Message:
    if len(content) == _WATER_SIZE:
        layout = _layout(content, _VOLUMES)
        fields, flaws = _values(_VOLUMES, content, layout)
        fields += (Field("meter_time", time_of(content[10:17])),)
        return _status(content[17:19], fields, flaws, layout)
    if len(content) == _HEAT_SIZE:
        layout = _layout(content, _HEAT)
        fields, flaws = _values(_HEAT, content, layout)
        warm, more = _temperatures(content[25:31])
        hours = digits(content[31:34])
        fields += (
            *warm, Field("working_hours", hours, "h", hours),
            Field("meter_time", time_of(content[34:41])),
        )  # fmt: skip
        flaws += more if hours is not None else (*more, "working_hours: no digits")
        return _status(content[41:43], fields, flaws, layout)
    # Some meters have present data of their own making: told as they are, none of them a value.
    return Message()


def _layout(content: bytes, names: Named) -> Layout:
    """Where the units stand. The standard's place wins wherever nothing but units stand there."""
    behind = [content[5 * n + 4] for n in range(len(names))]
    if all(unit in UNITS for unit in behind):
        return "unit_last"
    last = sum(
        _quantity(unit) in of.split() for unit, (_, _, of) in zip(behind, names, strict=True)
    )
    first = sum(_quantity(content[5 * n]) in of.split() for n, (_, _, of) in enumerate(names))
    return "unit_first" if first > last else "unit_last"


def _quantity(unit: int) -> str:
    return UNITS[unit].quantity if unit in UNITS else "none"


def _values(
    names: Named, content: bytes, layout: Layout
) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    fields, flaws = [], []
    for n, (name, decimals, _) in enumerate(names):
        raw = content[5 * n : 5 * n + 5]
        unit, raw = (raw[0], raw[1:]) if layout == "unit_first" else (raw[4], raw[:4])
        count = digits(raw)
        if count is None:
            flaws.append(f"{name}: {raw[::-1].hex().upper()} is no number")
        if unit not in UNITS:
            flaws.append(f"{name}: {unit:02X} is no unit")
        text = UNITS[unit].text if unit in UNITS else None
        value = None if count is None or text is None else count / 10**decimals
        fields.append(Field(name, value, text, count if text else None, decimals))
    return tuple(fields), tuple(flaws)


def _temperatures(content: bytes) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    fields, flaws = [], []
    for at, name in ((0, "supply_temperature"), (3, "return_temperature")):
        raw = content[at : at + 3]
        # Nothing in a pipe has 800000: the highest bit is a sign, as meters below zero send it.
        below = bool(raw[2] & 0x80)
        count = digits(raw[:2] + bytes([raw[2] & 0x7F]))
        if count is None or raw == b"\xff\xff\xff":
            count = None
            flaws.append(f"{name}: {raw[::-1].hex().upper()} is no number")
        elif below:
            count = -count
        fields.append(Field(name, None if count is None else count / 100, "degC", count, 2))
    return tuple(fields), tuple(flaws)


def _past(identifier: str, content: bytes) -> Message:
    """Settlement of a month gone by: a value with its unit, or several."""
    if not content or len(content) % 5:
        return Message()
    month = int(identifier[2:], 16) - 0x20 + 1
    names = tuple((f"settlement_{month}_{n + 1}" if n else f"settlement_{month}", 2, "volume energy")
                  for n in range(len(content) // 5))  # fmt: skip
    layout = _layout(content, names)
    fields, flaws = _values(names, content, layout)
    return Message(fields=fields, layout=layout, flaws=flaws)


#: Parameters: name, bytes, decimals, unit.
_READ: dict[str, tuple[tuple[str, int, int, str | None], ...]] = {
    PRICES: (
        ("price_1", 3, 2, "{CNY}"), ("amount_1", 3, 0, "m3"), ("price_2", 3, 2, "{CNY}"),
        ("amount_2", 3, 0, "m3"), ("price_3", 3, 2, "{CNY}"),
    ),
    SETTLEMENT_DAY: (("settlement_day", 1, 0, None),),
    READING_DAY: (("reading_day", 1, 0, None),),
    PURCHASE: (
        ("purchase_number", 1, 0, None), ("purchased", 4, 2, None), ("purchased_total", 4, 2, None),
        ("left", 4, 2, None),
    ),
    KEY: (("key_version", 1, 0, None),),
    SET_SETTLEMENT_DAY: (("settlement_day", 1, 0, None),),
    SET_READING_DAY: (("reading_day", 1, 0, None),),
}  # fmt: skip


def _plain(items: tuple[tuple[str, int, int, str | None], ...], content: bytes) -> Message:
    fields, flaws, at = [], [], 0
    for name, size, decimals, unit in items:
        raw = content[at : at + size]
        at += size
        count = digits(raw) if len(raw) == size else None
        if name in ("key_version", "purchase_number") and len(raw) == size:
            count = raw[0]
        if count is None:
            flaws.append(f"{name}: {raw[::-1].hex().upper()} is no number")
        value = None if count is None else count / 10**decimals if decimals else count
        fields.append(Field(name, value, unit, count, decimals))
    rest = content[at:]
    if len(rest) == 2:
        return _status(rest, tuple(fields), tuple(flaws))
    return Message(fields=tuple(fields), flaws=tuple(flaws))


def _status(
    raw: bytes, fields: tuple[Field, ...], flaws: tuple[str, ...], layout: Layout = ""
) -> Message:
    word = raw[0] << 8 | raw[1]
    fields += (
        Field("status", f"{word:04X}"),
        Field("valve", _VALVE[raw[0] & 3]),
        Field("battery_low", bool(raw[0] & 4)),
    )
    return Message(fields=fields, layout=layout, status=word, flaws=flaws)


def time_of(raw: bytes) -> str | None:
    """A meter's time as it tells it, even an impossible one; None where it has none (zeros, FF)."""
    text = raw[::-1].hex()
    match = _TIME.fullmatch(text)
    if match is None or not text.isdecimal() or not int(text):
        return None
    year, month, day, hour, minute, second = match.groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}"


def _refusal(data: bytes) -> Message:
    """Serial number and state; some meters put an identifier or nothing before or behind."""
    if not data:
        return Message(says="no reason told", flaws=("a refusal without a state",))
    state = data[1:3] if len(data) >= 3 else data[1:] + b"\x00"
    if len(data) == 5 and _GROUPED.intersection(data[:2]):  # an identifier before it, as some do
        state = data[3:5]
    word = int.from_bytes((state + b"\x00")[:2], "big")
    # The two bytes where an identifier stands in other answers, told the same way.
    wire = data[:2].hex().upper() if len(data) >= 3 else ""
    return Message(
        wire=wire,
        serial=data[2] if len(data) >= 3 else data[0],
        fields=(Field("status", f"{word:04X}"),),
        status=word,
        says=f"state {word:04X}",
    )
