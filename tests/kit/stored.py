"""A truth and a store that agree, made by hand, to be spoilt by tests of verify."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headgate_receiver.verify.items import Fix, Look, Run, StoredGap, StoredPlan

BOOT = b"boot-of-machine1"
RUN = Run("gate-7", b"epoch--1")
#: Wall time of boottime 0.
WALL_S = 1_790_000_000
SECOND = 1_000_000


def truth_lines(
    looks: int, device: str = "gauge-1", first: int = 1, width: int = 1 << 32
) -> list[dict[str, Any]]:
    """A look each second from boottime 10.02 s, after the header."""
    header = {"headgate_truth": 1, "seed": 7, "started": WALL_S, "devices": [{"id": device}]}
    return [header] + [
        {
            "t": WALL_S + 10.02 + at,
            "device": device,
            "sample": (first + at) % width,
            "values": {"level": 21.3 + at / 1000, "sample": (first + at) % width},
        }
        for at in range(looks)
    ]


def write(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    """JSON lines into a file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


class Shelf:
    """A store in memory: one plan from boottime 10 s, one slot a second, one look in each."""

    def __init__(self, lines: Sequence[dict[str, Any]], *, received_after_s: float = 0.5) -> None:
        said = [line for line in lines if "sample" in line]
        self.all_looks = [
            self.look(slot, line["values"], device=line["device"], delay_s=received_after_s)
            for slot, line in enumerate(said)
        ]
        devices = {line["device"] for line in said}
        self.all_plans = [self.plan(10, 1, 0, device) for device in sorted(devices)]
        self.all_plans += [
            self.plan(10 + len(said), 0, len(said), each) for each in sorted(devices)
        ]
        self.all_gaps: list[StoredGap] = []
        self.all_fixes = [Fix(BOOT, 0, WALL_S * SECOND, "synced")]

    @staticmethod
    def look(
        slot: int,
        values: dict[str, Any],
        *,
        device: str = "gauge-1",
        delay_s: float = 0.5,
        run: Run = RUN,
        at_s: float | None = None,
    ) -> Look:
        """The look of a slot."""
        at_s = 10.03 + slot if at_s is None else at_s
        return Look(
            run, device, BOOT, round(at_s * SECOND), slot, WALL_S + at_s + delay_s, dict(values)
        )

    @staticmethod
    def plan(
        start_s: float, interval_s: float, first_slot: int, device: str = "gauge-1", run: Run = RUN
    ) -> StoredPlan:
        """A plan of two readings a look."""
        return StoredPlan(
            run, device, BOOT, round(start_s * SECOND), round(interval_s * SECOND), 2, first_slot
        )

    @staticmethod
    def gap(
        reason: str,
        first_s: float,
        last_s: float,
        *,
        device: str | None = "gauge-1",
        looks: int | None = None,
        slots: tuple[int, int] | None = None,
        run: Run = RUN,
    ) -> StoredGap:
        """A gap between two boottimes."""
        first, last = slots or (None, None)
        times = round(first_s * SECOND), round(last_s * SECOND)
        return StoredGap(run, device, reason, BOOT, times[0], BOOT, times[1], looks, first, last)

    def plans(self) -> list[StoredPlan]:
        return self.all_plans

    def gaps(self) -> list[StoredGap]:
        return self.all_gaps

    def fixes(self) -> list[Fix]:
        return self.all_fixes

    def looks(self) -> Iterator[Look]:
        return iter(self.all_looks)

    def close(self) -> None:
        pass
