"""What a profile may name of a meter, and what is asked for it. Pure.

A point names an identifier (`di`), and where an answer has several items the one it means (`field`).
Points of one identifier share one request. `round = "day"` is asked once a day, after midnight.
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone

from headgate.sdk import Device, DevicePoint, LineSettings, Problem, ProfileError, Value
from headgate_drivers.dlt645.identifiers import items
from headgate_drivers.dlt645.items import Item
from headgate_drivers.dlt645.messages import Field

#: BCD, and AA in the bytes from the highest down that do not matter (2007, clause 5.2.2).
_ADDRESS = re.compile(r"(?=.{12}$)(?:AA)*[0-9]*")
_IDENTIFIER = re.compile(r"[0-9A-F]{8}|[0-9A-F]{4}")
#: What a point may name that no identifier has: how far the meter's clock is off, its switch.
CLOCK_OFFSET, SWITCH = "clock_offset", "switch"
#: Status word 3 (2007 annex C): its bit 4 says that the relay is open.
STATUS_3, RELAY_OPEN = "04000503", 1 << 4
DATE, TIME = "04000101", "04000102"
#: Bytes of an answer that a look is counted with, to say how full a line is.
USUAL = 4


class Wanted:
    """One point: which field of an answer, and as what."""

    __slots__ = ("bit", "column", "field", "name")

    def __init__(self, name: str, column: str, field: str, bit: int | None) -> None:
        self.name, self.column, self.field, self.bit = name, column, field, bit

    def value(self, fields: dict[str, Field]) -> Value:
        """Out of an answer; None where it has none."""
        field = fields.get(self.field) if self.field else next(iter(fields.values()), None)
        value = None if field is None else field.value
        if value is None:
            return None
        if self.column == "bool":
            return bool(int(value) >> (self.bit or 0) & 1) if isinstance(value, int) else None
        if self.column == "text":
            return str(value)
        if isinstance(value, str):
            return None
        return float(value) if self.column in ("f32", "f64") else int(value)


class Request:
    """One identifier that is asked for, and the points that its answer brings."""

    __slots__ = ("daily", "identifier", "points", "rest")

    def __init__(self, identifier: str, daily: bool) -> None:
        self.identifier, self.daily = identifier, daily
        self.points: list[Wanted] = []
        #: How many looks to leave it out: the meter has said that it does not have it.
        self.rest = 0

    def size(self) -> int:
        """Bytes that the answer has behind its identifier, about."""
        known = items(self.identifier, 255 if "FF" in self.identifier else USUAL) or ()
        return min(sum(item.size for item in known), 60) or USUAL


class Asked:
    """What the driver keeps of one meter, with what it has learned of it.

    Attributes:
        day: the last day (of the meter's zone) whose daily round is done.
        settings: line settings of its own on the pair (quirk `line`); "" is the channel's.
    """

    def __init__(self, device: Device) -> None:
        self._problems: list[Problem] = []
        self._device = device
        self.address = str(device.address).upper().zfill(12)
        if not _ADDRESS.fullmatch(self.address):
            allowed = "twelve digits, as on the meter; AA for leading pairs that do not matter"
            self._wrong("address", device.address, allowed, "address")
        self.wake = self._number("wake", 4, 0, 32)
        self.after_min = self._number("round_after_min", 5, 0, 720)
        self.zone = timezone(timedelta(hours=self._number("utc_offset_h", 8, -14, 14)))
        self.sync_clock = self._choice("sync_clock", "no", ("no", "day"))
        self.close = self._choice("close", "close", ("close", "permit close"))
        self.line = str(device.quirks.get("line", ""))
        try:
            LineSettings().with_text(self.line or "9600")
        except ValueError:
            self._wrong("line", self.line, '"2400 8E1"')
        self.requests: list[Request] = []
        #: Points with a meaning of their own: name by `CLOCK_OFFSET`, `SWITCH`.
        self.own: dict[str, str] = {}
        for place in device.points:
            self._add(place)
        self.day = ""
        self.day_tried_us = self.round_us = self.synced_us = 0
        if self._problems:
            raise ProfileError(self._problems)

    @property
    def daily(self) -> bool:
        """Whether anything is asked once a day."""
        return any(request.daily for request in self.requests)

    def _wrong(self, key: str, value: object, allowed: str, where: str = "quirks") -> None:
        device = self._device.id
        fields: dict[str, str | int | float] = {
            "device": device, "key": key, "value": str(value), "allowed": allowed,
        }  # fmt: skip
        self._problems.append(Problem(f'device "{device}": {where}', "HG-3640", fields))

    def _given(self, key: str, usual: object) -> object:
        return self._device.params.get(key, self._device.quirks.get(key, usual))

    def _number(self, key: str, usual: int, low: int, high: int) -> int:
        value = self._given(key, usual)
        if isinstance(value, bool) or not isinstance(value, int | float):
            value = low - 1
        if not low <= value <= high or value != int(value):
            self._wrong(key, self._given(key, usual), f"{low} to {high}")
            return usual
        return int(value)

    def _choice(self, key: str, usual: str, allowed: tuple[str, ...]) -> str:
        value = self._given(key, usual)
        if value not in allowed:
            self._wrong(key, value, " | ".join(allowed))
            return usual
        return str(value)

    def _add(self, place: DevicePoint) -> None:
        name, column = place.point.name, place.point.type
        where = f'point "{name}"'
        source = place.source
        identifier = str(source.get("di", "-"))
        if identifier in (CLOCK_OFFSET, SWITCH):
            wanted = "f64" if identifier == CLOCK_OFFSET else "bool"
            if column != wanted:
                self._wrong("type", column, wanted, where)
            self.own[identifier] = name
            return
        identifier = identifier.upper()
        if not _IDENTIFIER.fullmatch(identifier):
            allowed = f"an identifier of 8 or 4 hex digits, or {CLOCK_OFFSET}, {SWITCH}"
            self._wrong("di", source.get("di", "-"), allowed, where)
            return
        daily = source.get("round", "look")
        if daily not in ("look", "day"):
            self._wrong("round", daily, "look | day", where)
        bit, field = source.get("bit"), str(source.get("field", ""))
        if bit is not None and (not isinstance(bit, int) or not 0 <= bit < 64):
            self._wrong("bit", bit, "0 to 63", where)
            bit = None
        self._check_item(identifier, field, column, where)
        request = self._request(identifier, daily == "day")
        request.points.append(Wanted(name, column, field, int(bit) if bit is not None else None))

    def _check_item(self, identifier: str, field: str, column: str, where: str) -> None:
        known = items(identifier, 255)
        if not known:
            self._wrong(
                "di", identifier, "an identifier of the table in the page on DL/T 645", where
            )
            return
        item = next((each for each in known if each.name == field), known[0] if not field else None)
        if item is None:
            self._wrong("field", field, " | ".join(each.name for each in known[:12]), where)
        elif column not in _columns(item):
            self._wrong("type", column, " | ".join(_columns(item)), where)

    def _request(self, identifier: str, daily: bool) -> Request:
        for request in self.requests:
            if (request.identifier, request.daily) == (identifier, daily):
                return request
        self.requests.append(Request(identifier, daily))
        return self.requests[-1]


def _columns(item: Item) -> tuple[str, ...]:
    if item.kind == "bits":
        return ("u16", "u32", "bool")
    if item.kind == "number":
        return (
            ("f64", "f32") if item.decimals else ("f64", "f32", "u16", "u32", "i32", "i64", "u64")
        )
    return ("text",)
