"""The whole comparison: a truth, a store, a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from headgate_receiver.verify.account import Account, Day
from headgate_receiver.verify.compare import Comparison
from headgate_receiver.verify.findings import Finding, Findings
from headgate_receiver.verify.items import Clocks, Stored
from headgate_receiver.verify.reports import ReportComparison
from headgate_receiver.verify.truth import Truth

#: Findings of these kinds are wrong; late ones and gaps are told, and that is what they are for.
FAILURES = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")


class GapSum(NamedTuple):
    """The gaps of one reason: how many, and the looks in them where they are counted."""

    reason: str
    gaps: int
    looks: int


class ReportSum(NamedTuple):
    """Reports of all stations, and how long they waited for their confirmation, in seconds."""

    reports: int
    confirmed: int
    said_again: int
    p50_s: float
    p99_s: float
    longest_s: float


class Verdict(NamedTuple):
    """What was found."""

    counts: dict[str, int]
    examples: dict[str, list[Finding]]
    gaps: Sequence[GapSum]
    days: Sequence[Day]
    faults: dict[str, int]
    late_s: float
    worst_delay_s: float
    truth_cut_off: bool
    #: None: nobody in the truth reports by itself.
    stations: ReportSum | None = None

    @property
    def good(self) -> bool:
        """Nothing is missing, doubled, changed, invented or unaccounted for."""
        return not any(self.counts[kind] for kind in FAILURES)


def judge(truth: Truth, stored: Stored, *, late_s: float, zone: tzinfo) -> Verdict:
    """Compare a truth with a store.

    Args:
        late_s: how long after the device's answer, or after a slot was due, is still in time.
        zone: whose days are counted.

    Raises:
        StoredError: the store broke off.
    """
    clocks = Clocks(stored.fixes())
    plans = list(stored.plans())
    findings = Findings()
    account = Account(plans, clocks, late_s, findings)
    comparison = Comparison(truth, clocks, late_s, findings)
    reports = ReportComparison(truth.stations, clocks, findings)
    for look in stored.looks():
        account.take(look)
        (reports if look.device in truth.stations else comparison).take(look)
    gaps = list(stored.gaps())
    comparison.finish(gaps)
    reports.finish()
    account.finish(gaps)
    days = account.days(zone)
    reasons: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    for gap in gaps:
        reasons[gap.reason] += 1
        looks[gap.reason] += gap.looks or 0
    faults: Counter[str] = Counter()
    for device in truth.devices.values():
        faults.update(device.faults)
    return Verdict(
        counts={
            "truth": truth.looks,
            "stored": comparison.stored + reports.stored,
            "matched": comparison.matched + reports.matched,
            "missing": comparison.missing + reports.missing,
            "doubled": comparison.doubled + reports.doubled,
            "changed": comparison.changed + reports.changed,
            "unexpected": comparison.unexpected + reports.unexpected,
            "late": comparison.late,
            "in_gap": comparison.in_gap,
            "held_back": comparison.held_back,
            "repeated": comparison.repeated,
            "bad": comparison.bad + reports.bad,
            "foreign": comparison.foreign,
            "unconfirmed": reports.unconfirmed,
            "due": sum(day.due for day in days),
            "arrived": sum(day.arrived for day in days),
            "in_time": sum(day.in_time for day in days),
            "in_gaps": sum(day.in_gaps for day in days),
            "unaccounted": sum(day.unaccounted for day in days),
            "counted_twice": account.doubled,
            "unplanned": account.unplanned,
        },
        examples=findings.kinds,
        gaps=[GapSum(reason, reasons[reason], looks[reason]) for reason in sorted(reasons)],
        days=days,
        faults=dict(faults),
        late_s=late_s,
        worst_delay_s=comparison.worst_delay_s,
        truth_cut_off=truth.cut_off,
        stations=_stations(truth),
    )


def _stations(truth: Truth) -> ReportSum | None:
    if not truth.stations:
        return None
    all_of_them = truth.stations.values()
    waits_s = sorted(wait for each in all_of_them for wait in each.waits_s) or [0.0]

    def at(share: float) -> float:
        return waits_s[min(len(waits_s) - 1, int(share * len(waits_s)))]

    return ReportSum(
        sum(each.reports for each in all_of_them),
        sum(each.confirmed for each in all_of_them),
        sum(each.said_again for each in all_of_them),
        at(0.5),
        at(0.99),
        waits_s[-1],
    )
