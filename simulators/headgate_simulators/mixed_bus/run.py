"""Mixed buses by hand: ready line, site fragment, control socket, until a signal."""

from __future__ import annotations

from pathlib import Path

from headgate_simulators.by_hand import until_signal
from headgate_simulators.mixed_bus.bus import BusPlan, MixedBus
from headgate_simulators.mixed_bus.site import site_fragment
from headgate_simulators.truth import NoTruth, TruthFile


async def run(
    plan: BusPlan, truth: Path | None, site: Path | None, interval: str, control: Path | None
) -> None:
    """Run until SIGTERM or SIGINT."""
    async with MixedBus(plan, TruthFile(truth) if truth else NoTruth()) as bus:
        fragment = site_fragment(bus.description, interval)
        ready = {"ready": True, "devices": bus.description}
        await until_signal(ready, bus.command, control, {site: fragment} if site else {})
