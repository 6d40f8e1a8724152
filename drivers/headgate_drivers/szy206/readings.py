"""Values of each kind in the data of a report (tables 33 to 47 of SL/T 427)."""

from __future__ import annotations

from headgate_drivers.szy206 import quality, values
from headgate_drivers.szy206.frames import Afn, Frame, Kind
from headgate_drivers.szy206.items import Value
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
#: Kinds in an answer that holds several, highest bit first (table 45); each at most once.
_TOGETHER = (
    Kind.RAIN, Kind.LEVEL, Kind.FLOW, Kind.GATE, Kind.WEATHER, Kind.POWER, Kind.SOIL,
    Kind.PRESSURE,
)  # fmt: skip
_SIZE = {
    Kind.RAIN: 3, Kind.LEVEL: 4, Kind.FLOW: 10, Kind.GATE: 3, Kind.WEATHER: 8, Kind.POWER: 3,
    Kind.SOIL: 4, Kind.PRESSURE: 4,
}  # fmt: skip
_WEATHER, _WIND = 8, 3


def fits(frame: Frame, raw: bytes) -> int:
    """Whether these bytes are values of the frame's kind: 2 as SL/T 427 has it, 1 as others do, 0 not."""
    kind, size = frame.kind, len(raw)
    if frame.afn == Afn.VOLTAGE:
        return 2 * (size == values.VOLTAGE.size)
    match kind:
        case Kind.ACK | Kind.ALARM:
            return 2 * (size == 0)
        case Kind.RAIN:
            return 2 * (size == values.RAIN.size)
        case Kind.FLOW:
            return _ranked(size, 10, 5)
        case Kind.WEATHER:
            return 2 if size == _WEATHER else int(size == values.AIR_PRESSURE.size)
        case Kind.ELECTRICITY:
            return 2 if size and size % 4 == 0 else int(size == _WIND)
        case Kind.SOIL:
            return _ranked(size, 4, 2)
        case Kind.QUALITY:
            return 2 * quality.fits(raw)
        case Kind.STATISTICS:
            if size == 4 and not _is_together(frame, raw):
                return 2
            return 2 * (size > 0 and size == 1 + sum(_SIZE[each] for each in _told(raw[0])))
        case _:
            return 2 * (size > 0 and size % _EACH[kind][1].size == 0)


def _ranked(size: int, usual: int, other: int) -> int:
    if size == 0 or size % other:
        return 0
    return 2 if size % usual == 0 else 1


def read(frame: Frame, raw: bytes) -> list[Value]:
    """The values of bytes that fit."""
    if frame.afn == Afn.VOLTAGE:
        return [values.read("voltage", values.VOLTAGE, raw)]
    if frame.kind is Kind.QUALITY:
        return quality.read(raw)
    if frame.kind is Kind.STATISTICS:
        if len(raw) == 4 and not _is_together(frame, raw):
            return [values.read(_period(raw[0]), values.RAIN, raw[1:])]
        return _together(raw)
    return _of(frame.kind, raw)


def _of(kind: Kind, raw: bytes) -> list[Value]:
    size = len(raw)
    match kind:
        case Kind.ACK | Kind.ALARM:
            return []
        case Kind.RAIN:
            return [values.read("rain", values.RAIN, raw)]
        case Kind.FLOW:
            return _flow(raw)
        case Kind.WEATHER:
            return _weather(raw)
        case Kind.ELECTRICITY if size == _WIND:
            return _wind(raw)
        case Kind.SOIL:
            return _soil(raw)
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
        found += _wind(raw[3:6])
        found.append(values.read("air_temperature", values.AIR_TEMPERATURE, raw[6:8]))
    return found


def _wind(raw: bytes) -> list[Value]:
    speed = values.read("wind_speed", values.WIND, raw)
    return [speed, values.direction("wind_direction", raw)]


def _soil(raw: bytes) -> list[Value]:
    step = 4 if len(raw) % 4 == 0 else 2
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


def _told(mask: int) -> list[Kind]:
    return [kind for index, kind in enumerate(_TOGETHER) if mask >> (7 - index) & 1]


def _is_together(frame: Frame, raw: bytes) -> bool:
    """In an answer kind 14 is several kinds at once, in a report it is rain of a period."""
    return frame.afn == Afn.ASK_VALUES and len(raw) == 1 + sum(_SIZE[k] for k in _told(raw[0]))


def _together(raw: bytes) -> list[Value]:
    found, at = [], 1
    for kind in _told(raw[0]):
        found += _of(kind, raw[at : at + _SIZE[kind]])
        at += _SIZE[kind]
    return found


# ---------------------------------------------------------------- written


def write(frame: Frame, told: list[Value]) -> bytes:
    """The bytes of values, in the order in which they stand in a frame of this kind.

    Raises:
        ValueError: a value that has no place here.
    """
    if frame.kind is Kind.QUALITY:
        return quality.write(told)
    if frame.kind is Kind.STATISTICS:
        if len(told) != 1:
            raise ValueError("several kinds at once are not written")
        return bytes([_period_byte(told[0].name)]) + values.write(values.RAIN, told[0])
    found = b""
    for index, each in enumerate(told):
        if each.name == "wind_direction":
            continue  # it stands in the speed's highest half byte
        following = told[index + 1] if index + 1 < len(told) else None
        towards = following.value if following and following.name == "wind_direction" else None
        found += values.write(_form(each.name), each, from_direction=towards)
        if each.depth_cm is not None:
            found += values.write(values.DEPTH, Value("depth", each.depth_cm))
    return found


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
