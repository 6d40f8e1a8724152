"""Plain layouts of settings and answers (clauses 7.2 to 7.4, annex B): numbers and addresses in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from headgate_drivers.szy206 import values
from headgate_drivers.szy206.frames import Afn
from headgate_drivers.szy206.items import Edition, Value
from headgate_drivers.szy206.values import Form


class Found(NamedTuple):
    """What data says: numbers, what is no number, and the two words where they stand behind."""

    values: tuple[Value, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    alarm: int | None = None
    state: int | None = None


class Binary(NamedTuple):
    """A whole number, low byte first."""

    size: int
    unit: str = ""


class Address(NamedTuple):
    """Five bytes of an address, as they stand."""

    size: int = 5


#: One part of a layout: its name and how it is written.
Part = tuple[str, Form | Binary | Address]


class Layout(NamedTuple):
    """Parts in their order; `each` of them for each instrument; `words`: alarm and state behind them."""

    parts: tuple[Part, ...]
    each: bool = False
    words: bool = False


_PRESSURES: tuple[Part, ...] = (
    ("pressure_high", values.PRESSURE), ("pressure_low", values.PRESSURE),
)  # fmt: skip
_LEVELS: tuple[Part, ...] = (
    ("level_base", values.LEVEL_BASE), ("level_low", values.LEVEL_LIMIT),
    ("level_high", values.LEVEL_LIMIT),
)  # fmt: skip


def _one(name: str, how: Form | Binary | Address) -> Layout:
    return Layout(((name, how),))


def _each(*parts: Part, words: bool = False) -> Layout:
    return Layout(parts, each=True, words=words)


LAYOUTS: Mapping[int, Layout] = {
    Afn.SET_ADDRESS: _one("address", Address()), Afn.ASK_ADDRESS: _one("address", Address()),
    Afn.SET_MODE: _one("mode", Binary(1)), Afn.ASK_MODE: _one("mode", Binary(1)),
    Afn.SET_RECHARGE: _one("recharge", values.RECHARGE),
    Afn.ASK_RECHARGE: Layout((("recharge", values.RECHARGE), ("remaining", values.TOTAL))),
    Afn.SET_REMAINING_ALARM: _one("remaining_alarm", values.REMAINING_ALARM),
    Afn.ASK_REMAINING: Layout(
        (("remaining_alarm", values.REMAINING_ALARM), ("remaining", values.TOTAL))
    ),
    Afn.SET_LEVEL_LIMITS: _each(*_LEVELS), Afn.ASK_LEVEL_LIMITS: _each(*_LEVELS, words=True),
    Afn.SET_PRESSURE_LIMITS: _each(*_PRESSURES),
    Afn.ASK_PRESSURE_LIMITS: _each(*_PRESSURES, words=True),
    Afn.SET_TOTALS: _each(("total", values.TOTAL)),
    Afn.SET_RELAY_LEAD: _one("relay_lead", Binary(1, "s")),
    Afn.ASK_RELAY_LEAD: _one("relay_lead", Binary(1, "s")),
    Afn.SET_RELAY_ADDRESSES: _each(("relayed", Address())),
    Afn.ASK_RELAY_ADDRESSES: _each(("relayed", Address())),
    Afn.SET_RELAY_SWITCH: _one("relay_switch", Binary(1)),
    Afn.SET_FLOW_LIMITS: _each(("flow_high", values.FLOW)),
    Afn.ASK_FLOW_LIMITS: _each(("flow_high", values.FLOW), words=True),
    Afn.SET_QUOTA: _one("quota", values.QUOTA),
    Afn.ASK_EVENTS: _each(("events", Binary(2))),
    Afn.ASK_STATE: Layout((), words=True),
    Afn.RESET: _one("reset", Binary(1)), Afn.CLEAR: _one("cleared", Binary(1)),
    Afn.SWITCH_MODEM: _one("machine", Binary(1)), Afn.SWITCH_RELAY: _one("machine", Binary(1)),
    Afn.SET_KINDS: _one("kinds", Binary(2)), Afn.ASK_KINDS: _one("kinds", Binary(2)),
    Afn.SET_PASSWORD: _one("password", Binary(2)),
}  # fmt: skip


def read(layout: Layout, raw: bytes, edition: Edition, *, up: bool) -> Found | None:
    """What bytes say by a layout; None: they are not as long as it."""
    parts = _ordered(layout.parts, edition)
    size = sum(how.size for _, how in parts)
    # SZY 206 had the alarm word alone behind limits.
    for kept in (4, 2) if layout.words and up else (0,):
        body, words = raw[: len(raw) - kept], raw[len(raw) - kept :]
        if len(body) % size if layout.each else len(body) != size:
            continue
        if layout.each and not body:
            continue
        said, texts = _parts(parts, body, layout.each)
        alarm = int.from_bytes(words[:2], "little") if kept else None
        state = int.from_bytes(words[2:4], "little") if kept == 4 else None
        return Found(said, texts, alarm, state)
    return None


def _ordered(parts: tuple[Part, ...], edition: Edition) -> tuple[Part, ...]:
    # SZY 206 says the lower limit of a pressure first, SL/T 427 the upper one.
    return parts if parts != _PRESSURES or edition == "slt427" else parts[::-1]


def _parts(
    parts: Sequence[Part], raw: bytes, each: bool
) -> tuple[tuple[Value, ...], tuple[tuple[str, str], ...]]:
    found: list[Value] = []
    texts: list[tuple[str, str]] = []
    at, number = 0, 0
    while at < len(raw):
        number += 1
        for name, how in parts:
            part, at = raw[at : at + how.size], at + how.size
            called = f"{name}_{number}" if each else name
            if isinstance(how, Address):
                texts.append((called, part.hex().upper()))
            elif isinstance(how, Binary):
                found.append(Value(called, float(int.from_bytes(part, "little")), how.unit))
            else:
                found.append(values.read(called, how, part))
    return tuple(found), tuple(texts)


def write(afn: int, told: Mapping[str, float | str | None], edition: Edition) -> bytes:
    """The data of a setting or an answer that has a plain layout, without words, password and label.

    Raises:
        ValueError: a function without a plain layout, a part that is missing, a number that has no room.
    """
    layout = LAYOUTS.get(afn)
    if layout is None:
        raise ValueError(f"{afn:02X} has no plain layout")
    parts = _ordered(layout.parts, edition)
    found, number = b"", 1
    while True:
        names = [f"{name}_{number}" if layout.each else name for name, _ in parts]
        missing = [name for name in names if name not in told]
        if missing and (number == 1 or len(missing) < len(names)):
            raise ValueError(f"{afn:02X} needs {', '.join(missing)}")
        if missing or not names:
            return found
        found += b"".join(
            _written(name, how, told[name]) for name, (_, how) in zip(names, parts, strict=True)
        )
        number += 1
        if not layout.each:
            return found


def _written(name: str, how: Form | Binary | Address, value: float | str | None) -> bytes:
    if isinstance(how, Address):
        raw = bytes.fromhex(str(value))
        if len(raw) != how.size:
            raise ValueError(f"{name}: {value} is no address")
        return raw
    if isinstance(value, str):
        raise ValueError(f"{name}: {value} is no number")
    if isinstance(how, Binary):
        try:
            return int(value or 0).to_bytes(how.size, "little")
        except OverflowError:
            raise ValueError(f"{name}: {value} has no room") from None
    return values.write(how, Value(name, value))
