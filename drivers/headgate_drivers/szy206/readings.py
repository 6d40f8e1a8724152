"""Values of each kind in the data of a report (tables 33 to 47 of SL/T 427), and as SZY 206 has them.

The editions differ in kind 7 (weather; pressure alone), 8 (energy; wind), 11 (with a depth; without),
and in which kinds stand together in one answer. What fits only the other edition is read by that one.
"""

from __future__ import annotations

from headgate_drivers.szy206 import quality, values
from headgate_drivers.szy206.frames import Afn, Frame, Kind
from headgate_drivers.szy206.items import Edition, Value
from headgate_drivers.szy206.values import Form

#: Kinds with one number for each instrument.
_EACH: dict[Kind, tuple[str, Form]] = {
    Kind.LEVEL: ("level", values.LEVEL),
    Kind.VELOCITY: ("velocity", values.VELOCITY),
    Kind.GATE: ("gate", values.GATE),
    Kind.POWER: ("power", values.POWER),
    Kind.ELECTRICITY: ("energy", values.ENERGY),
    Kind.WATER_TEMPERATURE: ("water_temperature", values.WATER_TEMPERATURE),
    Kind.EVAPORATION: ("evaporation", values.EVAPORATION),
    Kind.PRESSURE: ("pressure", values.PRESSURE),
}
_STEPS = ((5, "min"), (1, "h"), (1, "d"))
#: Kinds in an answer that holds several (table 45), highest bit first; each at most once. In SZY 206 the
#: fifth is the wind, and the last is water quality.
_TOGETHER = (
    Kind.RAIN, Kind.LEVEL, Kind.FLOW, Kind.GATE, Kind.WEATHER, Kind.POWER, Kind.SOIL,
    Kind.PRESSURE,
)  # fmt: skip
_TOGETHER_206 = (*_TOGETHER[:4], Kind.ELECTRICITY, *_TOGETHER[5:7], Kind.QUALITY)
_SIZE = {
    Kind.RAIN: 3, Kind.LEVEL: 4, Kind.FLOW: 10, Kind.GATE: 3, Kind.WEATHER: 8, Kind.POWER: 3,
    Kind.SOIL: 4, Kind.PRESSURE: 4,
}  # fmt: skip
_SIZE_206 = _SIZE | {Kind.SOIL: 2, Kind.ELECTRICITY: 3}
_WEATHER, _WIND, _PRESSURE = 8, 3, 3


def fits(frame: Frame, raw: bytes, edition: Edition) -> int:
    """Whether these bytes are values of the frame's kind: 2 by this edition, 1 by another one, 0 not."""
    kind, size, new = frame.kind, len(raw), edition == "slt427"
    if frame.afn == Afn.VOLTAGE or (frame.afn == Afn.ASK_VALUES and kind is Kind.ALARM and size):
        return 2 * (size == values.VOLTAGE.size)
    match kind:
        case Kind.ACK | Kind.ALARM:
            return 2 * (size == 0)
        case Kind.RAIN:
            return 2 * (size == values.RAIN.size)
        case Kind.FLOW:
            return _ranked(size, 10, 5)
        case Kind.WEATHER:
            return _either(new, size == _WEATHER, size == _PRESSURE)
        case Kind.ELECTRICITY:
            return _either(new, size and size % 4 == 0, size and size % _WIND == 0)
        case Kind.SOIL:
            return _either(new, size and size % 4 == 0, size and size % 2 == 0)
        case Kind.QUALITY:
            return quality.fits(raw, edition)
        case Kind.STATISTICS:
            if frame.afn != Afn.ASK_VALUES:
                return 2 * (size == 4)
            return _either(
                new, _parts(raw, "slt427") is not None, _parts(raw, "szy206") is not None
            )
        case _:
            return 2 * (size > 0 and size % _EACH[kind][1].size == 0)


def _either(new: bool, by_new: object, by_old: object) -> int:
    if by_new if new else by_old:
        return 2
    return int(bool(by_old if new else by_new))


def _ranked(size: int, usual: int, other: int) -> int:
    if size == 0 or size % other:
        return 0
    return 2 if size % usual == 0 else 1


