"""One storm, from the first rain to the verdict."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from headgate.cli.demo.road import Road
from headgate.errors import HeadgateError
from storm.field import StormPlan, field
from storm.trouble import outages, troubles

#: After the last fault: until everything is stored that was under way.
DRAIN_S = 90.0
_PEAK_MM_H = 90.0
Say = Callable[[str], None]


async def storm(plan: StormPlan, folder: Path, say: Say = lambda line: None) -> dict[str, Any]:
    """Let a storm pass over a field of simulated devices.

    Returns:
        The verdict of `headgate verify` as its JSON says it, and below `storm` what happened.
    """
    simulators = field(plan, folder)
    async with Road(folder, field=simulators) as road:
        happening = await _happenings(plan, road, say)
        say(f"{len(road.devices)} devices on {happening['lines']} lines")
        await road.storm(
            {"storm": {"peak_mm_h": _PEAK_MM_H, "duration_s": plan.speed * plan.seconds}}
        )
        await _play(happening.pop("play"), road, say)
        gateway = _process(road)
        drained = await road.finish(DRAIN_S)
        status, words = await road.verify("--format", "json", "--late", "30s")
    if not words.startswith("{"):
        raise HeadgateError(
            f"verify: {words}", code="HG-9510", name="verify", status=status, said=words
        )
    found: dict[str, Any] = json.loads(words)
    found["storm"] = {
        "minutes": plan.minutes, "seed": plan.seed, "speed": plan.speed, "drained": drained,
        "gateway": gateway, **happening,
    }  # fmt: skip
    return found


Step = tuple[float, str, Callable[[], Awaitable[object]]]


async def _happenings(plan: StormPlan, road: Road, say: Say) -> dict[str, Any]:
    by_name = {each.name: each for each in road.field}
    steps: list[Step] = []
    kinds: Counter[str] = Counter()
    for at_s, whom, command in troubles(road.field, plan.seconds, plan.seed, plan.fault_every_s):
        kind = str(command.get("fault", "lid"))
        kinds[kind] += bool(command.get("on", command.get("open")))
        steps.append((at_s, f"{whom} {json.dumps(command)}", _telling(by_name[whom], command)))
    broker = outages(plan.seconds, plan.seed)
    for begin_s, end_s in broker:
        steps += [
            (begin_s, "broker killed", road.broker.stop),
            (end_s, "broker back", road.broker.start),
        ]
    if plan.kill:
        steps.append((0.55 * plan.seconds, "gateway killed", lambda: _kill(road)))
    steps.append((plan.seconds, "over", _nothing))
    steps.sort(key=lambda step: step[0])
    lines = {
        str(each.get("line") or each.get("url") or each.get("port", "air")) for each in road.devices
    }
    return {
        "play": steps, "devices": len(road.devices), "lines": len(lines), "faults": dict(kinds),
        "broker_outages": len(broker), "gateway_kills": int(plan.kill),
    }  # fmt: skip


def _telling(simulator: Any, command: Any) -> Callable[[], Awaitable[object]]:
    return lambda: simulator.tell(command)


async def _play(steps: list[Step], road: Road, say: Say) -> None:
    clock = asyncio.get_running_loop().time
    begun = clock()
    for at_s, what, do in steps:
        while (left_s := begun + at_s - clock()) > 0:
            road.check()
            await asyncio.sleep(min(left_s, 0.5))
        say(f"{at_s:7.1f} s  {what}")
        await do()


async def _kill(road: Road) -> None:
    await road.gateway.kill()
    await asyncio.sleep(1)  # off for a while: there must be something to be told
    await road.start_gateway()


async def _nothing() -> None:
    """Only the time passes."""


def _process(road: Road) -> dict[str, float]:
    """What the gateway's process took since its last start: seconds of a core, MiB at most."""
    process = road.gateway.pid
    if process is None:
        return {}
    folder = Path(f"/proc/{process}")
    try:
        numbers = (folder / "stat").read_text().rpartition(")")[2].split()
        memory = (folder / "status").read_text()
    except OSError:
        return {}
    ticks = os.sysconf("SC_CLK_TCK")
    most = next(line.split()[1] for line in memory.splitlines() if line.startswith("VmHWM"))
    return {
        "cpu_s": round((int(numbers[11]) + int(numbers[12])) / ticks, 1),
        "peak_mib": round(int(most) / 1024, 1),
    }
