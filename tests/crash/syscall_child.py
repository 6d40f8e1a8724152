"""The process that is killed: a life of the box's storage side, promise by promise, said aloud.

Run as a program it is a server: it imports everything once, forks a process for each life that it is asked
for, arms the fault in it, and says how it ended. What a life promised is in the file `told`, which lies
outside the folder whose calls are counted. Nothing in here judges; `syscalls.py` does.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import random
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from headgate.env import Env, SystemClock, SystemFiles, SystemNet
from headgate.errors import SpoolError
from headgate.model import Lane
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.terms import Pace
from headgate.sdk import StoredRecord
from headgate.spool import ClearIndex, Loss, SealedRecord, Spool, State

BOOT = b"b" * 16
#: A commit that the disk refuses is tried again as the writer does, this often.
TRIES = 8
Name = tuple[bytes, int]


class Terms(msgspec.Struct, frozen=True):
    """What kind of life: room for data, whether a platform acknowledges, how much happens."""

    seed: int
    quota: int
    acked: bool
    steps: int
    end: str  # "close" or "drop": how it ends if nothing ends it


class Clock(SystemClock):
    """The wall clock of a box without a battery: each start somewhere else."""

    def __init__(self, offset_us: int) -> None:
        super().__init__()
        self._offset_us = offset_us

    def wall_us(self) -> int:
        return super().wall_us() + self._offset_us


class Dice:
    """Randomness of a life."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token(self, size: int) -> bytes:
        return self._rng.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._rng.uniform(low, high)


class Receipt(msgspec.Struct):
    epoch: bytes
    stored: tuple[tuple[int, int], ...]
    serial: int = 1
    floor: int = 0
    verdicts: tuple[Any, ...] = ()
    resend: tuple[tuple[int, int], ...] = ()
    retire: tuple[bytes, ...] = ()


def body(epoch: bytes, n: int) -> bytes:
    """What stands in a record: known from its name, and from nothing else."""
    rng = random.Random(f"{epoch.hex()}/{n}")
    return rng.randbytes(rng.choice([40, 700, 700, 3000]))


def lane(n: int) -> Lane:
    return Lane.ALARM if n % 7 == 3 else Lane.LIVE


def readings(n: int) -> int:
    return n % 5 + 1


class Box:
    """Spool, state and one outbox in a folder, put together as the app does."""

    def __init__(self, folder: Path, seed: int, quota: int) -> None:
        rng = random.Random(f"box/{seed}")
        years_us = rng.choice([0, -20, -5, 5, 12]) * 365 * 86_400_000_000
        self.env = env = Env(
            Clock(years_us),
            Dice(rng),
            SystemFiles(),
            SystemNet(),
            lambda name: None,  # type: ignore[arg-type, return-value]
        )
        self.state = State(env, folder / "state.db")
        self.state.open()
        self.spool = Spool(
            env, folder / "spool", segment_bytes=8192, quota_bytes=quota, alarm_bytes=1 << 17,
            ballast_bytes=4096,
        )  # fmt: skip
        try:
            self.found = self.spool.open(self.state.noted())
        except BaseException:
            self.state._disconnect()
            raise
        known = {each.epoch: each.last_n for each in self.state.epochs()}
        self.state.number_above(self.spool.highest_device(known))
        self.epoch = env.random.token(8)
        self.before = self.state.begin_epoch(self.epoch, (self.found.epoch, self.found.last_n))
        self.n = 0
        self.boxes = Outboxes(self.spool, self.state, self.epoch)
        self.receipts: dict[bytes, Receipt] = {}
        self.outbox = SpoolOutbox(
            env, self.spool, self.state, "city", self.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=self.receipts.__getitem__, say=lambda item: None,
            passed=self.boxes.passed, pace=Pace(ahead=100_000),
        )  # fmt: skip
        self.boxes.add(self.outbox)

    def record(self, device: int, losses: Iterable[Loss]) -> SealedRecord:
        n, self.n = self.n, self.n + 1
        index = ClearIndex(
            readings(n), n, n, BOOT, ((device, readings(n)),), (),
            tuple(loss.carried for loss in losses),
        )  # fmt: skip
        return SealedRecord(self.epoch, n, b"k" * 8, lane(n), body(self.epoch, n), index)

    def acknowledge(self, epoch: bytes, ns: Iterable[int]) -> None:
        self.receipts[b"now"] = Receipt(epoch, tuple((n, n) for n in sorted(ns)))
        self.outbox.receipt(b"now")

    async def offered(self) -> list[StoredRecord]:
        """Everything that would be sent now."""
        found: list[StoredRecord] = []
        while True:
            task = asyncio.ensure_future(self.outbox.take(64))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return found
            self.outbox.sent(task.result())
            found += task.result()

    def flush(self) -> bool:
        self.state.note(self.spool.totals())
        self.boxes.note()
        return self.state.flush()


