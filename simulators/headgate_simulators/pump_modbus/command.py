"""Modbus pump stations on the command line: `headgate sim pump-station --modbus`."""

from __future__ import annotations

from pathlib import Path

from headgate_simulators.by_hand import until_signal
from headgate_simulators.pump_modbus.farm import PlcFarm, PlcPlan
from headgate_simulators.truth import NoTruth, TruthFile
from headgate_simulators.water_gauge.site import site_fragment
from headgate_simulators.writes import WriteLog


async def run(
    plan: PlcPlan,
    truth: Path | None,
    writes: Path | None,
    site: Path | None,
    interval: str,
    control: Path | None,
) -> None:
    """Run until SIGTERM or SIGINT."""
    kept = TruthFile(truth) if truth else NoTruth()
    async with PlcFarm(plan, kept, WriteLog(writes)) as farm:
        fragment = site_fragment(farm.description, interval)
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})
