"""What a profile may name of a fire alarm transmitter, and a message as values of its points and alarms.

A building's panel has hundreds of components that no site file names. So an alarm names its component itself
(`component/1.3.000600D9 Ａ区１层走廊`), and a point says how many of the whole building are in that state.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from headgate.sdk import Alarm, Device, Problem, ProfileError, Quality, Status, Value, status_word
from headgate_drivers.gb26875.items import (
    Analogue,
    Configuration,
    Item,
    Message,
    Operation,
    Part,
    State,
    Version,
    names_of,
)

POINT_KEYS: Mapping[str, str] = {
    "item": "fires, faults, shielded; transmitter.BIT, system.TYPE.NUMBER.BIT, "
    "component.TYPE.NUMBER.ADDRESS.BIT, analogue.TYPE.NUMBER.ADDRESS; event, operation, version, "
    "clock, raw"
}
WORDS = ("fires", "faults", "shielded", "event", "operation", "version", "clock", "raw")
_PART = r"[0-9]{1,3}\.[0-9]{1,3}"
_ITEM = re.compile(
    rf"transmitter\.[0-7]|system\.{_PART}\.(?:1[0-5]|[0-9])"
    rf"|component\.{_PART}\.[0-9A-F]{{8}}\.(?:1[0-5]|[0-9])|analogue\.{_PART}\.[0-9A-F]{{8}}"
)

#: Raw value, quality, status word: what a block says of a point.
Said = tuple[Value, Quality, int]

#: Bits of a state that are alarms: its code, how severe it is.
RAISES: Mapping[int, tuple[str, int]] = {1: ("fire", 1000), 2: ("fault", 500)}
_POWER = {"main_power_fault", "backup_power_fault", "power_fault", "bus_fault"}
_LINKS = {"centre_link_fault", "monitor_link_fault"}
_COUNTED = {"fires": 1, "faults": 2, "shielded": 3}
_RESET = 13
#: Of the transmitter's own state: it does not reach the panel.
_PANEL_LOST = 6
_UNKNOWN: Said = (None, Quality.BAD, status_word(Status.LINE_CLOSED))
_STRANGE: Said = (None, Quality.BAD, status_word(Status.MALFORMED))
#: Parts whose state is remembered; what is beyond raises alarms all the same.
MOST_PARTS = 20_000


class Look(NamedTuple):
    """What was true at one instant of the transmitter's own clock; None: when it was sent."""

    at: datetime | None
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
        if (item not in WORDS and _ITEM.fullmatch(item) is None) or item in found:
            where = f"{device.profile}: {each.point.name}"
            fields: dict[str, str | int | float] = {"point": each.point.name, "item": item or "-"}
            problems.append(Problem(where, "HG-3670", fields))
        found[item] = each.point.name
    if problems:
        raise ProfileError(problems)
    return found


class Building:
    """What one transmitter has told of its parts: which are in fire, which are faulty."""

    def __init__(self) -> None:
        self._words: dict[str, int] = {}

    def alarms(self, device: Device, message: Message, at_us: int) -> list[Alarm]:
        """Conditions that begin or end with this message. What was never heard of may end, too."""
        found: list[Alarm] = []
        for state in _states(message):
            key = name_of(state.part)
            if state.part is not None and state.part.address is None and state.word >> _RESET & 1:
                found += self._reset(device, state.part, at_us)
            before = self._words.get(key)
            for bit, (code, severity) in raises(state.part).items():
                active = bool(state.word >> bit & 1)
                component = state.part is not None and state.part.address is not None
                if before is None and not active and component and bit not in RAISES:
                    continue
                if before is None or bool(before >> bit & 1) != active:
                    text = f"{key} {state.text}".rstrip()
                    # The part stands in the code: each is raised and cleared by itself.
                    found.append(
                        Alarm(
                            device.number, "", f"{code}/{key}", severity, active, at_us, None, text
                        )
                    )
            if before is not None or len(self._words) < MOST_PARTS:
                self._words[key] = state.word
        return found

    def _reset(self, device: Device, system: Part, at_us: int) -> Iterator[Alarm]:
        """A panel was reset: what its components said before is over."""
        begins = f"component/{system.system}.{system.number}."
        for key, word in self._words.items():
            if not key.startswith(begins):
                continue
            for bit, (code, severity) in RAISES.items():
                if word >> bit & 1:
                    yield Alarm(
                        device.number,
                        "",
                        f"{code}/{key}",
                        severity,
                        False,
                        at_us,
                        None,
                        f"{key} reset",
                    )
            self._words[key] = word & ~6

    def known(self) -> dict[str, int]:
        """What it has told so far: the words of its parts."""
        return dict(self._words)

    def forget(self, since: dict[str, int]) -> None:
        """Go back to what it had told then."""
        self._words = dict(since)

    def counted(self, bit: int) -> int:
        """How many components and systems have this bit set."""
        parts = [word for key, word in self._words.items() if not key.startswith("transmitter")]
        return sum(word >> bit & 1 for word in parts)