def read(frame: Frame, raw: bytes, edition: Edition) -> list[Value]:
    """The values of bytes that fit."""
    if frame.afn == Afn.VOLTAGE or (frame.afn == Afn.ASK_VALUES and frame.kind is Kind.ALARM):
        return [values.read("voltage", values.VOLTAGE, raw)] if raw else []
    if frame.kind is Kind.STATISTICS:
        if frame.afn != Afn.ASK_VALUES:
            return [values.read(_period(raw[0]), values.RAIN, raw[1:])]
        parts = _parts(raw, edition) or _parts(raw, _other(edition)) or []
        return [value for kind, part in parts for value in _of(kind, part, edition)]
    return _of(frame.kind, raw, edition)


def _other(edition: Edition) -> Edition:
    return "szy206" if edition == "slt427" else "slt427"


def _of(kind: Kind, raw: bytes, edition: Edition) -> list[Value]:
    size, new = len(raw), edition == "slt427"
    match kind:
        case Kind.ACK | Kind.ALARM:
            return []
        case Kind.RAIN:
            return [values.read("rain", values.RAIN, raw)]
        case Kind.FLOW:
            return _flow(raw)
        case Kind.WEATHER:
            return _weather(raw)
        case Kind.QUALITY:
            return quality.read(raw, edition)
        case Kind.ELECTRICITY if size % 4 or (not new and size % _WIND == 0):
            return _winds(raw)
        case Kind.SOIL:
            return _soil(raw, 4 if new and size % 4 == 0 else 2)
        case _:
            name, form = _EACH[kind]
            step = form.size
            return [
                values.read(f"{name}_{at // step + 1}", form, raw[at : at + step])
                for at in range(0, size, step)
            ]


def _flow(raw: bytes) -> list[Value]:
    """Flow and total by turns; flows alone where the bytes say that there are no totals."""
    paired = len(raw) % 10 == 0
    found = []
    for index, at in enumerate(range(0, len(raw), 5)):
        total = paired and index % 2
        number = index // 2 + 1 if paired else index + 1
        form = values.TOTAL if total else values.FLOW
        found.append(
            values.read(f"{'total' if total else 'flow'}_{number}", form, raw[at : at + 5])
        )
    return found


def _weather(raw: bytes) -> list[Value]:
    found = [values.read("air_pressure", values.AIR_PRESSURE, raw[:3])]
    if len(raw) == _WEATHER:
        found += _winds(raw[3:6])
        found.append(values.read("air_temperature", values.AIR_TEMPERATURE, raw[6:8]))
    return found


def _winds(raw: bytes) -> list[Value]:
    found = []
    for at in range(0, len(raw), _WIND):
        number = f"_{at // _WIND + 1}" if at else ""
        found.append(values.read(f"wind_speed{number}", values.WIND, raw[at : at + _WIND]))
        found.append(values.direction(f"wind_direction{number}", raw[at : at + _WIND]))
    return found


def _soil(raw: bytes, step: int) -> list[Value]:
    found = []
    for at in range(0, len(raw), step):
        depth = None
        if step == 4:
            depth = values.read("depth", values.DEPTH, raw[at + 2 : at + 4]).value
        name = f"soil_moisture_{at // step + 1}"
        found.append(values.read(name, values.MOISTURE, raw[at : at + 2], depth))
    return found


def _period(told: int) -> str:
    if told >> 6 == 3:
        return "rain_test"
    step, unit = _STEPS[told >> 6]
    return f"rain_{(told & 0x3F) * step}{unit}"


def _parts(raw: bytes, edition: Edition) -> list[tuple[Kind, bytes]] | None:
    """Of an answer with several kinds the bytes of each; None where they are not as long as it says."""
    if not raw or not raw[0]:
        return None
    table, size_of = _TOGETHER, _SIZE
    if edition != "slt427":
        table, size_of = _TOGETHER_206, _SIZE_206
    found, at = [], 1
    for kind in (kind for bit, kind in enumerate(table) if raw[0] >> (7 - bit) & 1):
        size = len(raw) - at if kind is Kind.QUALITY else size_of[kind]
        if kind is Kind.QUALITY and not quality.fits(raw[at:], edition):
            return None
        found.append((kind, raw[at : at + size]))
        at += size
    if at == len(raw):
        return found
    if edition != "slt427" and at - len(raw) == 5 and raw[0] & 0x20:
        return _without_totals(found, raw)
    return None


