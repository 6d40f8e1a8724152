"""What a profile may name of a station of SZY 206, and a frame as values of its points."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from headgate.sdk import (
    Device,
    Problem,
    ProfileError,
    Quality,
    Status,
    Value,
    once_for_each,
    status_word,
)
from headgate_drivers.szy206 import items
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.quality import NAMES as _QUALITY
from headgate_drivers.szy206.switching import WRITTEN

POINT_KEYS: Mapping[str, str] = {
    "item": "a value (rain, level_1, flow_1, total_1, ph ...), alarm.BIT, state.BIT, or alarms, "
    "clock, mode, pump, picture, rest; to be written: pump.N, valve.N, quota, quota_control, work_mode",
}
#: What is no value: names of alarms, our clock against its own, working mode, what no point names.
WORDS = ("alarms", "clock", "mode", "pump", "picture", "rest")
#: Bits of the state word (7.3.15): whether the quota is kept, and that no pump runs.
_QUOTA_KEPT, _PUMP_STOPPED = 1 << 3, 1 << 4
_EACH = (
    "level", "flow", "total", "velocity", "gate", "power", "energy", "water_temperature",
    "soil_moisture", "soil_depth", "evaporation", "pressure",
)  # fmt: skip
_ALONE = {"rain", "air_pressure", "wind_speed", "wind_direction", "air_temperature", "voltage"}
_SWITCHED = re.compile(r"(?:pump|valve)\.(?:1[0-5]|[0-9])")
_BITS = re.compile(r"(?:alarm|state)\.(?:1[0-5]|[0-9])")
_NUMBERED = re.compile(
    rf"(?:{'|'.join(_EACH)})_[1-9][0-9]?|quality_(?:3[2-9])|wind_(?:speed|direction)_[2-9]"
)
_PERIOD = re.compile(r"rain_(?:[1-9][0-9]{0,2}(?:min|h|d)|test)")

#: Raw value, quality, status word: what a block says of a point.
Said = tuple[Value, Quality, int]
_NO_VALUE: Said = (None, Quality.BAD, status_word(Status.SENTINEL))
_MALFORMED: Said = (None, Quality.BAD, status_word(Status.MALFORMED))


@once_for_each
def items_of(device: Device) -> dict[str, str]:
    """The name of each point by its item.

    Raises:
        ProfileError: an item that is none, or one that two points name.
    """
    found: dict[str, str] = {}
    problems = []
    for each in device.points:
        item = str(each.source.get("item", ""))
        if not _is_item(item) or item in found:
            where = f"{device.profile}: {each.point.name}"
            fields: dict[str, str | int | float] = {"point": each.point.name, "item": item or "-"}
            problems.append(Problem(where, "HG-3660", fields))
        found[item] = each.point.name
    if problems:
        raise ProfileError(problems)
    return found


def _is_item(item: str) -> bool:
    if item in WORDS or item in _ALONE or item in _QUALITY or item in WRITTEN:
        return True
    return any(each.fullmatch(item) for each in (_BITS, _NUMBERED, _PERIOD, _SWITCHED))


def said_by(message: Message, names: Mapping[str, str]) -> dict[str, Said]:
    """A message as values of points; what no point names stands in `rest`."""
    told: dict[str, Said] = {}
    for each in message.values:
        said = _said(each)
        # A station says itself whether a flow is by the second or by the hour: one unit goes upstream.
        if each.unit == "m3/h" and each.value is not None:
            said = each.value / 3600, Quality.GOOD, 0
        told[each.name] = said
        if each.depth_cm is not None:
            depth = each.name.replace("moisture", "depth")
            told[depth] = each.depth_cm, Quality.GOOD, 0
    rest = {name: said[0] for name, said in told.items() if name not in names}
    for word, what in ((message.alarm, "alarm"), (message.state, "state")):
        if word is not None:
            for bit in range(16):
                told[f"{what}.{bit}"] = bool(word >> bit & 1), Quality.GOOD, 0
    if message.alarm is not None:
        told["alarms"] = " ".join(message.alarms), Quality.GOOD, 0
    if message.state is not None:
        told["mode"] = told["work_mode"] = float(message.state & 3), Quality.GOOD, 0
        told["pump"] = not message.state & _PUMP_STOPPED, Quality.GOOD, 0
        told["quota_control"] = bool(message.state & _QUOTA_KEPT), Quality.GOOD, 0
    found = {names[item]: said for item, said in told.items() if item in names}
    if "rest" in names and rest:
        found[names["rest"]] = json.dumps(rest, sort_keys=True), Quality.GOOD, 0
    return found


def _said(value: items.Value) -> Said:
    if value.value is None:
        return _MALFORMED if value.wrong else _NO_VALUE
    return float(value.value), Quality.GOOD, 0
