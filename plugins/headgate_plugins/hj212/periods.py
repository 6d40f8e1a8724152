"""Readings into what a bureau is told: real time, minutes, hours, days. Pure.

Times are seconds of the bureau's own wall (its zone), counted like unix seconds; a period is named by its
beginning. What is computed how:

- 2011 real time: the last reading of each factor in the interval, with its mark.
- 2051 minutes: mean, least and greatest of the good readings. N where at least `least` of the readings
  were good, else the commonest other mark; without any good reading the mark alone.
- 2061 hour: mean of the means of its minutes that are marked N, each counting the same. N where these
  cover `least` of the hour, else the commonest other mark, B where nothing was heard.
- 2031 day: the same of its hours.

Means are arithmetic and not weighted by flow; amounts let out (Cou) are not computed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headgate_plugins.hj212.marks import NO_CONNECTION, NORMAL

HOUR_S, DAY_S = 3600, 86_400
REAL, MINUTES, HOUR, DAY = "2011", "2051", "2061", "2031"
#: So much before the newest of what is recalled, hours and days were told, for certain.
TOLD_S = 300
#: Minutes wait for hours and days before them at most this often their own time: late readings may come on.
HELD_BACK = 5
#: Hours and days of which it is remembered that they were told.
MOST_TOLD = 1024
#: A period that is told later than this after it was due is made up for (RF of 2025 names no time).
MADE_UP_S = 300


class Told(NamedTuple):
    """One reading: of which factor, when (the bureau's wall), its value if it has one, its mark."""

    code: str
    at_s: float
    value: float | None
    mark: str


class Report(NamedTuple):
    """What is told of one period: fields of each factor, by its code."""

    cn: str
    start_s: int
    factors: dict[str, list[tuple[str, float | str]]]


class _Sum:
    """One factor in one period."""

    __slots__ = ("count", "good", "high", "last", "low", "marks", "total")

    def __init__(self) -> None:
        self.count = self.good = 0
        self.total = 0.0
        self.low, self.high = float("inf"), float("-inf")
        self.marks: Counter[str] = Counter()
        self.last: Told | None = None

    def add(self, told: Told) -> None:
        self.count += 1
        if told.mark == NORMAL and told.value is not None:
            self.good += 1
            self.total += told.value
            self.low, self.high = min(self.low, told.value), max(self.high, told.value)
        else:
            self.marks[told.mark] += 1
        if self.last is None or told.at_s >= self.last.at_s:
            self.last = told

    def mean(self, share: float, least: float) -> tuple[float | None, str]:
        """The mean, and the mark it has when this share of the period was good."""
        if share >= least and self.good:
            return self.total / self.good, NORMAL
        mark = self.marks.most_common(1)[0][0] if self.marks else NO_CONNECTION
        return (self.total / self.good if self.good else None), mark


class Open:
    """One period that has something to tell: since when, when it was last fed, and how often it was."""

    __slots__ = ("fed_s", "since_s", "version")

    def __init__(self, now_s: float) -> None:
        self.since_s = self.fed_s = now_s
        self.version = 0


Key = tuple[str, int]


class Book:
    """All periods that are not told yet, and the sums they are told from.

    Args:
        real_s: length of the real time interval; 0: none.
        late_s: how long after its end, and after its last reading came, a period is told.
    """

    def __init__(
        self, codes: Sequence[str], real_s: int, minutes_s: int, *, hours: bool = True,
        days: bool = True, least: float = 0.75, late_s: float = 5.0, long_s: float = 60.0,
    ) -> None:  # fmt: skip
        self.codes = tuple(codes)
        self._real_s, self._minutes_s = real_s, minutes_s
        self._hours, self._days = hours, days
        self._least = least
        self._late_s = {REAL: late_s, MINUTES: late_s, HOUR: long_s, DAY: long_s}
        self._length_s = {REAL: real_s, MINUTES: minutes_s, HOUR: HOUR_S, DAY: DAY_S}
        self.open: dict[Key, Open] = {}
        self._sums: dict[Key, dict[str, _Sum]] = {}
        self._kept_s: dict[Key, float] = {}
        #: Hours and days that were told since the start.
        self._told: set[Key] = set()

    def set_realtime(self, seconds: int) -> None:
        """Another interval from now on; periods that are open keep their beginning."""
        self._real_s = self._length_s[REAL] = seconds

    def take(self, told: Told, now_s: float) -> list[Key]:
        """One reading; give the periods whose report says that the bureau has it.

        Args:
            now_s: of a clock that only runs forward.
        """
        keys = [(MINUTES, int(told.at_s // self._minutes_s) * self._minutes_s)]
        if self._real_s:
            keys.append((REAL, int(told.at_s // self._real_s) * self._real_s))
        for key in keys:
            self._sums.setdefault(key, {}).setdefault(told.code, _Sum()).add(told)
            self._kept_s[key] = now_s
        for key in (*keys, *self._longer(told.at_s)):
            period = self.open.get(key)
            if period is None:
                period = self.open[key] = Open(now_s)
            period.fed_s = now_s
            period.version += 1
        return keys

    def recall(self, told: Told, now_s: float) -> None:
        """A reading whose minutes were told before this start: hours and days are told from it once more."""
        key = MINUTES, int(told.at_s // self._minutes_s) * self._minutes_s
        self._sums.setdefault(key, {}).setdefault(told.code, _Sum()).add(told)
        self._kept_s[key] = now_s

    def recalled(self, since_s: float, newest_s: float, now_s: float) -> list[Key]:
        """All that was recalled is here: open the hours and days that may not have been told.

        Args:
            since_s: what begins before this was not recalled whole.
            newest_s: of what was recalled.

        Returns:
            Periods that were told, oldest first.
        """
        minutes = {start for cn, start in self._sums if cn == MINUTES and start <= newest_s}
        found: set[Key] = {(MINUTES, start) for start in minutes}
        found.update(key for start in minutes for key in self._longer(start))
        told: list[Key] = []
        for key in sorted(found, key=lambda key: key[1]):
            cn, start = key
            if start < since_s or key in self.open:
                continue
            if cn == MINUTES or start + self._length_s[cn] + TOLD_S <= newest_s:
                told.append(key)
                continue
            period = self.open[key] = Open(now_s)
            period.version = 1
        return told

    def _longer(self, at_s: float) -> Iterator[Key]:
        if self._hours:
            yield HOUR, int(at_s // HOUR_S) * HOUR_S
        if self._days:
            yield DAY, int(at_s // DAY_S) * DAY_S

    def due(self, wall_s: float, now_s: float) -> list[Key]:
        """Periods that are over and have had their last reading, oldest first."""
        bound_s = self._bound_s(now_s)
        found = [
            (cn, start)
            for (cn, start), period in self.open.items()
            if wall_s >= start + self._length_s[cn] + self._late_s[cn]
            and now_s >= period.fed_s + self._late_s[cn]
            and (cn != MINUTES or start + self._minutes_s <= bound_s)
        ]
        return sorted(
            found, key=lambda key: (key[1] + self._length_s[key[0]], self._length_s[key[0]])
        )

    def _bound_s(self, now_s: float) -> float:
        """Up to when minutes may be told: a start takes an hour for told by minutes so far behind it.

        A backlog brings hours at once, and they wait longer for their last reading than minutes do.
        """
        waiting = (
            key[1] + self._length_s[key[0]]
            for key, period in self.open.items()
            if key[0] in (HOUR, DAY)
            and key not in self._told
            and now_s < period.since_s + HELD_BACK * self._late_s[key[0]]
        )
        return min(waiting, default=float("inf")) + TOLD_S

    def is_late(self, key: Key, wall_s: float) -> bool:
        """Whether a period could have been told long ago: it is made up for."""
        cn, start = key
        return wall_s > start + self._length_s[cn] + self._late_s[cn] + MADE_UP_S

    def report(self, key: Key) -> Report:
        """What is told of a period now."""
        cn, start = key
        made: dict[str, list[tuple[str, float | str]]] = {}
        for code in self.codes:
            fields = self._real(key, code) if cn == REAL else self._mean(key, code)
            if fields:
                made[code] = fields
        return Report(cn, start, made)

    def _real(self, key: Key, code: str) -> list[tuple[str, float | str]]:
        told = self._sums.get(key, {}).get(code)
        if told is None or told.last is None:
            return []
        value = told.last.value
        return [*([] if value is None else [("Rtd", value)]), ("Flag", told.last.mark)]

    def _mean(self, key: Key, code: str) -> list[tuple[str, float | str]]:
        found = self._period(key, code)
        if found is None:
            return []
        each, share = found
        value, mark = each.mean(share, self._least)
        if value is None:
            return [("Flag", mark)]
        return [("Min", each.low), ("Avg", value), ("Max", each.high), ("Flag", mark)]

    def _period(self, key: Key, code: str) -> tuple[_Sum, float] | None:
        """The sum of a period, and which share of it was good; None where nothing was heard."""
        cn, start = key
        if cn == MINUTES:
            each = self._sums.get(key, {}).get(code)
            return None if each is None else (each, each.good / each.count)
        inner, step = (MINUTES, self._minutes_s) if cn == HOUR else (HOUR, HOUR_S)
        length, heard, valid = self._length_s[cn], False, 0
        whole = _Sum()
        for at in range(start, start + length, step):
            found = self._period((inner, at), code)
            if found is None:
                continue
            heard = True
            value, mark = found[0].mean(found[1], self._least)
            whole.add(Told(code, at, value, mark))
            if mark == NORMAL and value is not None:
                valid += 1
                whole.low = min(whole.low, found[0].low)
                whole.high = max(whole.high, found[0].high)
        return (whole, valid * step / length) if heard else None

    def told(self, key: Key, version: int) -> bool:
        """The bureau has the report of this version; False: more has come meanwhile, to be told again."""
        if self.open[key].version != version:
            return False
        del self.open[key]
        if key[0] in (HOUR, DAY):
            self._told.add(key)
        if key[0] == REAL:
            del self._sums[key], self._kept_s[key]
        return True

    def forget(self, before_s: float) -> None:
        """Sums of minutes that were fed before this time, and that nothing open is told from."""
        days = {start // DAY_S for cn, start in self.open}
        for key, kept_s in list(self._kept_s.items()):
            if kept_s < before_s and key[1] // DAY_S not in days:
                del self._kept_s[key], self._sums[key]
        if len(self._told) > MOST_TOLD:
            self._told = set(sorted(self._told, key=lambda key: key[1])[MOST_TOLD // 2 :])
