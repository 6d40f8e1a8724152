"""What is told of a box's identity: to `headgate enroll status`, and in the gateway's own status.

Nothing secret stands in either.
"""

from __future__ import annotations

from typing import Any, Final

from headgate.errors import Problem
from headgate.messages import Language, say
from headgate.runtime.enrolment.concerns import concerns, endings
from headgate.runtime.enrolment.desk import Desk
from headgate.runtime.enrolment.papers import Papers

#: What a box lacks before anybody enrolled it, and a box with plain uplinks for ever.
_NEVER_THERE: Final = frozenset({"HG-6146", "HG-6147", "HG-6148", "HG-6149", "HG-6104"})


def status_of(desk: Desk) -> dict[str, Any]:
    """Certificates, what is missing and what to do next, as it lies on disk now."""
    identity, at, papers = desk.identity, desk.now(), desk.papers()
    certified = desk.certified(at)
    found = list(concerns(certified, papers, at))
    if identity.left_behind:
        found.append(Problem("identity", "HG-6128", {}))
    return {
        "gateway": identity.gateway,
        "keeper": desk.custody.keeper,
        "module": desk.custody.description,
        "clock_trusted": at is not None,
        "enrolled": identity.enrolled,
        "asked": papers.asked is not None,
        "service": None if papers.service is None else papers.service.url,
        "certificates": [
            {
                "role": each.role, "name": each.name, "serial": each.serial, "ours": each.ours,
                "begins": each.begins.isoformat(), "ends": each.ends.isoformat(),
                "days": None if each.days is None else round(each.days, 1),
            }
            for each in endings(certified, at)
        ],
        "problems": [
            {"code": each.code, "fields": {k: str(v) for k, v in each.fields.items()}}
            for each in found
        ],
    }  # fmt: skip


def summary_of(desk: Desk) -> dict[str, Any]:
    """The identity's part of the gateway's status; nothing is read from disk for it."""
    identity, at = desk.identity, desk.now()
    own = [each for each in endings(identity.certified, at) if each.ours]
    return {
        "keeper": desk.custody.keeper,
        "module": desk.custody.description,
        "barred": identity.certified.barred,
        "certificates": [
            {"role": each.role, "ends": each.ends.isoformat(), "serial": each.serial}
            for each in own
        ],
    }


def certificate_problems(desk: Desk, language: Language) -> list[str]:
    """What runs out or no longer counts, as sentences; what a box never had is no problem of its."""
    identity, at = desk.identity, desk.now()
    found = concerns(identity.certified, identity.papers or Papers(gateway=identity.gateway), at)
    return [
        f"identity: {say(each.code, language, **each.fields)} [{each.code}]"
        for each in found
        if each.code not in _NEVER_THERE
    ]
