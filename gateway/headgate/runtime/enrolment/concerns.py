"""What is missing, what runs out, and what comes next: the sentences behind `enroll status`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from headgate.crypto.x509 import Certificate, Role
from headgate.errors import Problem
from headgate.runtime.enrolment.certified import Certified, newest_of_each
from headgate.runtime.enrolment.papers import Papers

#: Days before the end of a certificate at which it is said (once each, and every day in the last week).
ALARM_DAYS: Final = (60, 30, 7)


class Ending(msgspec.Struct, frozen=True):
    """One certificate and how long it lasts. `days` is None without a trusted clock; negative: over."""

    role: str
    name: str
    serial: str
    begins: datetime
    ends: datetime
    days: float | None
    ours: bool


def endings(certified: Certified, at: datetime | None) -> Sequence[Ending]:
    """Every certificate that this box lives by."""
    ours = (*certified.chain[:1], *certified.encryption[:1], *certified.link[:1])
    # Of a name the newest: what it follows may run out.
    others = (*certified.recipients, *newest_of_each(certified.receipts), *certified.anchors)
    return [
        *(_ending(each, at, ours=True) for each in ours),
        *(_ending(each, at, ours=False) for each in others),
    ]


def _ending(certificate: Certificate, at: datetime | None, *, ours: bool) -> Ending:
    left = None if at is None else (certificate.not_after - at) / timedelta(days=1)
    role = certificate.subject_ou if not certificate.is_ca else Role.CA.value
    return Ending(
        str(role), str(certificate.subject_cn), f"{certificate.serial:x}",
        certificate.not_before, certificate.not_after, left, ours,
    )  # fmt: skip


def step_of(days: float) -> int | None:
    """Which alarm a remaining life has reached: 60, 30, 7, 0 (over); None while there is time."""
    if days < 0:
        return 0
    return min((limit for limit in ALARM_DAYS if days <= limit), default=None)


def concerns(certified: Certified, papers: Papers, at: datetime | None) -> Iterator[Problem]:
    """Everything a technician should do something about, the most pressing first."""
    if not certified.chain:
        # What to do next depends on whether the request is under way.
        yield Problem("identity", "HG-6147" if papers.asked else "HG-6146", {})
    yield from certified.concerns
    if not certified.anchors and certified.chain:
        yield Problem("identity", "HG-6104", {})
    for found, code in ((certified.recipients, "HG-6148"), (certified.receipts, "HG-6149")):
        if not found:
            yield Problem("identity", code, {})
    for each in endings(certified, at):
        if each.days is None or (step := step_of(each.days)) is None or step == 0:
            continue
        fields = {"role": each.role, "name": each.name, "end": f"{each.ends:%Y-%m-%d}"}
        code = "HG-6144" if each.ours else "HG-6145"
        yield Problem("identity", code, {**fields, "days": max(0, int(each.days))})
    for crl in certified.crls:
        if at is not None and at > crl.next_update:
            name, due = str(crl.issuer_cn), f"{crl.next_update:%Y-%m-%d}"
            yield Problem("identity", "HG-6139", {"name": name, "due": due})