def raises(part: Part | None) -> dict[int, tuple[str, int]]:
    """Which bits of a state are alarms, by whose they are."""
    found = dict(RAISES)
    for bit, name in names_of(part).items():
        if name in _POWER or name in _LINKS:
            found[bit] = name.replace("_", "-"), 500
    return found


def name_of(part: Part | None) -> str:
    """`transmitter`, `system/TYPE.NUMBER` or `component/TYPE.NUMBER.ADDRESS`."""
    if part is None:
        return "transmitter"
    if part.address is None:
        return f"system/{part.system}.{part.number}"
    return f"component/{part.system}.{part.number}.{part.address:08X}"


def looks(message: Message, names: Mapping[str, str], building: Building) -> list[Look]:
    """A message as looks, one for each instant, in the order in which it tells them.

    `building` has taken the message's alarms already.
    """
    found: list[Look] = []
    for item in message.items:
        at = getattr(item, "at", None)
        said = {names[key]: value for key, value in _values(item, message.type) if key in names}
        if isinstance(item, State):
            lost = item.part is None and item.word >> _PANEL_LOST & 1
            for key, bit in _COUNTED.items():
                if key in names:
                    # A transmitter that does not reach the panel knows nothing of the building.
                    count: Said = float(building.counted(bit)), Quality.GOOD, 0
                    said[names[key]] = _UNKNOWN if lost else count
        if not said:
            continue
        if found and found[-1].at == at and not set(said) & set(found[-1].said):
            found[-1].said.update(said)
        else:
            found.append(Look(at, said))
    return found


def _states(message: Message) -> Iterable[State]:
    return (item for item in message.items if isinstance(item, State))


def _values(item: Item, kind: int) -> Iterator[tuple[str, Said]]:
    match item:
        case State():
            key = name_of(item.part).replace("/", ".")
            for bit in range(16):
                yield f"{key}.{bit}", (bool(item.word >> bit & 1), Quality.GOOD, 0)
            if item.part is not None:
                yield "event", _text(_told(item, kind) | {"bits": list(item.bits)})
        case Analogue():
            key = name_of(item.part).partition("/")[2]
            known = item.value is not None
            yield f"analogue.{key}", (item.value, Quality.GOOD, 0) if known else _STRANGE
            yield "event", _text(_told(item, kind) | {"value": item.value})
        case Operation():
            yield "operation", _text(_told(item, kind) | {"acts": list(item.acts)})
        case Version():
            yield "version", (f"{item.main}.{item.minor}", Quality.GOOD, 0)
        case Configuration():
            yield "event", _text(_told(item, kind))
        case _:
            yield "raw", _text({"type": kind} | _plain(item))


def _told(item: Item, kind: int) -> dict[str, Any]:
    told = {"type": kind, "of": name_of(getattr(item, "part", None))} | _plain(item)
    told.pop("part", None)
    return told


def _plain(item: Item) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    if isinstance(plain.get("data"), str):
        plain["data"] = getattr(item, "data", b"").hex().upper()
    return plain


def _text(told: dict[str, Any]) -> Said:
    return json.dumps(told, ensure_ascii=False, sort_keys=True), Quality.GOOD, 0
