"""The whole gateway, `headgate run`, killed or failed at the Nth file operation below its state folder.

A case is a road (simulated gauges, mosquitto that keeps nothing, the receiver with its own store) on which
the gateway lives several lives, each with a fault from `syscall_shim.c` inside; then an undisturbed one. The
judge is `headgate verify`: what the gauges say they have shown against what the platform has stored.
"""

from __future__ import annotations

import asyncio
import errno
import random
import tempfile
from pathlib import Path

from programme import FAULTS, KILLS, Counts, Report, Violation, cases
from syscalls import (
    BOTH,
    CHANGES,
    DISK,
    FAIL,
    KILL_AFTER,
    KILL_BEFORE,
    KILL_WITHIN,
    READS,
    TORN,
    Fault,
    shim,
)  # fmt: skip

from headgate.cli.demo.road import Road
from headgate.errors import HeadgateError

LIVES = 5
#: How long a life may take to come to its fault, and how long one with errors goes on after it.
PATIENCE_S, BREATH_S = 8.0, 1.5
#: Generous: a machine that is busy elsewhere is no fault of the gateway's.
DEADLINE_S = 120.0


def environment(fault: Fault, road: Road) -> dict[str, str]:
    """What arms the shim in a gateway."""
    return {
        "LD_PRELOAD": str(shim()), "FAULT_ROOT": str(road.folder / "state"),
        "FAULT_AT": str(fault.at), "FAULT_ACT": str(fault.act), "FAULT_ERRNO": str(fault.error),
        "FAULT_CLASS": str(fault.classes), "FAULT_WIDTH": str(fault.width),
        "FAULT_ONLY": fault.only,
    }  # fmt: skip


def pick(rng: random.Random) -> Fault:
    """A kill more often than not; errors pass after some calls, as a full disk does."""
    # A start makes some eighty calls, and then two dozen a second.
    at = rng.randint(1, rng.choice([30, 90, 180]))
    if rng.random() < 0.7:
        return Fault(at, rng.choice([KILL_BEFORE, KILL_AFTER, KILL_WITHIN]), classes=CHANGES)
    if rng.random() < 0.25:
        return Fault(at, FAIL, errno.EIO, READS)
    error = rng.choice([errno.EIO, errno.ENOSPC, errno.EROFS, errno.EINTR])
    if error == errno.EINTR:
        return Fault(at, FAIL, error, BOTH, 2)
    return Fault(at, rng.choice([FAIL, TORN]), error, CHANGES, rng.choice([1, 2, 12]))


async def story(name: str, lives: int = LIVES) -> Counts:
    """One road."""
    rng = random.Random(name)
    counts = Counts()
    plot: list[str] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(dir=DISK, prefix="headgate-road-") as folder:
        async with Road(Path(folder), count=3) as road:
            for _ in range(lives):
                fault = pick(rng)
                await road.gateway.kill()
                plot.append(fault.said())
                await _live(road, fault, counts, plot, wrong)
            await road.gateway.kill()
            await road.start_gateway()
            if not await road.finish(DEADLINE_S):
                wrong.append("not everything was delivered in time")
            status, words = await road.verify()
            if status:
                wrong.append(f"verify: {status}\n{words}")
            said = road.gateway.log.read_text(errors="replace")
            if "Traceback" in said:
                wrong.append(said[-3000:])
    if wrong:
        counts.violations.append(Violation(name, "\n".join([*plot, *wrong])))
    return counts


async def _live(
    road: Road, fault: Fault, counts: Counts, plot: list[str], wrong: list[str]
) -> None:
    await road.gateway.start(environment(fault, road))
    status = await _end(road, PATIENCE_S) if fault.kills else await _answers(road)
    if status is None:
        if fault.kills:
            plot.append("  came to no such call")
            return
        counts.done[FAULTS] += 1
        status = await _end(road, BREATH_S)
        if status is None and await _answers(road) is None:
            return
    if fault.kills and status == -9:
        counts.done[KILLS] += 1
    elif fault.kills:
        wrong.append(f"ended with status {status}: {road.gateway.tail()}")
    else:
        # A disk that fails while the folder is locked and read is told in a sentence; the service
        # manager starts it again.
        counts.done["starts refused by the disk"] += 1
        plot.append(f"  ended {status}: {road.gateway.tail()}")
        if "HG-" not in road.gateway.tail():
            wrong.append(f"ended with status {status} without a sentence: {road.gateway.tail()}")


async def _end(road: Road, within_s: float) -> int | None:
    """The exit status of the gateway, None when it does not end within this time."""
    try:
        async with asyncio.timeout(within_s):
            return await road.gateway.wait()
    except TimeoutError:
        return None


async def _answers(road: Road) -> int | None:
    """None once the gateway answers; its exit status when it ended instead."""
    async with asyncio.timeout(DEADLINE_S):
        while await road.ask("status") is None:
            if (status := await _end(road, 0.2)) is not None:
                return status
    return None


def case(name: str) -> Counts:
    try:
        return asyncio.run(story(name))
    except TimeoutError:
        return Counts(violations=[Violation(name, "the gateway neither answers nor ends")])
    except HeadgateError as error:
        return Counts(violations=[Violation(name, f"the road broke: {error}")])


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    cases(case, (str(rng.getrandbits(40)) for _ in iter(int, 1)), deadline, report)


def replay(name: str) -> Counts:
    return case(name)