def _without_totals(found: list[tuple[Kind, bytes]], raw: bytes) -> list[tuple[Kind, bytes]]:
    """SZY 206 may have a flow alone here, of five bytes."""
    again, at = [], 1
    for kind, _ in found:
        size = 5 if kind is Kind.FLOW else _SIZE_206[kind]
        again.append((kind, raw[at : at + size]))
        at += size
    return again


# ---------------------------------------------------------------- written


def write(frame: Frame, told: list[Value], edition: Edition) -> bytes:
    """The bytes of values, in the order in which they stand in a frame of this kind.

    Raises:
        ValueError: a value that has no place here.
    """
    if frame.kind is Kind.QUALITY:
        return quality.write(told, edition)
    if frame.kind is Kind.STATISTICS and frame.afn == Afn.ASK_VALUES:
        return _write_together(told, edition)
    if frame.kind is Kind.STATISTICS:
        if len(told) != 1:
            raise ValueError("one sum of rain at a time")
        return bytes([_period_byte(told[0].name)]) + values.write(values.RAIN, told[0])
    return _write(told)


def _write(told: list[Value]) -> bytes:
    found = b""
    for index, each in enumerate(told):
        if each.name.startswith("wind_direction"):
            continue  # it stands in the speed's highest half byte
        following = told[index + 1] if index + 1 < len(told) else None
        wind = following is not None and following.name.startswith("wind_direction")
        towards = following.value if following is not None and wind else None
        found += values.write(_form(each.name), each, from_direction=towards)
        if each.depth_cm is not None:
            found += values.write(values.DEPTH, Value("depth", each.depth_cm))
    return found


#: By which of its values a kind is known that stands together with others.
_KNOWN_BY: dict[Kind, tuple[str, ...]] = {
    Kind.RAIN: ("rain",), Kind.LEVEL: ("level_1",), Kind.FLOW: ("flow_1", "total_1"),
    Kind.GATE: ("gate_1",), Kind.POWER: ("power_1",), Kind.SOIL: ("soil_moisture_1",),
    Kind.PRESSURE: ("pressure_1",), Kind.ELECTRICITY: ("wind_speed", "wind_direction"),
    Kind.WEATHER: ("air_pressure", "wind_speed", "wind_direction", "air_temperature"),
}  # fmt: skip


def _write_together(told: list[Value], edition: Edition) -> bytes:
    left = {each.name: each for each in told}
    mask, found = 0, b""
    for bit, kind in enumerate(_TOGETHER if edition == "slt427" else _TOGETHER_206):
        if kind is Kind.QUALITY:
            mine = list(left.values())
        else:
            mine = [left.pop(name) for name in _KNOWN_BY[kind] if name in left]
        if mine:
            mask |= 0x80 >> bit
            found += quality.write(mine, edition) if kind is Kind.QUALITY else _write(mine)
    if left and edition == "slt427":
        raise ValueError(f"{', '.join(left)} has no place here")
    return bytes([mask]) + found


_FORMS: dict[str, Form] = dict(_EACH.values()) | {
    "rain": values.RAIN, "flow": values.FLOW, "total": values.TOTAL, "voltage": values.VOLTAGE,
    "air_pressure": values.AIR_PRESSURE, "wind_speed": values.WIND,
    "air_temperature": values.AIR_TEMPERATURE, "soil_moisture": values.MOISTURE,
}  # fmt: skip


def _form(name: str) -> Form:
    form = _FORMS.get(name) or _FORMS.get(name.rpartition("_")[0])
    if form is None:
        raise ValueError(f"{name} has no place here")
    return form


def _period_byte(name: str) -> int:
    length = name.removeprefix("rain_")
    if length == "test":
        return 0xC0
    for code, (step, unit) in enumerate(_STEPS):
        number = length.removesuffix(unit)
        if number.isdecimal() and number != length:
            return code << 6 | int(number) // step
    raise ValueError(f"{name} is no rain of a period")
