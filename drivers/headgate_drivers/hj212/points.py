"""What a profile may name of a logger, and a packet as values of its points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from headgate.sdk import (
    Access,
    Device,
    Problem,
    ProfileError,
    Quality,
    Status,
    Value,
    once_for_each,
    status_word,
)
from headgate_drivers.hj212 import data
from headgate_drivers.hj212.data import NUMBERS, Mark, Record
from headgate_drivers.hj212.factors import BY_OLD
from headgate_drivers.hj212.frames import Packet

POINT_KEYS: Mapping[str, str] = {
    "item": "code-field (w01018-Rtd), of one command alone 2061/w01018-Avg; an item of CP; clock or rest; "
    "what is written: a control command and its factor (3012/w01018), 3021 with its parameter too"
}
#: What is no item of CP: the logger's clock against ours in seconds; all that no point names.
WORDS = ("clock", "rest")
_ITEM = re.compile(r"(?:[0-9]{4}/)?[A-Za-z][A-Za-z0-9]*|(?:[0-9]{4}/)?[A-Za-z0-9_]+-[A-Za-z]+")

#: Control commands that a point may stand for (6.6.5, 2025: 3022, 3024); 3015 has no factor.
_ORDER = re.compile(
    r"(?P<cn>301[12346]|3022|3024)/(?P<factor>[A-Za-z0-9]{1,8})|(?P<retain>3015)"
    r"|(?P<set>3021)/(?P<of>[A-Za-z0-9]{1,8})/(?P<info>[a-z][0-9a-z]{5})"
)

#: Raw value, quality, status word: what a block says of a point.
Said = tuple[Value, Quality, int]

#: What a mark is in the gateway's own words; the low byte of the status word is the mark's letter.
STATUS: dict[str, Status] = {
    Mark.STOPPED.value: Status.NOT_READ,
    Mark.MAINTENANCE.value: Status.SUBSTITUTED,
    Mark.SET_BY_HAND.value: Status.SUBSTITUTED,
    Mark.FAULT.value: Status.DEVICE_FAULT,
    Mark.CALIBRATION.value: Status.SUBSTITUTED,
    Mark.OVER_RANGE.value: Status.OUT_OF_RANGE,
    Mark.NO_CONNECTION.value: Status.LINE_CLOSED,
    # HJ/T 212-2005: power failure; calibration; weather; odd.
    "P": Status.DEVICE_FAULT,
    "0": Status.SUBSTITUTED,
    "1": Status.SUBSTITUTED,
    "2": Status.DEVICE_FAULT,
}
_QUALITY = {"good": Quality.GOOD, "uncertain": Quality.UNCERTAIN, "bad": Quality.BAD}


class Look(NamedTuple):
    """What was true at one time of the logger's own clock; None: when it was sent."""

    at: datetime | None
    said: dict[str, Said]


class Order(NamedTuple):
    """A control command that a point stands for; `info`: the parameter that 3021 sets."""

    cn: str
    factor: str
    info: str = ""


def order_of(item: str) -> Order | None:
    """What writing an item commands; None for an item that is only told."""
    found = _ORDER.fullmatch(item)
    if found is None:
        return None
    if found["set"]:
        return Order("3021", found["of"], found["info"])
    return Order(found["cn"] or "3015", found["factor"] or "")


@once_for_each
def items_of(device: Device) -> dict[str, tuple[str, bool]]:
    """The name of each point that is told, by its item, and whether it holds text.

    Raises:
        ProfileError: an item that is none, or one that two points name.
    """
    found: dict[str, tuple[str, bool]] = {}
    problems = []
    for each in device.points:
        item = str(each.source.get("item", ""))
        if each.point.access is Access.WRITE and order_of(item) is not None:
            continue
        if _ITEM.fullmatch(item) is None or item in found:
            where = f"{device.profile}: {each.point.name}"
            fields: dict[str, str | int | float] = {"point": each.point.name, "item": item or "-"}
            problems.append(Problem(where, "HG-3620", fields))
        found[item] = each.point.name, each.point.type == "text"
    if problems:
        raise ProfileError(problems)
    return found


def graded(mark: str | None) -> tuple[Quality, int]:
    """Quality and status word of a mark; none is good."""
    quality = _QUALITY[data.quality(mark)]
    if quality is Quality.GOOD or not mark:
        return quality, 0
    return quality, status_word(STATUS.get(mark, Status.MALFORMED), min(ord(mark[0]), 0xFF))


def looks(
    packet: Packet, names: Mapping[str, tuple[str, bool]], *, old_codes: bool = False
) -> list[Look]:
    """A packet as looks, one for each DataTime; what no point names stands in `rest` of its look.

    Args:
        old_codes: factors of HJ/T 212-2005 are known by today's codes (011 is w01018).
    """
    found = []
    for record in packet.records:
        said: dict[str, Said] = {}
        rest: dict[str, str] = {}
        for item, text, mark in _fields(record, old_codes):
            name = names.get(f"{packet.cn}/{item}") or names.get(item)
            if name is None:
                rest[item] = text
            else:
                said[name[0]] = _value(item, text, mark, is_text=name[1])
        # A mark belongs to its values; it is kept by itself where no point has any of them.
        for factor in record.factors:
            code = _code(factor.code, old_codes)
            fields = [field for field, _ in factor.fields if not data.is_mark(field)]
            if factor.mark is not None and all(f"{code}-{each}" in rest for each in fields):
                rest[f"{code}-Flag"] = factor.mark
        if rest and "rest" in names:
            text = json.dumps({"CN": packet.cn, **rest}, sort_keys=True, ensure_ascii=False)
            said[names["rest"][0]] = (text, Quality.GOOD, 0)
        if said:
            found.append(Look(record.at, said))
    return found


def _code(code: str, old_codes: bool) -> str:
    return BY_OLD.get(code, code) if old_codes else code


def _fields(record: Record, old_codes: bool) -> Iterator[tuple[str, str, str | None]]:
    """Each item of a record: its name, its text, its mark."""
    for name, text in record.items:
        if name not in ("QN", ""):
            yield name, text, None
    for factor in record.factors:
        code = _code(factor.code, old_codes)
        for field, text in factor.fields:
            if not data.is_mark(field):
                yield f"{code}-{field}", text, factor.mark


def _value(item: str, text: str, mark: str | None, *, is_text: bool) -> Said:
    quality, status = graded(mark)
    if is_text:
        return text, Quality.GOOD, 0
    value = data.number(text)
    if value is not None:
        return value, quality, status
    if quality is Quality.BAD:  # the mark says why there is no number
        return None, quality, status
    numeric = item.rpartition("-")[2] in NUMBERS
    return None, Quality.BAD, status_word(Status.SENTINEL if numeric else Status.MALFORMED)
