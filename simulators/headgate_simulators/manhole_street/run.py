"""The street as a program of its own: until a signal ends it."""

from __future__ import annotations

from pathlib import Path

from headgate_simulators.by_hand import until_signal
from headgate_simulators.manhole_street.site import site_fragment
from headgate_simulators.manhole_street.street import ManholeStreet, StreetPlan
from headgate_simulators.truth import NoTruth, TruthFile


async def run(
    plan: StreetPlan, truth: Path | None, site: Path | None, interval: str, control: Path | None
) -> None:
    """Run a street; say on standard output, as one JSON line, when it is ready."""
    async with ManholeStreet(plan, TruthFile(truth) if truth else NoTruth()) as street:
        fragment = site_fragment(street.description, interval)
        ready = {"ready": True, "devices": street.description}
        await until_signal(ready, street.command, control, {site: fragment} if site else {})
