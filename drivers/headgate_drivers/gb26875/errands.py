"""What a transmitter on a call can be asked (types 61 to 91), from words and into words. Pure.

Type 89, to begin anew, is not offered: it makes a transmitter forget what it has not sent yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from headgate.sdk import Device, DeviceRefused, Errand, Told
from headgate_drivers.gb26875.frames import Command, Frame
from headgate_drivers.gb26875.items import (
    QUANTITIES,
    Analogue,
    Ask,
    Clock,
    Configuration,
    Item,
    Message,
    Operation,
    Part,
    State,
    Version,
)
from headgate_drivers.gb26875.layouts import LAYOUTS, MOST_OPERATIONS
from headgate_drivers.gb26875.points import name_of
from headgate_drivers.gb26875.replies import guard, set_clock
from headgate_drivers.gb26875.tables import called

ERRANDS: Mapping[str, Errand] = {
    "state": Errand("HG-3710", ("part...?",)),
    "values": Errand("HG-3711", ("part...",)),
    "operations": Errand("HG-3712", ("since?", "count?")),
    "system-operations": Errand("HG-3713", ("system", "since?", "count?")),
    "version": Errand("HG-3714", ("system?",)),
    "configuration": Errand("HG-3715", ("part...?",)),
    "clock": Errand("HG-3716", ("system?",)),
    "set-clock": Errand("HG-3717", (), changes=True),
    "guard": Errand("HG-3718", ("minutes",), changes=True),
}
#: Types of the question about the transmitter, a system, a component.
_KINDS: Mapping[str, tuple[int, int, int]] = {
    "state": (81, 61, 62), "values": (0, 0, 63), "configuration": (86, 66, 67),
    "version": (85, 65, 0), "clock": (88, 68, 0),
}  # fmt: skip
_PART = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9A-Fa-f]{8}))?")
_BEFORE = timedelta(days=1)
#: From when on, where nobody knows what time it is.
_EVER = datetime(2000, 1, 1)  # noqa: DTZ001
_USUAL_COUNT = 20


class Asked(NamedTuple):
    """One matter: a request that is answered (5), or a control that is confirmed (3)."""

    command: Command
    message: Message

    def fits(self, answer: Frame) -> bool:
        """Whether an answer is one to this, and not to an earlier matter."""
        if answer.command != Command.REPLY or answer.message is None:
            return True
        return answer.message.type == self.message.type - 60


def asked(device: Device, name: str, arguments: Mapping[str, str], now: datetime | None) -> Asked:
    """What an errand says on the line.

    Raises:
        DeviceRefused: an argument is none (HG-3655), our clock is not trusted (HG-3657).
    """
    if name == "set-clock":
        if now is None:
            raise DeviceRefused("our clock is not trusted", code="HG-3657", device=device.id)
        return Asked(Command.CONTROL, set_clock(now))
    if name == "guard":
        return Asked(Command.CONTROL, guard(_number(device, "minutes", arguments["minutes"], 255)))
    if name in ("operations", "system-operations"):
        return Asked(Command.REQUEST, _history(device, name, arguments, now))
    words = (arguments.get("part") or arguments.get("system") or "").split()
    parts = [_part(device, word, component="part" in arguments) for word in words]
    of_transmitter, of_system, of_component = _KINDS[name]
    components = {each.address is not None for each in parts}
    kind = of_transmitter if not parts else of_component if components == {True} else of_system
    most = LAYOUTS[kind].most if kind else 0
    if len(components) > 1 or not most:
        raise _refused(device, "part", " ".join(words), "TYPE.NUMBER.ADDRESS")
    if len(parts) > most:
        raise _refused(device, "part", " ".join(words), f"1 ... {most}")
    items: tuple[Item, ...] = tuple(Ask(each) for each in parts) or (Ask(None),)
    return Asked(Command.REQUEST, Message(kind, len(items), items))


def _history(
    device: Device, name: str, arguments: Mapping[str, str], now: datetime | None
) -> Message:
    part = _part(device, arguments["system"], component=False) if "system" in arguments else None
    count = _number(device, "count", arguments.get("count", str(_USUAL_COUNT)), MOST_OPERATIONS)
    since = _EVER if now is None else now - _BEFORE
    if (written := arguments.get("since")) is not None:
        try:
            since = datetime.fromisoformat(written)
        except ValueError:
            raise _refused(device, "since", written, "2026-05-01T08:00") from None
    ask = Ask(part, count, since.replace(tzinfo=None, microsecond=0))
    return Message(64 if name == "system-operations" else 84, 1, (ask,))


def _part(device: Device, word: str, *, component: bool) -> Part:
    found = _PART.fullmatch(word)
    wanted = "TYPE.NUMBER or TYPE.NUMBER.ADDRESS" if component else "TYPE.NUMBER"
    if found is None or (found[3] is not None and not component):
        raise _refused(device, "part" if component else "system", word, wanted)
    system, number = int(found[1]), int(found[2])
    if system > 255 or number > 255:
        raise _refused(device, "part" if component else "system", word, "0 ... 255")
    return Part(system, number, None, None if found[3] is None else int(found[3], 16))


def _number(device: Device, name: str, word: str, most: int) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= most:
        raise _refused(device, name, word, f"1 ... {most}")
    return int(word)


def _refused(device: Device, argument: str, said: str, wanted: str) -> DeviceRefused:
    return DeviceRefused(
        f"{argument} {said!r}", code="HG-3655", device=device.id, argument=argument, said=said,
        wanted=wanted,
    )  # fmt: skip


def told(answer: Frame) -> Sequence[Told]:
    """An answer as a person reads it; a control that was confirmed is one line."""
    if answer.command != Command.REPLY:
        return (Told("confirmed", True),)
    message = answer.message
    if message is None:
        return ()
    found = [_line(item) for item in message.items]
    return (*found, *(Told("flaw", flaw) for flaw in message.flaws))


def _line(item: Item) -> Told:
    part = getattr(item, "part", None)
    at = getattr(item, "at", None)
    name, when = name_of(part), at.isoformat() if at is not None else ""
    what = called(part)
    match item:
        case State():
            words = " ".join(item.bits) or "test"
            return Told(name, f"{words}  {what} {item.text}".rstrip(), "", when)
        case Analogue():
            known = QUANTITIES.get(item.kind)
            if known is None:
                return Told(name, f"type {item.kind}: {item.raw}", "", when)
            return Told(f"{name} {known.name}", item.value, known.unit, when)
        case Operation():
            return Told(name, f"{' '.join(item.acts)}  operator {item.operator}", "", when)
        case Version():
            return Told(name, f"{item.main}.{item.minor}")
        case Configuration():
            return Told(name, item.text)
        case Clock():
            return Told(name, when)
        case _:
            return Told(name, getattr(item, "data", b"").hex().upper())
