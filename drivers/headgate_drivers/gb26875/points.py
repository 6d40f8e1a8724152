"""What a profile may name of a fire alarm transmitter, and a message as values of its points and alarms.

A building's panel has hundreds of components that no site file names. So an alarm names its component itself
(`component/1.3.000600D9 Ａ区１层走廊`), and a point says how many of the whole building are in that state.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from headgate.sdk import (
    Alarm,
    Device,
    Problem,
    ProfileError,
    Quality,
    Status,
    Value,
    once_for_each,
    status_word,
)
from headgate_drivers.gb26875.frames import OWN, Frame
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
from headgate_drivers.gb26875.tables import called

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
#: What a building's parts no longer see because somebody wanted it so; no reset ends it.
SHIELDED: Mapping[int, tuple[str, int]] = {3: ("shielded", 200)}
_POWER = {"main_power_fault", "backup_power_fault", "power_fault", "bus_fault"}
_LINKS = {"centre_link_fault", "monitor_link_fault"}
_COUNTED = {"fires": 1, "faults": 2, "shielded": 3}
#: Of a system's state; the same of what was done at a system (type 4).
_RESET, _WAS_RESET = 13, 0
#: Fire and fault: what a reset ends.
_CALM = sum(1 << bit for bit in RAISES)
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
        self._counts = dict.fromkeys(_COUNTED.values(), 0)
        #: What the parts had told before the last message; None: nothing.
        self._undo: dict[str, int | None] = {}
        #: What ended with an item of the last message that was a reset: bits as points name them.
        self._calmed: dict[int, list[str]] = {}

    def alarms(
        self, device: Device, message: Message, at_us: int, asked: bool = False
    ) -> list[Alarm]:
        """Conditions that begin or end with this message. What was never heard of may end, too.

        `asked`: we had asked for it. What was done long ago then ends nothing that began since.
        """
        found: list[Alarm] = []
        self._undo, self._calmed = {}, {}
        for number, item in enumerate(message.items):
            if _resets(item) and not (asked and isinstance(item, Operation)):
                found += self._reset(device, item, at_us, self._calmed.setdefault(number, []))
            if isinstance(item, State):
                found += self._told(device, item, at_us)
        return found

    def _told(self, device: Device, state: State, at_us: int) -> Iterator[Alarm]:
        part, key = state.part, name_of(state.part)
        before = self._words.get(key)
        if before is not None or len(self._words) < MOST_PARTS:
            self._keep(key, state.word)
        component = part is not None and part.address is not None
        for bit, (code, severity) in raises(part).items():
            active = bool(state.word >> bit & 1)
            if before is None and not active and component and bit not in RAISES:
                continue
            if before is None or bool(before >> bit & 1) != active:
                text = " ".join(filter(None, (key, _called(part), state.text)))
                # The part stands in the code: each is raised and cleared by itself.
                yield _alarm(device, f"{code}/{key}", severity, active, at_us, text)

    def _reset(self, device: Device, item: Item, at_us: int, calmed: list[str]) -> Iterator[Alarm]:
        """A panel was reset: what its components said before is over, and what it said itself.

        A state of the system itself is told anew with it.
        """
        system = name_of(getattr(item, "part", None))
        begins = system.replace("system", "component") + "."
        for key, word in list(self._words.items()):
            if not key.startswith(begins) and (key != system or isinstance(item, State)):
                continue
            for bit, (code, severity) in RAISES.items():
                if word >> bit & 1:
                    calmed.append(f"{key.replace('/', '.')}.{bit}")
                    yield _alarm(device, f"{code}/{key}", severity, False, at_us, f"{key} reset")
            self._keep(key, word & ~_CALM)

    def recall(self, codes: Iterable[str]) -> None:
        """What it had raised and not cleared before a restart: a reset names none of its components."""
        for code in codes:
            name, _, key = code.partition("/")
            bit = _BIT_OF.get(key.partition("/")[0], {}).get(name)
            if bit is not None:
                self._keep(key, self._words.get(key, 0) | 1 << bit)

    def _keep(self, key: str, word: int | None) -> None:
        before = self._words.get(key)
        self._undo.setdefault(key, before)
        if word is None:
            del self._words[key]
        else:
            self._words[key] = word
        if not key.startswith("transmitter"):
            for bit in self._counts:
                self._counts[bit] += ((word or 0) >> bit & 1) - ((before or 0) >> bit & 1)

    def before(self) -> Mapping[str, int | None]:
        """What the last message has changed, for `forget`."""
        return self._undo

    def forget(self, before: Mapping[str, int | None]) -> None:
        """A message was not kept: what it told is not known."""
        for key, word in before.items():
            self._keep(key, word)

    def calmed(self, number: int) -> Sequence[str] | None:
        """What ended because this item of the last message was a reset; None: it was none."""
        return self._calmed.get(number)

    def counted(self, bit: int) -> int:
        """How many components and systems have this bit set."""
        return self._counts[bit]


def _bits(part: Part | None) -> dict[str, int]:
    return {code: bit for bit, (code, _) in raises(part).items()}


def raises(part: Part | None) -> dict[int, tuple[str, int]]:
    """Which bits of a state are alarms, by whose they are."""
    found = {**RAISES, **({} if part is None else SHIELDED)}
    for bit, name in names_of(part).items():
        if name in _POWER or name in _LINKS:
            found[bit] = name.replace("_", "-"), 500
    return found


def _resets(item: Item) -> bool:
    match item:
        case State(part=Part(address=None), word=word):
            return bool(word >> _RESET & 1)
        case Operation(part=Part(), flags=flags):
            return bool(flags >> _WAS_RESET & 1)
        case _:
            return False


def _alarm(device: Device, code: str, severity: int, active: bool, at_us: int, text: str) -> Alarm:
    return Alarm(device.number, "", code, severity, active, at_us, None, text)


def _called(part: Part | None) -> str:
    name = called(part)
    return "" if part is None or name == called(Part(0, 0)) else name


#: Bits by what is raised, for the transmitter, systems and components.
_BIT_OF: Mapping[str, Mapping[str, int]] = {
    "transmitter": _bits(None), "system": _bits(Part(0, 0)), "component": _bits(Part(0, 0, 0, 0)),
}  # fmt: skip


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
    for number, item in enumerate(message.items):
        at = getattr(item, "at", None)
        calmed = building.calmed(number)
        said: dict[str, Said] = {
            names[key]: (False, Quality.GOOD, 0) for key in calmed or () if key in names
        }
        said |= {names[key]: value for key, value in _values(item, message.type) if key in names}
        if isinstance(item, State) or calmed is not None:
            lost = isinstance(item, State) and item.part is None and item.word >> _PANEL_LOST & 1
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


def strange(frame: Frame, names: Mapping[str, str]) -> list[Look]:
    """A frame whose command is a user's own: what it holds, as hex; nothing where no point wants it."""
    if frame.command < OWN or "raw" not in names:
        return []
    return [
        Look(
            None, {names["raw"]: _text({"command": frame.command, "data": frame.adu.hex().upper()})}
        )
    ]


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
    part = getattr(item, "part", None)
    told = {"type": kind, "of": name_of(part), "called": called(part)} | _plain(item)
    told.pop("part", None)
    return told


def _plain(item: Item) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    if isinstance(plain.get("data"), str):
        plain["data"] = getattr(item, "data", b"").hex().upper()
    return plain


def _text(told: dict[str, Any]) -> Said:
    return json.dumps(told, ensure_ascii=False, sort_keys=True), Quality.GOOD, 0
