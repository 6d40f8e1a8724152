"""What a profile may name of a station, and a message as values of its points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from headgate.sdk import (
    Access,
    Device,
    DevicePoint,
    Problem,
    ProfileError,
    Quality,
    Status,
    Value,
    once_for_each,
    status_word,
)
from headgate_drivers.sl651 import items, settings, switching
from headgate_drivers.sl651.items import Item, Message, Row, rows
from headgate_drivers.sl651.switching import MOST, ONE, WHOLE

POINT_KEYS: Mapping[str, str] = {
    "item": "identifier in hex (39), status.BIT, pumps, pump.N, valves, valve.N, gate.N, gate_open.N, quota, "
    "clock, picture, text, version or rest",
    "count": "how many pumps, valves or gates the station has; 1 when absent",
}
#: What is no element: the station's clock against ours in seconds, bytes, texts, all that no point names.
WORDS = ("clock", "picture", "text", "version", "rest", "pumps", "valves", "quota")
_NUMBERED = re.compile(r"status\.(?:[12]?[0-9]|3[01])|(?:pump|valve|gate|gate_open)\.[1-9][0-9]?")
_ITEM = re.compile(r"(?:FF)?[0-9A-F]{2}")
#: Words that go into `rest` where no point names them; of numbered pumps and valves the whole does.
_RESTS = ("text", "version", "pumps", "valves", "quota")
SLOT = timedelta(minutes=5)
#: A report with more values than this is none: each is a reading with a time of its own.
MOST_VALUES = 20_000

#: Raw value, quality, status word: what a block says of a point.
Said = tuple[Value, Quality, int]
_NO_VALUE: Said = (None, Quality.BAD, status_word(Status.SENTINEL))
_MALFORMED: Said = (None, Quality.BAD, status_word(Status.MALFORMED))


class Look(NamedTuple):
    """What was true at one instant of the station's own clock; None: when it was sent."""

    observed: datetime | None
    said: dict[str, Said]


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
        item = item if _is_word(item) else item.upper()
        if not (_is_word(item) or _ITEM.fullmatch(item)) or item in found or not _counts(each):
            where = f"{device.profile}: {each.point.name}"
            fields: dict[str, str | int | float] = {"point": each.point.name, "item": item or "-"}
            problems.append(Problem(where, "HG-3610", fields))
        found[item] = each.point.name
    if problems:
        raise ProfileError(problems)
    return found


def by_station(message: Message) -> list[tuple[str, Message]]:
    """A message as one of each station that it speaks of, by its address; "" before any is named.

    A relay reports several in one body, each behind its own F1F1 (clause 6.6.2.7).
    """
    parts: list[tuple[str, list[Item]]] = []
    for item in message.items:
        if isinstance(item, items.Station):
            parts.append((item.address, [item]))
        elif parts:
            parts[-1][1].append(item)
        else:
            parts.append(("", [item]))
    return [
        (address, msgspec.structs.replace(message, items=tuple(held))) for address, held in parts
    ]


def count(message: Message) -> int:
    """How many values a message has."""
    sizes = {items.Series: "digits", items.Slots: "data"}
    named = [(item, sizes.get(type(item))) for item in message.items]
    return sum(1 if name is None else len(getattr(item, name)) for item, name in named)


def _is_word(item: str) -> bool:
    return item in WORDS or _NUMBERED.fullmatch(item) is not None


def _counts(place: DevicePoint) -> bool:
    """Whether the number in an item is one of `count`, where it is written."""
    item, count = str(place.source.get("item", "")), place.source.get("count", 1)
    if not isinstance(count, int) or not 1 <= count <= MOST:
        return False
    kind, _, number = item.partition(".")
    writable = Access.WRITE.value in place.point.access.value
    if writable and kind in ONE and number.isdecimal():
        return int(number) <= count
    return not writable or item in WHOLE


def looks(message: Message, names: Mapping[str, str], function: int = 0) -> list[Look]:
    """A message as looks, oldest first; what no point names stands in `rest` of the newest.

    Args:
        function: what the message is for: pumps and valves are told apart by nothing else.
    """
    by_time: dict[datetime | None, dict[str, Said]] = {}
    rest: dict[str, list[str]] = {}
    for row in rows(message):
        observed = row.observed.at if row.observed is not None else None
        for item, at, said in _values(row, observed, function):
            if (name := names.get(item)) is not None:
                by_time.setdefault(at, {})[name] = said
            elif item in _RESTS or item.startswith("gate.") or not _is_word(item):
                rest.setdefault(item, []).append(str(said[0]))
    if "rest" in names and rest:
        newest = max((at for at in by_time if at is not None), default=None)
        text = json.dumps({item: " ".join(said) for item, said in rest.items()}, sort_keys=True)
        by_time.setdefault(newest, {})[names["rest"]] = (text, Quality.GOOD, 0)
    undated = [None] if None in by_time else []
    order = [*sorted(at for at in by_time if at is not None), *undated]
    return [Look(at, by_time[at]) for at in order]


def _values(
    row: Row, at: datetime | None, function: int
) -> Iterator[tuple[str, datetime | None, Said]]:
    item = row.item
    match item:
        case items.Element(parameter=False):
            yield f"{item.code:02X}", at, _said(item.value, wrong=item.wrong)
        case items.Slots():
            # The time before them is the first slot's own (table 36).
            for index, value in enumerate(item.values):
                when = None if at is None else at + index * SLOT
                yield f"{item.code:02X}", when, _said(value)
        case items.Series():
            step = length_of(row.step)
            for index, value in enumerate(item.values):
                when = None if at is None else at + index * step
                yield f"{item.code:02X}", when, _said(value)
        case items.Element(parameter=True) | items.Raw():
            # A station tells parameters by itself when somebody changed them there (6.6.4.15, 6.6.4.17).
            yield f"parameter.{item.code:02X}", at, (settings.told(item).value, Quality.GOOD, 0)
        case items.Events():
            yield "events", at, (",".join(map(str, item.counts)), Quality.GOOD, 0)
        case items.Rest():
            yield f"function.{function:02X}", at, (item.data.hex(), Quality.GOOD, 0)
        case items.Batch():
            yield "FD", at, (item.data.hex(), Quality.GOOD, 0)
        case items.Status():
            for bit in range(32):
                yield f"status.{bit}", at, (bool(item.word >> bit & 1), Quality.GOOD, 0)
        case items.Picture():
            yield "picture", at, (item.data, Quality.GOOD, 0)
        case items.Text():
            yield "text", at, (item.text, Quality.GOOD, 0)
        case items.Version():
            yield "version", at, (item.data.decode("gb18030", "replace"), Quality.GOOD, 0)
        case items.Switches() | items.Gates() | items.Quota():
            for word, state in switching.said(item, function):
                yield word, at, (_NO_VALUE if state is None else (state, Quality.GOOD, 0))


def _said(value: float | None, *, wrong: bool = False) -> Said:
    if value is None:
        return _MALFORMED if wrong else _NO_VALUE
    return float(value), Quality.GOOD, 0


def length_of(step: items.Step | None) -> timedelta:
    """How long a step is; where none is said, five minutes."""
    if step is None:
        return SLOT
    length = timedelta(days=step.days, hours=step.hours, minutes=step.minutes)
    return length or timedelta(hours=1)
