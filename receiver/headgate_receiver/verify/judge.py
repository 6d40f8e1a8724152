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
from headgate_receiver.verify.truth import Truth

#: Findings of these kinds are wrong; late ones and gaps are told, and that is what they are for.
FAILURES = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")


class GapSum(NamedTuple):
    """The gaps of one reason: how many, and the looks in them where they are counted."""

    reason: str
    gaps: int
    looks: int


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
    for look in stored.looks():
        account.take(look)
        comparison.take(look)
    gaps = list(stored.gaps())
    comparison.finish(gaps)
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
            "stored": comparison.stored,
            "matched": comparison.matched,
            "missing": comparison.missing,
            "doubled": comparison.doubled,
            "changed": comparison.changed,
            "unexpected": comparison.unexpected,
            "late": comparison.late,
            "in_gap": comparison.in_gap,
            "held_back": comparison.held_back,
            "repeated": comparison.repeated,
            "bad": comparison.bad,
            "foreign": comparison.foreign,
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
    )
