"""What whoever asked has seen of a meter in one look, put together from its answers: lines of the truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from headgate_simulators.meters.meter import Meter

Value = float | bool | None


class Looks:
    """Answers in, a line for each whole look out.

    An electricity meter is asked for one thing after another; a look is whole when every point was told.
    The last answer may be asked for again, where it was lost on its way: the newest counts.
    """

    def __init__(
        self, write: Callable[[Mapping[str, Any]], None], now: Callable[[], float]
    ) -> None:
        self._write, self._now = write, now
        self._open: dict[str, dict[str, Value]] = {}
        self._last: dict[str, tuple[frozenset[str], float]] = {}
        self._whole: dict[str, tuple[float, dict[str, Value]]] = {}
        self._late: dict[str, float] = {}
        self._numbers: dict[str, itertools.count[int]] = {}

    def told(self, t: float, meter: Meter, values: Mapping[str, Value]) -> None:
        """A meter has answered."""
        name, told = meter.id, frozenset(values) & meter.points
        if not told:
            return
        now, before = self._now(), self._last.get(name, (frozenset(), 0.0))[0]
        self._last[name] = told, now
        mine = {point: values[point] for point in told}
        held = meter.wrong.get("late", meter.wrong.get("slow", 0.0))
        if held:
            self._late[name] = held
        if name in self._whole:
            if told == before != meter.points:  # all in one answer: each is a look
                self._whole[name] = now, self._whole[name][1] | mine
                return
            self._keep(name)
        kept = self._open.setdefault(name, {})
        if told & kept.keys() and told != before:
            kept.clear()  # it began again before it was whole
        kept.update(mine)
        if kept.keys() == meter.points:
            self._whole[name] = now, self._open.pop(name)

    def failed(self, t: float, meter: Meter, fault: str) -> None:
        """A request was left without values."""
        self._write({"t": self._now(), "device": meter.id, "fault": fault, "look": True})

    def flush(self, *, older_s: float = 2.0) -> None:
        """Write the whole looks that nobody has asked after for so long."""
        now = self._now()
        for name in [n for n, (at, _) in self._whole.items() if now - at >= older_s]:
            self._keep(name)

    def _keep(self, name: str) -> None:
        at, values = self._whole.pop(name)
        number = next(self._numbers.setdefault(name, itertools.count(1)))
        late = {"late_s": self._late.pop(name)} if name in self._late else {}
        self._write({"t": at, "device": name, "sample": number, "values": values, **late})