class Life:
    """One life of a box. Every promise is told the moment it holds."""

    def __init__(self, folder: Path, told: int, terms: Terms) -> None:
        self.folder, self.told, self.terms = folder, told, terms
        self.rng = random.Random(f"life/{terms.seed}")
        self.kept: list[Name] = []
        self.acked: set[Name] = set()
        self.settled: set[Name] = set()

    def tell(self, *words: object) -> None:
        os.write(self.told, (json.dumps(words) + "\n").encode())

    def run(self) -> None:
        try:
            self.box = Box(self.folder, self.terms.seed, self.terms.quota)
        except SpoolError as error:
            self.tell("refused", str(error))
            return
        box = self.box
        self.tell("open", box.epoch.hex(), box.state.rebuilt, *self._said(box.found.losses))
        self.settled = {
            (epoch, n)
            for epoch, ranges in box.state.settled("city").items()
            for first, last in ranges.ranges()
            for n in range(first, last + 1)
        }
        for rows in box.spool.segments():
            self.kept += [(rows.epoch(row), rows.ns[row]) for row in rows.alive()]
        for _ in range(self.terms.steps):
            if not self._commit():
                self.tell("broken")
                return
            if self.terms.acked and self.rng.random() < 0.6:
                self._acknowledge()
            if self.rng.random() < 0.5:
                self._flush()
        asyncio.run(self._read_back())
        if self.terms.end == "close":
            self._flush()
            box.state.close()
            box.spool.close()
        self.tell("end")

    @staticmethod
    def _said(losses: Iterable[Loss]) -> list[Any]:
        return [
            [loss.account.log, loss.account.first, loss.account.end, loss.records, loss.readings]
            for loss in losses
        ]

    def _commit(self) -> bool:
        box, rng = self.box, self.rng
        name = f"gauge-{rng.randint(1, 9)}"
        device = box.state.device_number(name)
        if not (box.state.flush() and box.state.numbers_kept()):
            return True  # no record may use a number that is not kept: nothing to say this time
        self.tell("device", name, device)
        losses = box.spool.losses()
        batch = [box.record(device, losses if i == 0 else ()) for i in range(rng.randint(1, 4))]
        self.tell("try", box.epoch.hex(), [one.n for one in batch], self._said(losses), device)
        for _ in range(TRIES):
            try:
                positions = box.spool.commit(batch)
            except SpoolError:
                continue
            self.tell("kept", box.epoch.hex(), [one.n for one in batch])
            box.boxes.on_commit(positions)
            box.state.committed(box.epoch, batch[-1].n)
            self.kept += [(box.epoch, one.n) for one in batch]
            return True
        return False

    def _acknowledge(self) -> None:
        box, rng = self.box, self.rng
        here = {
            (rows.epoch(row), rows.ns[row]) for rows in box.spool.segments() for row in rows.alive()
        }
        self.kept = [name for name in self.kept if name in here]
        if not self.kept:
            return
        epoch = rng.choice(self.kept)[0]
        mine = sorted(
            n for of, n in self.kept if of == epoch and (of, n) not in self.acked | self.settled
        )
        ns = mine[: rng.randint(0, len(mine))] if rng.random() < 0.7 else mine[::2]
        if ns:
            self.tell("ack", epoch.hex(), ns)
            self.acked |= {(epoch, n) for n in ns}
            box.acknowledge(epoch, ns)

    def _flush(self) -> None:
        acked = sorted((epoch.hex(), n) for epoch, n in self.acked)
        if self.box.flush():
            self.tell("settled", acked)

    async def _read_back(self) -> None:
        """Everything that waits is offered, and is what was written; what was acknowledged is not."""
        spool = self.box.spool
        offered = await self.box.offered()
        spool.losses()  # what could not be read just now is a loss from here on
        here = {
            (rows.epoch(row), rows.ns[row]) for rows in spool.segments() for row in rows.alive()
        }
        names = [(each.epoch, each.n) for each in offered]
        wrong = [each for each in offered if each.data != body(each.epoch, each.n)]
        faults = {
            "wrong": {(each.epoch, each.n) for each in wrong},
            "twice": {name for name in names if names.count(name) > 1},
            "not offered": here - self.acked - self.settled - set(names),
            "offered again": (self.acked | self.settled) & set(names),
        }
        for what, which in faults.items():
            if which:
                self.tell("fault", what, sorted((epoch.hex(), n) for epoch, n in which))


def live(folder: Path, told: Path, terms: Terms, fault: list[Any], shim: Any) -> None:
    """One life, in a process of its own. Does not return."""
    out = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    number, act, error, classes, width, only = fault
    report = os.open(told.with_suffix(".call"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if number < 0:
        report = out  # every call, between the promises
    shim.fault_arm(
        os.fsencode(folder), ctypes.c_long(number), act, error, classes, ctypes.c_long(width),
        only.encode(), report,
    )  # fmt: skip
    try:
        Life(folder, out, terms).run()
    except BaseException:  # noqa: BLE001 - whatever it is, the judge wants to know
        os.write(out, (json.dumps(["raised", traceback.format_exc()]) + "\n").encode())
    shim.fault_count.restype = ctypes.c_long
    os.write(out, (json.dumps(["calls", shim.fault_count()]) + "\n").encode())
    os._exit(0)


def serve(lives: Iterable[str]) -> None:
    import logging

    logging.disable(logging.CRITICAL)
    shim = ctypes.CDLL(None)
    for line in lives:
        folder, told, terms, fault = json.loads(line)
        child = os.fork()
        if child == 0:
            live(Path(folder), Path(told), msgspec.convert(terms, Terms), fault, shim)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1:] or sys.stdin)
