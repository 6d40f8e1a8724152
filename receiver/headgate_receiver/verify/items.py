"""What was stored, as verify sees it: looks, plans, gaps and clocks, whatever kept them.

Times `*_us` are boottime of a boot; wall times are unix seconds, None while no clock fix is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import msgspec

from headgate.envelope.walltime import believed, nearest
from headgate.model import Value


class Run(NamedTuple):
    """One process start of one gateway."""

    gateway: str
    epoch: bytes


class Look(NamedTuple):
    """One stored look at one device. A bad value is None; `values` is by point name.

    `wrong`: where raw values, values and qualities do not agree with one another, in words.
    `device_us`: unix microseconds by the device's own clock, where it told them.
    """

    run: Run
    device: str
    boot: bytes
    at_us: int
    slot: int | None
    received_s: float
    values: dict[str, Value]
    wrong: str = ""
    device_us: int | None = None


class StoredPlan(NamedTuple):
    """From `start_us` on, a look is due every `interval_us`; 0 ends the plan."""

    run: Run
    device: str
    boot: bytes
    start_us: int
    interval_us: int
    readings: int
    first_slot: int


class StoredGap(NamedTuple):
    """An interval without looks, and why. `device` None is the whole gateway."""

    run: Run
    device: str | None
    reason: str
    first_boot: bytes
    first_us: int
    last_boot: bytes
    last_us: int
    looks: int | None
    first_slot: int | None
    last_slot: int | None
    readings: int | None = None


class Fix(msgspec.Struct, frozen=True):
    """Boottime and wall time of one instant."""

    boot: bytes
    at_us: int
    wall_us: int
    state: str


class Stored(Protocol):
    """A store that can be read again and again."""

    def plans(self) -> Iterable[StoredPlan]:
        """Every plan."""
        ...

    def gaps(self) -> Iterable[StoredGap]:
        """Every gap."""
        ...

    def fixes(self) -> Iterable[Fix]:
        """Every clock fix."""
        ...

    def looks(self) -> Iterator[Look]:
        """Every look, in any order; large, so one at a time."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class Clocks:
    """Wall time of boottimes. Source: uplink.md, section 8."""

    def __init__(self, fixes: Iterable[Fix]) -> None:
        self._by_boot: dict[bytes, tuple[list[int], list[int]]] = {}
        self._dated: set[bytes] = set()
        per_boot: dict[bytes, list[Fix]] = {}
        for fix in fixes:
            per_boot.setdefault(fix.boot, []).append(fix)
        for boot, known in per_boot.items():
            chosen = believed(known)
            if any(fix.state != "unsynced" for fix in chosen):
                self._dated.add(boot)
            offsets = [fix.wall_us - fix.at_us for fix in chosen]
            self._by_boot[boot] = [fix.at_us for fix in chosen], offsets

    def offset_us(self, boot: bytes, at_us: int) -> int | None:
        """What to add to a boottime to have unix microseconds; None: no fix of that boot."""
        known = self._by_boot.get(boot)
        if known is None:
            return None
        times, offsets = known
        return offsets[nearest(times, at_us)]

    def dated(self, boot: bytes) -> bool:
        """Whether the clock was ever to be trusted in this boot: its times say nothing else."""
        return boot in self._dated

    def wall_s(self, boot: bytes, at_us: int) -> float | None:
        """Unix seconds of a boottime; None: unknown."""
        offset = self.offset_us(boot, at_us)
        return None if offset is None else (at_us + offset) / 1e6
