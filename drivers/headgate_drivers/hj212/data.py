"""What stands in CP (clause 6.3.3): items apart by `;`, the values of one item by `,`.

    DataTime=20191012133710;a21026-Rtd=3.31,a21026-Flag=N;a21004-Rtd=74,a21004-Flag=N

What stands between `//` is a log, and nothing in it separates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Literal

import msgspec

Quality = Literal["good", "uncertain", "bad"]

_PARTS = re.compile(r"(?:[^;,/]|/(?!/)|//.*?//|//)+|[;,]", re.DOTALL)
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?"
)
#: Fields of a factor that are numbers (table 4, and how many values a mean is of, as some loggers say);
#: all others are kept as they came.
NUMBERS = frozenset(
    ["Rtd", "Min", "Avg", "Max", "ZsRtd", "ZsMin", "ZsAvg", "ZsMax", "Cou", "ZsCou", "Data",
     "DayData", "NightData", "RS", "RT", "ValidNum", "TotalNum"]
)  # fmt: skip
#: Items that are times to the second (table 4).
TIMES = frozenset(["DataTime", "SystemTime", "BeginTime", "EndTime", "RestartTime"])


def moment(digits: str) -> datetime | None:
    """YYYYMMDDhhmmss, with or without milliseconds, in the sender's own zone; None when it is no time."""
    if len(digits) not in (14, 17) or not (digits.isascii() and digits.isdecimal()):
        return None
    year, *rest = (int(digits[a:b]) for a, b in pairwise((0, 4, 6, 8, 10, 12, 14)))
    month, day, hour, minute, second = rest
    micro = int(digits[14:] or 0) * 1000
    try:
        return datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001
    except ValueError:
        return None


class Mark(Enum):
    """What a `-Flag` says of a value (table 8)."""

    NORMAL = "N"
    STOPPED = "F"
    MAINTENANCE = "M"
    SET_BY_HAND = "S"
    FAULT = "D"
    CALIBRATION = "C"
    OVER_RANGE = "T"
    NO_CONNECTION = "B"


#: How far a value with a mark can be used. Nothing is dropped: the mark goes with it.
QUALITY: dict[Mark, Quality] = {
    Mark.NORMAL: "good",
    Mark.STOPPED: "bad",
    Mark.MAINTENANCE: "uncertain",
    Mark.SET_BY_HAND: "uncertain",
    Mark.FAULT: "bad",
    Mark.CALIBRATION: "uncertain",
    Mark.OVER_RANGE: "uncertain",
    Mark.NO_CONNECTION: "bad",
}
#: Marks of HJ/T 212-2005 that the later edition has not: power failure; calibration, weather, odd, right.
_OLD: dict[str, Quality] = {
    "P": "bad", "0": "uncertain", "1": "uncertain", "2": "bad", "3": "good",
}  # fmt: skip


class Factor(msgspec.Struct, frozen=True):
    """All that is said of one factor, in its order.

    Attributes:
        code: as it came: `a21026`, `011` of 2005, `SB1` of equipment.
        fields: name and text of each: `Rtd`, `Avg`, `Flag`, `SampleTime` ...
    """

    code: str
    fields: tuple[tuple[str, str], ...]

    def text(self, name: str) -> str | None:
        """One field as it came."""
        return next((text for each, text in self.fields if each == name), None)

    def value(self, name: str) -> float | None:
        """One field as a number; None where it is missing or none."""
        text = self.text(name)
        return None if text is None else number(text)

    @property
    def values(self) -> dict[str, float | str | None]:
        """Every field by name: numbers as numbers, None where a number is none."""
        return {name: number(text) if name in NUMBERS else text for name, text in self.fields}

    @property
    def mark(self) -> str | None:
        """What `Flag` says, as it came; some loggers write it small."""
        return next((text for each, text in self.fields if is_mark(each)), None)

    @property
    def quality(self) -> Quality:
        """What the mark means; one that is not known is uncertain, and no mark at all is good."""
        return quality(self.mark)


class Record(msgspec.Struct, frozen=True):
    """What belongs to one time.

    Attributes:
        time: DataTime as it came; None where CP has none.
        items: what has no factor: `PolId`, `RtdInterval`, `QnRtn` ...
    """

    time: str | None
    items: tuple[tuple[str, str], ...]
    factors: tuple[Factor, ...]

    @property
    def at(self) -> datetime | None:
        """The time, in the logger's own zone; None where there is none, or it is no time."""
        return None if self.time is None else moment(self.time)

    def item(self, name: str) -> str | None:
        """One item by its name."""
        return next((text for each, text in self.items if each == name), None)


def is_mark(field: str) -> bool:
    """Whether a field of a factor is its mark."""
    return field.lower() == "flag"


def quality(mark: str | None) -> Quality:
    """How far a value with this mark can be used."""
    if mark is None:
        return "good"
    if mark in _OLD:
        return _OLD[mark]
    try:
        return QUALITY[Mark(mark)]
    except ValueError:
        return "uncertain"


def number(text: str) -> float | None:
    """A number as loggers write it; None for everything else, also for NaN and --."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def pairs(cp: str) -> Iterator[tuple[str, str]]:
    """Every `name=value` in its order; what has no `=` is a name without a value."""
    for part in _PARTS.findall(cp):
        if part not in (";", ","):
            name, _, value = part.partition("=")
            yield name.strip(), value


def read(cp: str) -> tuple[Record, ...]:
    """What CP says, in records of one time each; most have one.

    A factor may come twice in a record: its fields are then one after the other.
    """
    records: list[Record] = []
    time: str | None = None
    items: list[tuple[str, str]] = []
    factors: dict[str, list[tuple[str, str]]] = {}
    for name, value in pairs(cp):
        if name == "DataTime" and time is not None:
            records.append(_record(time, items, factors))
            items, factors = [], {}
        if name == "DataTime":
            time = value
            continue
        code, dash, field = name.rpartition("-")
        if dash and code and field:
            factors.setdefault(code, []).append((field, value))
        elif name:
            items.append((name, value))
    records.append(_record(time, items, factors))
    return tuple(records)


def _record(
    time: str | None, items: list[tuple[str, str]], factors: dict[str, list[tuple[str, str]]]
) -> Record:
    said = tuple(Factor(code, tuple(fields)) for code, fields in factors.items())
    return Record(time, tuple(items), said)


def flaws(records: Iterable[Record]) -> tuple[str, ...]:
    """What is no time, where one belongs."""
    found = []
    for record in records:
        times = [("DataTime", record.time)] if record.time is not None else []
        times += [(name, text) for name, text in record.items if name in TIMES]
        found += [f"{name} is no time: {text[:20]}" for name, text in times if not _is_time(text)]
    return tuple(found)


def _is_time(text: str | None) -> bool:
    # Some loggers write milliseconds here, too.
    return text is not None and moment(text) is not None


def write(records: Iterable[Record]) -> str:
    """CP of these records, as `read` reads it."""
    parts: list[str] = []
    for record in records:
        if record.time is not None:
            parts.append(f"DataTime={record.time}")
        parts += [f"{name}={text}" for name, text in record.items]
        parts += [
            ",".join(f"{factor.code}-{name}={text}" for name, text in factor.fields)
            for factor in record.factors
        ]
    return ";".join(parts)
