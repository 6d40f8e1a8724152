"""Gaps that were still open when a gateway was killed: what it would have told, its successor tells.

A device that is silent for long is told in stretches of up to a minute, and the slots since the last
of them are in nobody's hands but the gateway's. Which gaps are open, and since when, is therefore noted
with the state, whenever it changes: not how far they have come, for an open gap has no holes and goes
on to the last sign of life.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from headgate.model import Gap, GapReason
from headgate.runtime.ending import LastSign
from headgate.spool import State

_PREFIX = "open-gap "


class Opening(msgspec.Struct, frozen=True):
    """Since `first_us` (boottime) every slot of a device, due each `interval_us`, brings no block."""

    device: int
    reason: GapReason
    first_us: int
    interval_us: int
    readings: int


class Openings:
    """What is noted of open gaps."""

    def __init__(self, state: State) -> None:
        self._state = state
        #: When what is noted was told, where it still waits to be durable.
        self._told: dict[str, int] = {}
        self._noted = {
            name: first_us for name, first_us in state.counters().items() if _is_opening(name)
        }

    def unsaid(self, sign: LastSign | None, boot: bytes) -> Sequence[Gap]:
        """Gaps that an earlier run left open, up to its last sign of life, for a start of `boot`."""
        if sign is None:
            return ()
        of = None if sign.boot == boot else sign.boot
        gaps = []
        for name, first_us in self._noted.items():
            opening = _read(name, first_us)
            if opening is None or first_us > sign.at_us:
                continue
            looks = (sign.at_us - first_us) // opening.interval_us + 1
            readings = looks * opening.readings
            gap = Gap(opening.device, opening.reason, first_us, sign.at_us, looks, readings)
            gaps.append(msgspec.structs.replace(gap, boot=of, last_boot=of))
        return gaps

    def note(self, openings: Collection[Opening], now_us: int, kept_us: int) -> None:
        """These gaps are open now, and no others; what happened until `kept_us` is durable.

        A gap that was told stays noted until it is durable, so one may be told twice, and none never.
        Not before what `unsaid` gave is durable.
        """
        wanted = {_name(opening): opening.first_us for opening in openings}
        if wanted == self._noted:
            return  # nearly always
        for name in dict.fromkeys((*wanted, *self._noted)):
            first_us = wanted.get(name, 0)
            if self._noted.get(name, 0) == first_us:
                continue
            told_us = self._told.setdefault(name, now_us)
            if name not in self._noted or kept_us >= told_us:
                self._set(name, first_us)

    def _set(self, name: str, first_us: int) -> None:
        self._told.pop(name, None)
        self._state.count(name, first_us)
        if first_us:
            self._noted[name] = first_us
        else:
            del self._noted[name]


def _is_opening(name: str) -> bool:
    return name.startswith(_PREFIX)


def _name(opening: Opening) -> str:
    return f"{_PREFIX}{opening.device} {opening.reason} {opening.interval_us} {opening.readings}"


def _read(name: str, first_us: int) -> Opening | None:
    try:
        device, reason, interval_us, readings = name.removeprefix(_PREFIX).split(" ")
        opening = Opening(int(device), GapReason(reason), first_us, int(interval_us), int(readings))
    except ValueError:
        return None  # of a version that knew more
    return opening if opening.interval_us > 0 else None
