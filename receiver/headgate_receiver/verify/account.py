"""Due, arrived and in time, per device and day, from plans, slots and gaps alone. Pure.

Every slot of every plan is a stored look, good or bad, or part of a gap; what is neither is
`unaccounted`. No truth is needed for this: it is what anybody upstream can hold a gateway to.

Source: uplink.md, section 6, items 1, 3 and 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from operator import attrgetter
from typing import NamedTuple

from headgate_receiver.verify.findings import Findings
from headgate_receiver.verify.items import Clocks, Look, Run, StoredGap, StoredPlan
from headgate_receiver.verify.series import (
    BAD_IN_TIME,
    BAD_LATE,
    GAP,
    IN_TIME,
    LATE,
    NOTHING,
    Series,
    series_of,
    slots_before,
)  # fmt: skip

#: A look that was in hand when the gateway was killed was due this long before its last sign of life.
IN_HAND_US = 5_000_000
#: While a gateway still runs, what was due this shortly before its newest word may be on its way.
UNDER_WAY_US = 10_000_000
#: A timer may fire this much early; what claims to be earlier fits no plan.
EARLY_US = 20_000
_OFF = "gateway-off"
_OVERRUN = "overrun"
#: Nothing is missing in such a gap: what came is there, and nobody knows exactly when.
UNDATED = "clock-unknown"
#: Looks of such a gap had arrived at the gateway and were lost afterwards, whole records at a time.
AFTERWARDS = frozenset({"quota", "corrupt", "refused", "not-committed"})
UNKNOWN_DAY = "?"


class Day(NamedTuple):
    """The account of one device and day, in looks."""

    day: str
    device: str
    due: int = 0
    good: int = 0
    bad: int = 0
    in_time: int = 0
    in_gaps: int = 0
    unaccounted: int = 0

    @property
    def arrived(self) -> int:
        """Looks that are stored, good or bad."""
        return self.good + self.bad


class _Left:
    """How much a gap can still account for: looks or readings where it counts them, else all there is."""

    def __init__(self, gap: StoredGap) -> None:
        self._looks = gap.looks
        self._readings = gap.readings if gap.looks is None else None

    @property
    def any(self) -> bool:
        """Whether there is anything left."""
        return self._looks != 0 and (self._readings is None or self._readings > 0)

    def take(self, readings: int) -> None:
        """One look of so many readings."""
        if self._looks is not None:
            self._looks -= 1
        elif self._readings is not None:
            self._readings -= readings


class Account:
    """The account of all devices. Give it the plans, then every look, then the gaps."""

    def __init__(
        self, plans: Iterable[StoredPlan], clocks: Clocks, late_s: float, findings: Findings
    ) -> None:
        self._clocks = clocks
        self._findings = findings
        self._late_us = round(late_s * 1e6)
        self._series: dict[tuple[Run, str], list[Series]] = {}
        self._newest_us: dict[Run, int] = {}
        #: Slots that brought more than one look.
        self.doubled = 0
        #: Looks, and slots of gaps, that belong to no plan.
        self.unplanned = 0
        by_device: dict[tuple[Run, str], list[StoredPlan]] = {}
        for plan in plans:
            by_device.setdefault((plan.run, plan.device), []).append(plan)
        for key, known in by_device.items():
            self._series[key] = series_of(sorted(dict.fromkeys(known), key=attrgetter("start_us")))

    def take(self, look: Look) -> None:
        """Account for one stored look."""
        self._newest_us[look.run] = max(self._newest_us.get(look.run, look.at_us), look.at_us)
        if look.slot is None:
            return
        series = self._find(look.run, look.device, look.slot, look.at_us)
        if series is None:
            self.unplanned += 1
            return
        if series.at(look.slot) != NOTHING:
            self._twice(look.device, series, look.slot, "another look at it is stored")
            return
        due_us = series.due_us(look.slot)
        offset_us = self._clocks.offset_us(look.boot, due_us)
        # Without a clock nobody knows; then it is not in time.
        in_time = (
            offset_us is not None and look.received_s * 1e6 - (due_us + offset_us) <= self._late_us
        )
        good = any(value is not None for value in look.values.values())
        if good:
            series.mark(look.slot, IN_TIME if in_time else LATE)
        else:
            series.mark(look.slot, BAD_IN_TIME if in_time else BAD_LATE)

    def finish(self, gaps: Iterable[StoredGap]) -> None:
        """Account for the gaps, once every look was taken."""
        known = sorted((gap for gap in gaps if gap.reason != UNDATED), key=attrgetter("first_us"))
        for gap in known:
            self._newest_us[gap.run] = max(self._newest_us.get(gap.run, gap.last_us), gap.last_us)
        # An overrun names slots between which others did bring a look: those that are exact go first.
        slotted = [gap for gap in known if gap.first_slot is not None]
        for gap in sorted(slotted, key=lambda gap: gap.reason == _OVERRUN):
            self._by_slots(gap)
        self._close_all([gap for gap in known if gap.reason == _OFF and gap.device is None])
        for gap in known:
            if gap.first_slot is None and not (gap.reason == _OFF and gap.device is None):
                self._by_time(gap)
        self._name_unaccounted()

    def days(self, zone: tzinfo) -> list[Day]:
        """The account by day of the zone and by device, once finished."""
        found: dict[tuple[str, str], Day] = {}
        for (_, device), all_series in self._series.items():
            for series in all_series:
                for day, first, count in _by_day(series, self._clocks, zone):
                    at = first - series.first_slot
                    key = day, device
                    before = found.get(key, Day(day, device))
                    found[key] = _add(before, series.marks, at, at + count)
        return [found[key] for key in sorted(found)]

    # ------------------------------------------------------------ slots

    def _find(self, run: Run, device: str, slot: int, at_us: int) -> Series | None:
        """The newest series that had begun then and holds the slot."""
        for series in reversed(self._series.get((run, device), [])):
            if (
                series.start_us <= at_us + EARLY_US
                and series.holds(slot)
                and series.due_us(slot) <= at_us + EARLY_US
            ):
                return series
        return None

    def _by_slots(self, gap: StoredGap) -> None:
        if gap.device is None or gap.first_slot is None:
            return
        last = gap.last_slot if gap.last_slot is not None else gap.first_slot
        series = self._find(gap.run, gap.device, gap.first_slot, gap.first_us)
        left = gap.looks if gap.looks is not None else last - gap.first_slot + 1
        if series is None or series.due_us(last) > gap.last_us + EARLY_US:
            self.unplanned += left
            return
        taken = []
        for slot in range(gap.first_slot, last + 1):
            if series.holds(slot) and series.at(slot) != NOTHING:
                taken.append(slot)
            elif left and series.holds(slot):
                series.mark(slot, GAP)
                left -= 1
        if gap.looks is None or not left:
            return
        # A gap that counts looks which did arrive, or counts them twice.
        self.doubled += left
        for slot in taken[:left]:
            what = "another gap" if series.at(slot) == GAP else "a stored look"
            self._name(gap.device, series, slot, f"in a gap {gap.reason}, and in {what}")

    def _twice(self, device: str, series: Series, slot: int, text: str) -> None:
        self.doubled += 1
        self._name(device, series, slot, text)

    def _name(
        self, device: str, series: Series, slot: int, text: str, kind: str = "counted_twice"
    ) -> None:
        """Keep a slot as an example."""
        at_s = self._clocks.wall_s(series.boot, series.due_us(slot))
        self._findings.add(kind, device, slot, at_s, f"slot {slot}: {text}")

    def _name_unaccounted(self) -> None:
        kind, text = "unaccounted", "neither a look nor a gap"
        for (_, device), all_series in self._series.items():
            for series in all_series:
                index = series.marks.find(NOTHING)
                while index >= 0 and not self._findings.full(kind):
                    self._name(device, series, series.first_slot + index, text, kind)
                    index = series.marks.find(NOTHING, index + 1)

    def _by_time(self, gap: StoredGap) -> None:
        """A gap without slots: of the whole gateway, or of records that were lost."""
        first = self._clocks.wall_s(gap.first_boot, gap.first_us)
        last = self._clocks.wall_s(gap.last_boot, gap.last_us)
        if first is None or last is None:
            return
        left = _Left(gap)
        if gap.looks is None and gap.reason in AFTERWARDS:
            first -= (
                IN_HAND_US / 1e6
            )  # it speaks of when looks were taken, not of when they were due
        for (run, device), all_series in self._series.items():
            if run.gateway != gap.run.gateway or gap.device not in (None, device):
                continue
            for series in all_series:
                self._fill_between(series, first, last, left)

    def _fill_between(self, series: Series, first_s: float, last_s: float, left: _Left) -> None:
        index = series.marks.find(NOTHING)
        while index >= 0 and left.any:
            slot = series.first_slot + index
            due_s = self._clocks.wall_s(series.boot, series.due_us(slot))
            if due_s is not None and due_s > last_s:
                break
            if due_s is not None and due_s >= first_s:
                series.marks[index] = GAP
                left.take(series.stretch(slot).readings)
            index = series.marks.find(NOTHING, index + 1)

    # ------------------------------------------------------------ plans that nobody ended

    def _close_all(self, offs: Sequence[StoredGap]) -> None:
        for (run, _), all_series in self._series.items():
            for series in all_series:
                if series.open_end:
                    off = self._off_after(run, series, offs)
                    if off is None:
                        self._close_running(run, series)
                    else:
                        _close_killed(series, *off)
                series.fill()

    def _off_after(
        self, run: Run, series: Series, offs: Sequence[StoredGap]
    ) -> tuple[int, int] | None:
        """First and last instant, in this run's boottime, at which the gateway was off after it.

        A gap that begins in this boot says so by a clock that nobody sets; wall clocks, which may be
        wrong, are asked only where there is none.
        """
        others = [gap for gap in offs if gap.run.gateway == run.gateway and gap.run != run]
        own = [gap for gap in others if gap.first_boot == series.boot]
        found = None
        for gap in own:
            off = gap.first_us, gap.first_us + self._length_us(gap)
            if off[1] > series.start_us and (found is None or off < found):
                found = off
        offset_us = self._clocks.offset_us(series.boot, series.start_us)
        if found is not None or offset_us is None:
            return found
        for gap in others:
            first_s = self._clocks.wall_s(gap.first_boot, gap.first_us)
            if first_s is None:
                continue
            first_us = round(first_s * 1e6) - offset_us
            off = first_us, first_us + self._length_us(gap)
            if off[1] > series.start_us and (found is None or off[1] < found[1]):
                found = off
        return found

    def _length_us(self, gap: StoredGap) -> int:
        """How long a gap was; 0 where clocks that were wrong say that it ended before it began."""
        if gap.first_boot == gap.last_boot:
            return gap.last_us - gap.first_us
        first_s = self._clocks.wall_s(gap.first_boot, gap.first_us)
        last_s = self._clocks.wall_s(gap.last_boot, gap.last_us)
        return 0 if first_s is None or last_s is None else max(0, round((last_s - first_s) * 1e6))

    def _close_running(self, run: Run, series: Series) -> None:
        """Due until its newest word; what is missing at the very end may be under way."""
        newest_us = self._newest_us.get(run, series.start_us)
        series.close(newest_us - UNDER_WAY_US)


def _close_killed(series: Series, first_us: int, last_us: int) -> None:
    """The plan ran on until the gateway was started again; its end falls into that gap."""
    accounted = series.first_slot + len(series.marks)
    series.close(last_us)
    series.fill()
    last = series.stretches[-1]
    in_hand = last.first + slots_before(first_us - IN_HAND_US, last.start_us, last.interval_us)
    # It may have been off for months: no step for each slot.
    begin = max(accounted, in_hand) - series.first_slot
    count = len(series.marks) - begin
    series.marks[begin:] = bytes([GAP]) * count
    for slot in range(accounted, min(last.first, in_hand)):
        if series.due_us(slot) >= first_us - IN_HAND_US:
            series.mark(slot, GAP)
    # Also between looks that did arrive: overruns are told a few seconds late, and died with the gateway.
    for slot in range(accounted - 1, series.first_slot - 1, -1):
        if series.due_us(slot) < first_us - IN_HAND_US:
            break
        if series.at(slot) == NOTHING:
            series.mark(slot, GAP)


# ---------------------------------------------------------------- days


def _by_day(series: Series, clocks: Clocks, zone: tzinfo) -> Iterable[tuple[str, int, int]]:
    """(day, first slot, count) of every day that a series touches."""
    for stretch in series.stretches:
        first, left = stretch.first, stretch.slots or 0
        while left:
            due_us = stretch.start_us + (first - stretch.first) * stretch.interval_us
            offset_us = clocks.offset_us(series.boot, due_us)
            if offset_us is None:
                yield UNKNOWN_DAY, first, left
                break
            at = datetime.fromtimestamp((due_us + offset_us) / 1e6, UTC).astimezone(zone)
            midnight = (at + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            until_us = round(midnight.timestamp() * 1e6) - offset_us
            count = min(left, max(1, slots_before(until_us, due_us, stretch.interval_us)))
            yield at.date().isoformat(), first, count
            first, left = first + count, left - count


def _add(before: Day, marks: bytearray, first: int, last: int) -> Day:
    def of(*kinds: int) -> int:
        return sum(marks.count(kind, first, last) for kind in kinds)

    return before._replace(
        due=before.due + last - first,
        good=before.good + of(IN_TIME, LATE),
        bad=before.bad + of(BAD_IN_TIME, BAD_LATE),
        in_time=before.in_time + of(IN_TIME, BAD_IN_TIME),
        in_gaps=before.in_gaps + of(GAP),
        unaccounted=before.unaccounted + of(NOTHING),
    )
