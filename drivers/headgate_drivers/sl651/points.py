"""What a profile may name of a station, and a message as values of its points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from headgate.sdk import Device, Problem, ProfileError, Quality, Status, Value, status_word
from headgate_drivers.sl651 import items
from headgate_drivers.sl651.items import Message, Row, rows

POINT_KEYS: Mapping[str, str] = {
    "item": "identifier in hex (39), status.BIT, clock, picture, text, version or rest",
}
#: What is no element: the station's clock against ours in seconds, bytes, texts, all that no point names.
WORDS = ("clock", "picture", "text", "version", "rest")
_ITEM = re.compile(r"(?:FF)?[0-9A-F]{2}|status\.(?:[12]?[0-9]|3[01])")
_SLOT = timedelta(minutes=5)

#: Raw value, quality, status word: what a block says of a point.
Said = tuple[Value, Quality, int]
_NO_VALUE: Said = (None, Quality.BAD, status_word(Status.SENTINEL))
_MALFORMED: Said = (None, Quality.BAD, status_word(Status.MALFORMED))


class Look(NamedTuple):
    """What was true at one instant of the station's own clock; None: when it was sent."""

    observed: datetime | None
    said: dict[str, Said]


def items_of(device: Device) -> dict[str, str]:
    """The name of each point by its item.

    Raises:
        ProfileError: an item that is none, or one that two points name.
    """
    found: dict[str, str] = {}
    problems = []
    for each in device.points:
        item = str(each.source.get("item", ""))
        item = item if item in WORDS or item.startswith("status.") else item.upper()
        if (item not in WORDS and not _ITEM.fullmatch(item)) or item in found:
            where = f"{device.profile}: {each.point.name}"
            fields: dict[str, str | int | float] = {"point": each.point.name, "item": item or "-"}
            problems.append(Problem(where, "HG-3610", fields))
        found[item] = each.point.name
    if problems:
        raise ProfileError(problems)
    return found


def looks(message: Message, names: Mapping[str, str]) -> list[Look]:
    """A message as looks, oldest first; what no point names stands in `rest` of the newest."""
    by_time: dict[datetime | None, dict[str, Said]] = {}
    rest: dict[str, str] = {}
    for row in rows(message):
        observed = row.observed.at if row.observed is not None else None
        for item, at, said in _values(row, observed):
            if (name := names.get(item)) is not None:
                by_time.setdefault(at, {})[name] = said
            elif item not in WORDS and not item.startswith("status."):
                rest[item] = str(said[0])
    if "rest" in names and rest:
        newest = max((at for at in by_time if at is not None), default=None)
        text = json.dumps(rest, sort_keys=True)
        by_time.setdefault(newest, {})[names["rest"]] = (text, Quality.GOOD, 0)
    undated = [None] if None in by_time else []
    order = [*sorted(at for at in by_time if at is not None), *undated]
    return [Look(at, by_time[at]) for at in order]


def _values(row: Row, at: datetime | None) -> Iterator[tuple[str, datetime | None, Said]]:
    item = row.item
    match item:
        case items.Element(parameter=False):
            yield f"{item.code:02X}", at, _said(item.value, wrong=item.wrong)
        case items.Slots():
            # The first slot ends five minutes after the observation time of the hour (clause 6.6.4.8).
            for index, value in enumerate(item.values):
                when = None if at is None else at + index * _SLOT
                yield f"{item.code:02X}", when, _said(value)
        case items.Series():
            step = _length(row.step)
            for index, value in enumerate(item.values):
                when = None if at is None else at + index * step
                yield f"{item.code:02X}", when, _said(value)
        case items.Status():
            for bit in range(32):
                yield f"status.{bit}", at, (bool(item.word >> bit & 1), Quality.GOOD, 0)
        case items.Picture():
            yield "picture", at, (item.data, Quality.GOOD, 0)
        case items.Text():
            yield "text", at, (item.text, Quality.GOOD, 0)
        case items.Version():
            yield "version", at, (item.data.decode("gb18030", "replace"), Quality.GOOD, 0)


def _said(value: float | None, *, wrong: bool = False) -> Said:
    if value is None:
        return _MALFORMED if wrong else _NO_VALUE
    return float(value), Quality.GOOD, 0


def _length(step: items.Step | None) -> timedelta:
    if step is None:
        return _SLOT
    length = timedelta(days=step.days, hours=step.hours, minutes=step.minutes)
    return length or timedelta(hours=1)
