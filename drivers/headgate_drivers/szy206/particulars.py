"""Data of settings and answers that has a layout of its own: clocks, kinds, pumps, channels, the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headgate_drivers.szy206 import quality, values
from headgate_drivers.szy206.frames import Afn
from headgate_drivers.szy206.items import Edition, Value
from headgate_drivers.szy206.layouts import Found

#: What is reported, in the order of the bits of A1 and of the minutes behind them (table 24).
REPORTED = (
    "rain", "level", "flow", "velocity", "gate", "power", "weather", "electricity",
    "water_temperature", "quality", "soil", "evaporation", "alarm", "pressure", "picture",
)  # fmt: skip
#: How a threshold (20) of each kind is written, from its highest half byte.
_THRESHOLDS = (
    ("rain", values.RAIN_STEP), ("level", values.LEVEL), ("flow", values.FLOW),
    ("velocity", values.VELOCITY), ("gate", values.GATE), ("power", values.POWER),
    ("air_pressure", values.AIR_PRESSURE), ("wind_speed", values.WIND),
    ("water_temperature", values.WATER_TEMPERATURE), ("quality", values.FLOW),
    ("soil_moisture", values.MOISTURE), ("evaporation", values.EVAPORATION),
    ("pressure", values.PRESSURE),
)  # fmt: skip
#: Kinds in the store (B1), by its highest half byte, and how one value of each is written.
STORED = (
    ("rain", values.RAIN), ("level", values.LEVEL), ("total", values.TOTAL),
    ("velocity", values.VELOCITY), ("gate", values.GATE), ("power", values.POWER),
    ("air_pressure", values.AIR_PRESSURE), ("wind_speed", values.WIND),
    ("water_temperature", values.WATER_TEMPERATURE), None, ("soil_moisture", values.MOISTURE),
    ("pressure", values.PRESSURE),
)  # fmt: skip
_PHASES = ("voltage_a", "voltage_b", "voltage_c", "current_a", "current_b", "current_c")
#: How long an address is behind each sort of channel (A2, 65); AA is none.
_CHANNELS = {1: ("sms", 7), 2: ("ipv4", 7), 3: ("beidou", 3)}
_NO_CHANNEL = b"\xaa\xaa"


def _clock(raw: bytes, _: Edition, __: bool) -> Found | None:
    at = values.clock(raw) if len(raw) == 6 else None
    return None if at is None else Found(texts=(("clock", at.isoformat()),))


def _reports(raw: bytes, _: Edition, __: bool) -> Found | None:
    if len(raw) < 2 or len(raw) % 2 or len(raw) > 34:
        return None
    mask = int.from_bytes(raw[:2], "little")
    found = [Value("kinds", float(mask))]
    for index, at in enumerate(range(2, len(raw), 2)):
        name = REPORTED[index] if index < len(REPORTED) else f"kind_{index}"
        found.append(values.read(f"every_{name}", values.MINUTES, raw[at : at + 2]))
    return Found(tuple(found))


def _quality(raw: bytes, edition: Edition, _: bool) -> Found | None:
    if not quality.fits(raw, edition):
        return None
    return Found(tuple(quality.read(raw, edition)))


def _pumps(raw: bytes, _: Edition, __: bool) -> Found | None:
    if len(raw) not in (6, 12):  # SZY 206; SL/T 427
        return None
    size = len(raw) // 6
    units = ("V", "V", "V", "A", "A", "A")
    return Found(
        tuple(
            Value(name, float(int.from_bytes(raw[at * size : (at + 1) * size], "little")), unit)
            for at, (name, unit) in enumerate(zip(_PHASES, units, strict=True))
        )
    )


def _switched(raw: bytes, _: Edition, up: bool) -> Found | None:
    if len(raw) != 1:
        return None
    what, number = raw[0] >> 4, float(raw[0] & 0xF)
    if up and what == 0xA:
        return Found((Value("number", number), Value("done", 1.0)))
    name = {0: "pump", 0xF: "valve"}.get(what)
    return None if name is None else Found((Value("number", number),), (("what", name),))


def _threshold(raw: bytes, _: Edition, __: bool) -> Found | None:
    if len(raw) < 3 or raw[0] >> 4 >= len(_THRESHOLDS):
        return None
    name, form = _THRESHOLDS[raw[0] >> 4]
    if len(raw) != 2 + form.size:
        return None
    number = Value("number", float(raw[0] & 0xF))
    every = Value("store_every", float(raw[1]))
    return Found((number, every, values.read(f"{name}_step", form, raw[2:])))


def _relay_state(raw: bytes, _: Edition, __: bool) -> Found | None:
    if len(raw) < 2 or (len(raw) - 2) % 5:
        return None
    texts = tuple(
        (f"switched_{number}", raw[at : at + 5].hex())
        for number, at in enumerate(range(2, len(raw), 5), 1)
    )
    return Found((Value("relay_switch", float(raw[0])), Value("relay_state", float(raw[1]))), texts)


def _channels(raw: bytes, _: Edition, __: bool) -> Found | None:
    texts, at = [], 0
    for name in ("channel", "second_channel"):
        if raw[at : at + 2] == _NO_CHANNEL:
            texts.append((name, ""))
            at += 2
            continue
        sort, size = _CHANNELS.get(raw[at] if at < len(raw) else 0, ("", 0))
        if not sort or at + 1 + size > len(raw):
            return None
        texts.append((name, f"{sort} {raw[at + 1 : at + 1 + size].hex()}"))
        at += 1 + size
    return Found(texts=tuple(texts)) if at == len(raw) else None


def _picture(raw: bytes, _: Edition, up: bool) -> Found | None:
    return Found((Value("picture", float(raw[0])),)) if len(raw) == 1 and not up else None


def _stored(raw: bytes, _: Edition, up: bool) -> Found | None:
    stored = STORED[raw[0] >> 4] if raw and raw[0] >> 4 < len(STORED) else None
    if len(raw) < 9 or stored is None or not raw[1:9].hex().isdecimal():
        return None
    texts = tuple((name, _hour(raw[at : at + 4])) for name, at in (("from", 1), ("to", 5)))
    number = Value("number", float(raw[0] & 0xF))
    name, form = stored
    if not up:
        return Found((number,), (("kind", name), *texts)) if len(raw) == 9 else None
    if (len(raw) - 9) % form.size:
        return None
    told = []
    for index, at in enumerate(range(9, len(raw), form.size), 1):
        part = raw[at : at + form.size]
        empty = part == b"\xff" * form.size
        told.append(
            Value(f"{name}_{index}", None, form.unit)
            if empty
            else values.read(f"{name}_{index}", form, part)
        )
    return Found((number, *told), (("kind", name), *texts))


def _hour(raw: bytes) -> str:
    hour, day, month, year = (f"{byte:02x}" for byte in raw)
    return f"20{year}-{month}-{day}T{hour}"


def _memory(raw: bytes, _: Edition, up: bool) -> Found | None:
    if up or len(raw) != 8 or not raw.hex().isdecimal():
        return None
    return Found(
        texts=tuple(
            (name, f"{raw[at + 3]:02x}-{raw[at + 2]:02x}T{raw[at + 1]:02x}:{raw[at]:02x}")
            for name, at in (("from", 0), ("to", 4))
        )
    )


PARTICULAR: Mapping[int, Callable[[bytes, Edition, bool], Found | None]] = {
    Afn.SET_CLOCK: _clock, Afn.ASK_CLOCK: _clock, Afn.SET_REPORTS: _reports,
    Afn.ASK_REPORTS: _reports, Afn.SET_QUALITY_HIGH: _quality, Afn.SET_QUALITY_LOW: _quality,
    Afn.ASK_QUALITY_HIGH: _quality, Afn.ASK_QUALITY_LOW: _quality, Afn.ASK_PUMPS: _pumps,
    Afn.START: _switched, Afn.STOP: _switched, Afn.SET_THRESHOLD: _threshold,
    Afn.ASK_RELAY_STATE: _relay_state, Afn.SET_CHANNELS: _channels, Afn.ASK_CHANNELS: _channels,
    Afn.PICTURE_RECORD: _picture, Afn.ASK_STORED: _stored, Afn.ASK_MEMORY: _memory,
}  # fmt: skip
