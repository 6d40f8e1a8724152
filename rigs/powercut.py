"""The spool on a disk that loses its power, again and again: what was promised must be there."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from dataclasses import dataclass, field
from typing import Any

from rigs.kernel import BUILD, need, prepared
from rigs.machine import Machine
from rigs.verdict import Seen, Verdict

MODULES = ("virtio_blk", "crc32c_generic", "ext4")
#: From power on until it looks back and writes, on a loaded machine.
BOOT_S = 240.0
DISK_BYTES = 512 << 20


@dataclass
class Promises:
    """What the guest said is durable, over all rounds."""

    records: dict[str, int] = field(default_factory=dict)  # by epoch: the last n
    state: int = 0

    def hear(self, line: str) -> None:
        """A promise on the console; a line that the cut tore is none."""
        word, _, rest = line.partition(" ")
        if word not in ("PROMISED", "KEPT"):
            return
        try:
            told = json.loads(rest)
        except ValueError:
            return
        if word == "PROMISED":
            self.records[told["epoch"]] = told["to"]
        else:
            self.state = max(self.state, told["state"])

    def judge(self, found: dict[str, Any]) -> Seen:
        """Whether every promise is there."""
        missing = []
        for epoch, last in self.records.items():
            there: set[int] = set()
            for first, to in found["epochs"].get(epoch, []):
                there.update(range(first, to + 1))
            gone = [n for n in range(last + 1) if n not in there]
            if gone:
                missing.append(f"{epoch}: {len(gone)} of {last + 1}, {gone[0]} to {gone[-1]}")
        count = sum(last + 1 for last in self.records.values())
        if missing:
            return Seen("promises", False, f"missing of {count}: " + "; ".join(missing))
        return Seen(
            "promises", True, f"{count} records of {len(self.records)} epochs, none missing"
        )

    def judge_state(self, found: dict[str, Any]) -> Seen:
        """Whether the state file is the one that was kept last, or newer."""
        good = not found["rebuilt"] and found["state"] >= self.state
        return Seen("state", good, f"kept {self.state}, found {found['state']}")


async def run(rounds: int, seed: int, flush: str = "on") -> bool:
    """`rounds` cuts, and a last start that finds everything.

    With `flush` off the guest's program flushes nothing: the counter-proof, which must end in WRONG.
    """
    need({"mkfs.ext4": "e2fsprogs"})
    kernel = prepared()
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "powercut.log").unlink(missing_ok=True)
    disk = BUILD / "powercut.img"
    with disk.open("wb") as image:
        image.truncate(DISK_BYTES)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", disk], check=True)
    verdict = Verdict(("whole", "promises", "state"))
    promises, rng = Promises(), random.Random(seed)
    print(f"kernel {kernel.version}, ext4, {rounds} cuts, seed {seed}", flush=True)
    for turn in range(rounds + 1):
        last = turn == rounds
        wait_s = 0.0 if last else rng.choice([0.05, 0.5, 2.0]) + rng.random() * 6
        told = {"RIG_TURN": str(turn), "RIG_SEED": str(rng.randrange(1 << 30)), "RIG_FLUSH": flush}
        print(
            f"start {turn + 1}" + ("" if last else f", cut {wait_s:.2f} s after it writes"),
            flush=True,
        )
        machine = Machine(kernel, "powercut", MODULES, disk=disk, told=told, memory_mb=1024)
        async with machine:
            if not await _one(machine, verdict, promises, wait_s):
                return verdict.close(f"start {turn + 1}; the console is in {machine.log}")
        if not verdict.good:
            return verdict.close(f"start {turn + 1}; the disk is {disk}")
    disk.unlink()
    return verdict.close()


async def _one(machine: Machine, verdict: Verdict, promises: Promises, wait_s: float) -> bool:
    """One start until its power is cut; whether it came as far as that."""
    cut: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(BOOT_S + wait_s):
            async for line in machine.lines():
                verdict.hear(line)
                promises.hear(line)
                if line.startswith("FOUND "):
                    found = json.loads(line.removeprefix("FOUND "))
                    verdict.add(promises.judge(found))
                    verdict.add(promises.judge_state(found))
                elif line.startswith("WRITING") and cut is None:
                    cut = asyncio.create_task(_later(machine, wait_s))
    except TimeoutError:
        print("  it did not come up in time", flush=True)
    finally:
        if cut is not None:
            await cut
    return cut is not None


async def _later(machine: Machine, wait_s: float) -> None:
    await asyncio.sleep(wait_s)
    await machine.cut()
