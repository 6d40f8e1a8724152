"""What a logger on a call can be asked or told besides its values (6.6.5), and its control commands. Pure.

Its password (1072) is not among them: it would stand in logs, and the site's own would no longer fit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from headgate.sdk import Device, DeviceRefused, Errand, Told, Value
from headgate_drivers.hj212.frames import Packet
from headgate_drivers.hj212.orders import Reply
from headgate_drivers.hj212.points import Order, order_of

Items = Sequence[tuple[str, str]]
#: Intervals of minute data that table 4 allows.
MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_FACTOR = re.compile(r"[A-Za-z0-9]{1,8}")
_INFO = re.compile(r"[a-z][0-9a-z]{5}")
#: What belongs to the conversation, and says nothing of the logger.
_TALK = ("QN", "QnRtn", "ExeRtn")


class Ask(NamedTuple):
    """One errand: its commands in order, and CP of each from the arguments."""

    errand: Errand
    commands: tuple[str, ...]
    items: Callable[[Device, Mapping[str, str]], Items]


class _Wrong(Exception):
    """An argument that is none, and what is wanted."""

    def __init__(self, argument: str, wanted: str) -> None:
        super().__init__(argument)
        self.argument, self.wanted = argument, wanted


def _nothing(device: Device, said: Mapping[str, str]) -> Items:
    return ()


def _whole(said: Mapping[str, str], name: str, allowed: Sequence[int], wanted: str) -> str:
    text = said[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) in allowed):
        raise _Wrong(name, wanted)
    return str(int(text))


def _time(said: Mapping[str, str], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(said[name])
    except ValueError:
        raise _Wrong(name, "2026-05-01T08:00") from None
    return at.replace(tzinfo=None)


def _code(said: Mapping[str, str], name: str, form: re.Pattern[str], wanted: str) -> str:
    if form.fullmatch(said[name]) is None:
        raise _Wrong(name, wanted)
    return said[name]


def _between(device: Device, said: Mapping[str, str]) -> Items:
    first, last = _time(said, "FROM"), _time(said, "TO")
    if last < first:
        raise _Wrong("TO", "a time that is not before FROM")
    return (("BeginTime", f"{first:%Y%m%d%H%M%S}"), ("EndTime", f"{last:%Y%m%d%H%M%S}"))


def _factor(device: Device, said: Mapping[str, str]) -> Items:
    return (("PolId", _code(said, "FACTOR", _FACTOR, "w01018")),)


def _info(device: Device, said: Mapping[str, str]) -> Items:
    items = [("PolId", said["FACTOR"]), ("InfoId", _code(said, "ITEM", _INFO, "i12001"))]
    _factor(device, said)
    if "FROM" in said:
        items += _between(device, {**said, "TO": said.get("TO", said["FROM"])})
    return items


def _realtime(device: Device, said: Mapping[str, str]) -> Items:
    return (("RtdInterval", _whole(said, "SECONDS", range(30, 3601), "30 to 3600")),)


def _minutes(device: Device, said: Mapping[str, str]) -> Items:
    wanted = ", ".join(map(str, MINUTES))
    return (("MinInterval", _whole(said, "MINUTES", MINUTES, wanted)),)


def _timeouts(device: Device, said: Mapping[str, str]) -> Items:
    every = range(1, 100)
    return (
        ("OverTime", _whole(said, "SECONDS", every, "1 to 99")),
        ("ReCount", _whole(said, "TIMES", every, "1 to 99")),
    )


_HISTORY = ("FROM", "TO")
#: Those that change something at the logger are asked about before.
ASKS: dict[str, Ask] = {
    "clock": Ask(Errand("HG-3800"), ("1011",), _nothing),
    "set-clock": Ask(Errand("HG-3801", changes=True), ("1012",), _nothing),
    "intervals": Ask(Errand("HG-3802"), ("1061", "1063"), _nothing),
    "minutes": Ask(Errand("HG-3803", _HISTORY), ("2051",), _between),
    "hours": Ask(Errand("HG-3804", _HISTORY), ("2061",), _between),
    "days": Ask(Errand("HG-3805", _HISTORY), ("2031",), _between),
    "run-hours": Ask(Errand("HG-3806", _HISTORY), ("2041",), _between),
    "serial": Ask(Errand("HG-3807", ("FACTOR",)), ("3019",), _factor),
    "sampling": Ask(Errand("HG-3808", ("FACTOR",)), ("3017", "3018"), _factor),
    "info": Ask(Errand("HG-3809", ("FACTOR", "ITEM", "FROM?", "TO?")), ("3020",), _info),
    "set-realtime": Ask(Errand("HG-3810", ("SECONDS",), changes=True), ("1062",), _realtime),
    "set-minutes": Ask(Errand("HG-3811", ("MINUTES",), changes=True), ("1064",), _minutes),
    "set-timeouts": Ask(
        Errand("HG-3812", ("SECONDS", "TIMES"), changes=True), ("1000",), _timeouts
    ),
    "start-realtime": Ask(Errand("HG-3813", changes=True), ("2011",), _nothing),
    "stop-realtime": Ask(Errand("HG-3814", changes=True), ("2012",), _nothing),
    "start-states": Ask(Errand("HG-3815", changes=True), ("2021",), _nothing),
    "stop-states": Ask(Errand("HG-3816", changes=True), ("2022",), _nothing),
}


def items_for(device: Device, name: str, said: Mapping[str, str]) -> Items:
    """CP of an errand's commands.

    Raises:
        DeviceRefused: an argument is none (HG-3655).
    """
    try:
        return ASKS[name].items(device, said)
    except _Wrong as wrong:
        raise DeviceRefused(
            f"{wrong.argument} is not {wrong.wanted}", code="HG-3655", device=device.id,
            argument=wrong.argument, said=said[wrong.argument][:40], wanted=wrong.wanted,
        ) from None  # fmt: skip


def commanded(device: Device, point: str, raw: Value) -> tuple[Order, Items]:
    """The control command that writing a point is, and its CP.

    1 does it; 3016 takes hours, 3021 the parameter's value.

    Raises:
        DeviceRefused: a point that commands nothing, or a value that it does not take (HG-3627).
    """
    place = next((each for each in device.points if each.point.name == point), None)
    order = None if place is None else order_of(str(place.source.get("item", "")))
    if order is not None:
        factor = [("PolId", order.factor)] if order.factor else []
        if order.cn == "3021" and isinstance(raw, (int, float)) and not isinstance(raw, bool):
            return order, [*factor, ("InfoId", order.info), (f"{order.info}-Info", _plain(raw))]
        if order.cn == "3016" and not isinstance(raw, (bool, bytes, str)) and raw in range(1, 25):
            return order, [*factor, ("CstartTime", "000000"), ("Ctime", f"{raw:g}")]
        if order.cn not in ("3016", "3021") and raw == 1:
            return order, factor
    raise DeviceRefused(
        f"{point} = {raw!r} cannot be written", code="HG-3627", device=device.id, point=point,
        value=str(raw),
    )  # fmt: skip


def _plain(number: float) -> str:
    """A number with all its digits and no exponent."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def refusal(device: Device, cn: str, reply: Reply) -> DeviceRefused:
    """The logger said no, or could not."""
    if reply.accepted is not None and reply.done is None:
        text = f"{device.id} refuses {cn}: QnRtn={int(reply.accepted)}"
        return DeviceRefused(
            text, code="HG-3625", device=device.id, cn=cn, number=int(reply.accepted)
        )
    number = 2 if reply.done is None else int(reply.done)
    text = f"{device.id} could not do {cn}: ExeRtn={number}"
    return DeviceRefused(text, code="HG-3626", device=device.id, cn=cn, number=number)


def told(cn: str, data: Sequence[Packet]) -> list[Told]:
    """What the packets of an answer say, line by line; of history how much came and from when to when."""
    records = [
        each
        for packet in data
        for each in packet.records
        if each.time or each.items or each.factors
    ]
    if cn in ("2031", "2041", "2051", "2061"):
        times = sorted(record.time for record in records if record.time)
        lines = [Told("records", len(records))]
        return lines + [
            Told(name, at)
            for name, at in zip(("first", "last"), (times[:1] + times[-1:]), strict=False)
        ]
    found = []
    for record in records:
        at = record.time or ""
        found += [Told(name, text, at=at) for name, text in record.items if name not in _TALK]
        found += [
            Told(f"{factor.code}-{name}", text, at=at)
            for factor in record.factors
            for name, text in factor.fields
        ]
    return found
