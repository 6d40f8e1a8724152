"""Items of a record into messages: topic and payload. Pure.

A value that is bad has no number: null, and its quality beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from headgate.sdk import (
    Alarm,
    Block,
    Gap,
    Item,
    PointTable,
    Quality,
    Value,
    convert,
    raw_values,
    readings,
)
from headgate_plugins.mqtt_json.template import Fields, Fill

ABOUT = ("gateway", "uplink", "device", "name", "vendor", "model", "labels")
WHEN = ("time", "time_ms", "time_state", "slot")
#: Placeholders of a payload per block and per point; topics know ABOUT, and `point` per point.
PER_BLOCK = (*ABOUT, *WHEN, "values", "quality", "units")
PER_POINT = (*ABOUT, *WHEN, "point", "title", "unit", "value", "raw", "quality", "status")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUALITY = {Quality.GOOD: "good", Quality.UNCERTAIN: "uncertain", Quality.BAD: "bad"}

Wall = Callable[[int], int | None]
Message = tuple[str, bytes]


class Shape(msgspec.Struct, frozen=True):
    """How messages look. `gap_topic` and `alarm_topic` are None where those are not sent."""

    gateway: str
    uplink: str
    per: Literal["block", "point"]
    topic: Callable[[Fields], str]
    payload: Fill
    gap_topic: Callable[[Fields], str] | None
    alarm_topic: Callable[[Fields], str] | None
    batch: int


class UnknownTable(Exception):
    """A block whose point table this box does not have: it cannot be read."""


def iso(wall_us: int | None) -> str | None:
    """`2026-11-21T03:04:05.678Z`; None stays None."""
    if wall_us is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=wall_us // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


class Renderer:
    """Turns records into messages. Keeps what can be known of a table once.

    Args:
        table: a table by its SM3; None when it is not known.
    """

    def __init__(self, shape: Shape, table: Callable[[bytes], PointTable | None]) -> None:
        self._shape = shape
        self._table = table
        self._known: dict[bytes, tuple[PointTable, dict[str, Any]]] = {}
        self._names: dict[int, str] = {}

    def messages(
        self, items: Sequence[Item], wall: Wall, unreadable: Callable[[str], None]
    ) -> Iterator[Message]:
        """The messages of one record, in its order; payloads of one topic joined where that is asked for.

        Args:
            unreadable: told why a block could not be rendered; the others still are.
        """
        batch = self._shape.batch
        if batch == 1:
            for topic, payload in self._single(items, wall, unreadable):
                yield topic, msgspec.json.encode(payload)
            return
        begun: dict[str, list[Any]] = {}
        for topic, payload in self._single(items, wall, unreadable):
            waiting = begun.setdefault(topic, [])
            waiting.append(payload)
            if len(waiting) == batch:
                yield topic, msgspec.json.encode(begun.pop(topic))
        for topic, waiting in begun.items():
            yield topic, msgspec.json.encode(waiting)

    def _single(
        self, items: Sequence[Item], wall: Wall, unreadable: Callable[[str], None]
    ) -> Iterator[tuple[str, Any]]:
        shape = self._shape
        for item in items:
            if isinstance(item, Block):
                try:
                    yield from self._block(item, wall)
                except UnknownTable as error:
                    unreadable(f"point table {error} is not known here")
                except ValueError as error:
                    unreadable(str(error))
            elif isinstance(item, Alarm) and shape.alarm_topic is not None:
                yield self._alarm(item, wall, shape.alarm_topic)
            elif isinstance(item, Gap) and shape.gap_topic is not None:
                yield self._gap(item, wall, shape.gap_topic)

    # ------------------------------------------------------------ readings

    def _block(self, block: Block, wall: Wall) -> Iterator[tuple[str, Any]]:
        table, about = self._about(block)
        if self._shape.per == "point":
            for reading in readings(block, table):
                bad = reading.quality == Quality.BAD or not _finite(reading.value)
                fields = {
                    **about,
                    **_when(wall(reading.taken_at_us)),
                    "slot": block.slot,
                    "point": reading.point,
                    "title": about["titles"][reading.point],
                    "unit": reading.unit,
                    "value": None if bad else reading.value,
                    "raw": reading.raw,
                    "quality": "bad" if bad else _QUALITY[reading.quality],
                    "status": reading.status,
                }
                yield self._shape.topic(fields), self._shape.payload(fields)
            return
        values, quality = _columns(block, table)
        fields = {
            **about,
            **_when(wall(block.at_us)),
            "slot": block.slot,
            "values": values,
            "quality": quality,
        }
        yield self._shape.topic(fields), self._shape.payload(fields)

    def _about(self, block: Block) -> tuple[PointTable, dict[str, Any]]:
        digest = block.table
        assert isinstance(digest, bytes)
        known = self._known.get(digest)
        if known is None:
            table = self._table(digest)
            if table is None:
                raise UnknownTable(digest.hex())
            if len(self._known) >= 4096:
                self._known.clear()
            known = self._known[digest] = (table, self._of(table))
            self._names[table.number] = table.device
        return known

    def _of(self, table: PointTable) -> dict[str, Any]:
        return {
            "gateway": self._shape.gateway,
            "uplink": self._shape.uplink,
            "device": table.device,
            "name": table.name or table.device,
            "vendor": table.vendor,
            "model": table.model,
            "labels": table.labels,
            "units": {point.name: point.unit for point in table.points},
            "titles": {point.name: point.title for point in table.points},
        }

    # ------------------------------------------------------------ what else happened

    def _device(self, number: int) -> str | int:
        """A device's id where a table of it was seen, else its number; "" is the gateway itself."""
        return self._names.get(number, number) if number else ""

    def _alarm(self, alarm: Alarm, wall: Wall, topic: Callable[[Fields], str]) -> tuple[str, Any]:
        shape = self._shape
        said = {
            "gateway": shape.gateway,
            "device": self._device(alarm.device),
            "point": alarm.point,
            "code": alarm.code,
            "severity": alarm.severity,
            "active": alarm.active,
            "value": alarm.value,
            "text": alarm.text,
            **_when(wall(alarm.at_us)),
        }
        return topic(said), said

    def _gap(self, gap: Gap, wall: Wall, topic: Callable[[Fields], str]) -> tuple[str, Any]:
        # A gap may begin in an earlier boot, whose clock is not this one's.
        first = None if gap.boot is not None else wall(gap.first_us)
        said = {
            "gateway": self._shape.gateway,
            "device": self._device(gap.device),
            "reason": gap.reason.value,
            "first": iso(first),
            "last": iso(wall(gap.last_us)),
            "looks": gap.looks,
            "readings": gap.readings,
            "text": gap.text,
        }
        return topic(said), said


def _when(wall_us: int | None) -> Mapping[str, Any]:
    return {
        "time": iso(wall_us),
        "time_ms": None if wall_us is None else wall_us // 1000,
        "time_state": "unsynced" if wall_us is None else "synced",
    }


def _finite(value: Value) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _columns(block: Block, table: PointTable) -> tuple[dict[str, Value], dict[str, str]]:
    """Values by point, and the qualities that are not good. No object per point while all is good."""
    points = table.points
    quality: dict[str, str] = {}
    if block.quality is None:
        values = {
            points[i].name: convert(points[i].conversion, raw)
            for i, raw in raw_values(block, table)
        }
        for name, value in values.items():
            if value is None or not _finite(value):
                quality[name] = "bad"
    else:
        values = {}
        for reading in readings(block, table):
            values[reading.point] = reading.value
            if reading.quality != Quality.GOOD or not _finite(reading.value):
                bad = not _finite(reading.value)
                quality[reading.point] = "bad" if bad else _QUALITY[reading.quality]
    for name, word in quality.items():
        if word == "bad":
            values[name] = None
    return values, quality
