"""Every look that a device gave against what was stored: is it there, once, and the same? Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import partial

from headgate.model import Value
from headgate_receiver.verify.byvalues import Heard, Kind, pairs, repeats
from headgate_receiver.verify.findings import Findings
from headgate_receiver.verify.items import Clocks, Look, StoredGap
from headgate_receiver.verify.truth import COUNTER, DeviceTruth, Truth

#: Two right ways of computing differ in the last digits. Source: truth.md.
TOLERANCE = 1e-9
#: Gaps of these reasons hold slots in which nobody asked the device: an answer in them is no excuse.
#: In one without a clock the answers were stored: it excuses none either.
NOT_ASKED = frozenset(
    {"overrun", "line-down", "device-silent", "device-quarantined", "clock-unknown"}
)
#: An answer leaves a little before or after the instant that bounds a gap. More where the gap counts
#: its looks, because then it excuses no more than it says.
SLACK_S = 0.25
COUNTED_SLACK_S = 1.0
_OFF = "gateway-off"
#: What was in hand when a gateway was killed.
IN_HAND_S = 5.0


class Comparison:
    """Takes stored looks one by one, in any order; says what it found at the end."""

    def __init__(self, truth: Truth, clocks: Clocks, late_s: float, findings: Findings) -> None:
        self._truth = truth
        self._clocks = clocks
        self._late_s = late_s
        self._seen = {name: bytearray(len(each)) for name, each in truth.devices.items()}
        self.stored = 0
        """Looks that were stored, with values or without."""
        self.bad = 0
        """Stored looks that brought no values: the device did not answer, or refused."""
        self.foreign = 0
        """Stored looks of devices that the truth does not know."""
        self.matched = 0
        self.doubled = 0
        self.changed = 0
        self.unexpected = 0
        self.late = 0
        self.worst_delay_s = 0.0
        self.missing = 0
        self.in_gap = 0
        """In a reported gap, or stored as a look without values: the answer was lost on the line."""
        self.held_back = 0
        """Not stored because the answer came so late that the gateway had given up."""
        self.repeated = 0
        """Not stored because the device said what it had said before, as it always does."""
        self._findings = findings
        self._heard: dict[str, list[Heard]] = {}
        #: When looks brought no values, by device.
        self._empty: dict[str, list[float]] = {}

    def take(self, look: Look) -> None:
        """Compare one stored look."""
        self.stored += 1
        truth = self._truth.devices.get(look.device)
        taken_s = self._clocks.wall_s(look.boot, look.at_us)
        if truth is None:
            self.foreign += 1
            if look.wrong:
                self._unsound(look, taken_s)
            return
        if not truth.counted:
            if all(look.values.get(point) is None for point in truth.points):
                self.bad += 1
                if look.wrong:
                    self._unsound(look, taken_s)
            else:
                heard = Heard(
                    look.received_s if taken_s is None else taken_s,
                    look.received_s,
                    look.values,
                    look.wrong,
                )
                self._heard.setdefault(look.device, []).append(heard)
            return
        counter = look.values.get(COUNTER)
        if counter is None:
            self.bad += 1
            if taken_s is not None:
                self._empty.setdefault(look.device, []).append(taken_s)
            if look.wrong:
                self._unsound(look, taken_s)
            return
        index = None
        if isinstance(counter, (int, float)) and counter == int(counter):
            index = truth.find(int(counter), taken_s)
        if index is None:
            self.unexpected += 1
            self._findings.add("unexpected", look.device, counter, taken_s, look.wrong)
            return
        seen = self._seen[look.device]
        if seen[index]:
            self.doubled += 1
            self._findings.add("doubled", look.device, counter, truth.times[index])
        else:
            self.matched += 1
        seen[index] = 1
        delay_s = look.received_s - truth.times[index]
        self.worst_delay_s = max(self.worst_delay_s, delay_s)
        if delay_s > self._late_s:
            self.late += 1
        difference = _difference(truth, index, look.values)
        # A boot without a trusted clock says so of each of its times: they are labels.
        undated = taken_s is None or not self._clocks.dated(look.boot)
        shift_s = 0.0 if undated or taken_s is None else abs(taken_s - truth.times[index])
        if shift_s > self._late_s + truth.late.get(index, 0.0):
            wrong = f"time: stored {shift_s:.1f} s away from when the device answered"
            difference = f"{difference}; {wrong}" if difference else wrong
        if look.wrong:
            difference = f"{difference}; {look.wrong}" if difference else look.wrong
        if difference:
            self.changed += 1
            self._findings.add("changed", look.device, counter, truth.times[index], difference)

    def _unsound(self, look: Look, taken_s: float | None) -> None:
        """A look that disagrees with itself, whatever the device said."""
        self.changed += 1
        self._findings.add("changed", look.device, None, taken_s, look.wrong)

    def finish(self, gaps: Iterable[StoredGap]) -> None:
        """Find what is not there, once every look was taken."""
        for name, looks in self._heard.items():
            self._pair(self._truth.devices[name], looks)
        excuses = _excuses(gaps, self._clocks, self._last_before)
        everywhere = excuses.get(None, [])
        for name, seen in self._seen.items():
            truth = self._truth.devices[name]
            own = excuses.get(name, []) + everywhere
            # A line that is cut may swallow an answer that had left: one for each look without values.
            lost = sorted(self._empty.get(name, ()))
            index = seen.find(0)
            while index >= 0:
                at_s = truth.times[index]
                if any(excuse.covers(at_s) for excuse in own):
                    self.in_gap += 1
                elif index in truth.late:
                    self.held_back += 1
                elif _take_near(lost, at_s):
                    self.in_gap += 1
                elif truth.repeats and repeats(truth, index, seen):
                    self.repeated += 1
                else:
                    self.missing += 1
                    self._findings.add("missing", name, truth.samples[index], at_s)
                index = seen.find(0, index + 1)

    def _last_before(self, at_s: float) -> float:
        """When the last answer that is stored was given before an instant."""
        latest = -math.inf
        for name, seen in self._seen.items():
            times = self._truth.devices[name].times
            index = seen.rfind(1, 0, bisect_left(times, at_s))
            if index >= 0:
                latest = max(latest, times[index])
        return latest

    def _pair(self, truth: DeviceTruth, looks: list[Heard]) -> None:
        """Looks without a counter, by what they say."""
        seen = self._seen[truth.device]
        said = partial(_difference, truth)
        for heard, kind, index, text in pairs(truth, looks, self._late_s, said):
            if heard.wrong and kind is not Kind.CHANGED:
                self.changed += 1
                self._findings.add("changed", truth.device, None, heard.taken_s, heard.wrong)
            setattr(self, kind.value, getattr(self, kind.value) + 1)
            if kind is not Kind.MATCHED:
                sample = -1 if index is None else truth.samples[index]
                self._findings.add(kind.value, truth.device, sample, heard.taken_s, text)
            if index is not None and kind is not Kind.DOUBLED:
                seen[index] = 1
                delay_s = heard.received_s - truth.times[index]
                self.worst_delay_s = max(self.worst_delay_s, delay_s)
                self.late += delay_s > self._late_s


def _difference(truth: DeviceTruth, index: int, stored: dict[str, Value]) -> str:
    """What differs, in words; empty when all is the same."""
    wrong = []
    for point, said in zip(truth.points, truth.row(index), strict=True):
        if point not in stored:
            wrong.append(f"{point}: {said:g} was not stored")
            continue
        value = stored[point]
        if math.isnan(said):
            if value is not None:
                wrong.append(f"{point}: the device had no value, stored {value!r}")
        elif value is None:
            wrong.append(f"{point}: {said:.15g} was stored as bad")
        elif not isinstance(value, (int, float)) or not _same(said, float(value)):
            wrong.append(f"{point}: {said:.15g} was stored as {value!r}")
    return "; ".join(wrong)


def _same(said: float, stored: float) -> bool:
    return said == stored or abs(said - stored) <= max(TOLERANCE * abs(said), TOLERANCE)


class _Excuse:
    """A gap, as far as it explains answers that were not stored."""

    def __init__(self, first_s: float, last_s: float, looks: int | None) -> None:
        slack_s = SLACK_S if looks is None else COUNTED_SLACK_S
        self._first_s, self._last_s = first_s - slack_s, last_s + slack_s
        self._left = math.inf if looks is None else looks

    def covers(self, at_s: float) -> bool:
        if self._left > 0 and self._first_s <= at_s <= self._last_s:
            self._left -= 1
            return True
        return False


def _take_near(times_s: list[float], at_s: float) -> bool:
    """Whether one of these instants, sorted, is near; it is used up then."""
    index = bisect_left(times_s, at_s - COUNTED_SLACK_S)
    if index == len(times_s) or times_s[index] > at_s + COUNTED_SLACK_S:
        return False
    del times_s[index]
    return True


def _excuses(
    gaps: Iterable[StoredGap], clocks: Clocks, last_before: Callable[[float], float]
) -> dict[str | None, list[_Excuse]]:
    """Gaps by device; None is the whole gateway."""
    found: dict[str | None, list[_Excuse]] = {}
    for gap in gaps:
        first_s = clocks.wall_s(gap.first_boot, gap.first_us)
        last_s = clocks.wall_s(gap.last_boot, gap.last_us)
        if first_s is None and last_s is not None and gap.reason == _OFF:
            # Killed before anything of its boot was stored: all since the last thing that was is lost.
            first_s = last_before(last_s) + SLACK_S
        if gap.reason not in NOT_ASKED and first_s is not None and last_s is not None:
            # A clock that was wrong at its end may say that it ended before it began: what was in
            # hand at its beginning lies in it all the same.
            if not clocks.dated(gap.last_boot):
                last_s = max(first_s + IN_HAND_S, last_s)
            found.setdefault(gap.device, []).append(_Excuse(first_s, last_s, gap.looks))
    return found
