"""What a station answered, as lines for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from headgate.sdk import Told
from headgate_drivers.sl651 import items, settings
from headgate_drivers.sl651.elements import ELEMENTS, EVENTS, SLOTS, STATUS_BITS
from headgate_drivers.sl651.items import RAIN_SLOTS, Message, Row, rows
from headgate_drivers.sl651.points import SLOT, length_of

_SHOWN_BITS = max(STATUS_BITS) + 1


def lines(message: Message) -> Iterator[Told]:
    """Each value of a message on a line of its own: identifier and name, value, unit, when."""
    for row in rows(message):
        observed = row.observed.at if row.observed is not None else None
        yield from _lines(row, observed)


def _lines(row: Row, at: datetime | None) -> Iterator[Told]:
    item = row.item
    match item:
        case items.Element(parameter=True) | items.Raw():
            yield settings.told(item)
        case items.Element():
            yield Told(_name(item.code), item.value, _unit(item.code), _shown(at))
        case items.Slots() | items.Series():
            step = SLOT if isinstance(item, items.Slots) else length_of(row.step)
            unit = _unit(item.code)
            for index, value in enumerate(item.values):
                when = None if at is None else at + index * step
                yield Told(_name(item.code), value, unit, _shown(when))
        case items.Status():
            for bit, (name, off, on) in STATUS_BITS.items():
                yield Told(f"{bit} {name}", on if item.word >> bit & 1 else off)
            for bit in range(_SHOWN_BITS, 32):
                if item.word >> bit & 1:
                    yield Told(f"{bit}", 1)
        case items.Version():
            yield Told("version", item.data.decode("gb18030", "replace"))
        case items.Text():
            yield Told("text", item.text)
        case items.Picture():
            yield Told("picture", len(item.data), "By", _shown(at))
        case items.Events():
            for index, count in enumerate(item.counts):
                if index < len(EVENTS) or count:
                    name = EVENTS[index] if index < len(EVENTS) else ""
                    yield Told(f"ERC{index + 1} {name}".rstrip(), count)
        case items.Batch() | items.Rest():
            yield Told(type(item).__name__.lower(), item.data)
        case items.Switches():
            for number, runs in enumerate(item.on, 1):
                yield Told(str(number), runs)
        case items.Gates():
            for number, is_open in enumerate(item.open, 1):
                opening = item.openings[number - 1] if item.openings else None
                yield (
                    Told(str(number), is_open)
                    if opening is None
                    else Told(str(number), opening, "cm")
                )
        case items.Quota():
            yield Told("quota", item.on)


def _name(code: int) -> str:
    if code in SLOTS:
        return f"{code:02X} {SLOTS[code]}"
    known = ELEMENTS.get(code)
    return f"{code:02X} {known.name if known else ''}".rstrip()


def _unit(code: int) -> str:
    if code in SLOTS:
        return "mm" if code == RAIN_SLOTS else "m"
    known = ELEMENTS.get(code)
    return known.unit if known else ""


def _shown(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="minutes")


def off_by(message: Message, now: datetime) -> timedelta | None:
    """How far a station's clock is before ours; None where it says no time."""
    sent = message.sent_at
    return None if sent is None else sent - now
