"""kill -9 and errors at the Nth file operation of a real process on real files, as a part of the programme.

A case is a *story*: two to four lives of a box in one folder, each in a process of its own, each ended (or
troubled) at an operation picked at random; after each the box is started again and what it finds is judged
by what the dead process had said aloud. `syscall_shim.c` does the counting and the harm from inside, loaded
before libc: SQLite and Python both reach files through libc, so it sees what strace would see
(a test compares the two), at a hundredth of the cost.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from programme import FAULTS, KILLS, Counts, Pulse, Report, Violation, attempt
from syscall_child import Box, Name, Terms, body, lane, readings

from headgate.errors import SpoolCorrupt
from headgate.model import Lane
from headgate.spool import Position

HERE = Path(__file__).parent
KILL_BEFORE, KILL_AFTER, KILL_WITHIN, FAIL, SHORT, TORN = range(1, 7)
CHANGES, READS, BOTH = 1, 2, 3
EVER = -1
#: In memory where that is to be had: a killed process leaves all it wrote either way, and cards last.
DISK = os.environ.get("HEADGATE_CRASH_DISK") or (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)


@cache
def shim() -> Path:
    """The compiled shim, made anew when its source has changed."""
    source = HERE / "syscall_shim.c"
    made = (
        Path(tempfile.gettempdir()) / f"headgate-shim-{os.getuid()}-{source.stat().st_mtime_ns}.so"
    )
    if not made.exists():
        new = made.with_suffix(f".{os.getpid()}")
        subprocess.run(
            ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", new, source, "-ldl", "-lpthread"],
            check=True,
        )
        new.replace(made)
    return made


@dataclass(frozen=True)
class Fault:
    """What happens from the `at`-th counted call on, to `width` calls (-1: for ever)."""

    at: int = 0
    act: int = 0
    error: int = errno.EIO
    classes: int = CHANGES
    width: int = 1
    only: str = ""

    @property
    def kills(self) -> bool:
        return self.act in (KILL_BEFORE, KILL_AFTER, KILL_WITHIN)

    def said(self) -> str:
        act = ("-", "kill before", "kill after", "kill within", "fail", "short", "torn")[self.act]
        of = {CHANGES: "change", READS: "read", BOTH: "call"}[self.classes]
        code = "" if self.kills or self.act == SHORT else f" {errno.errorcode[self.error]}"
        much = "" if self.width == 1 else " for ever" if self.width < 0 else f" x{self.width}"
        return f"{act}{code}{much} at {of} {self.at}{' of ' + self.only if self.only else ''}"


class Server:
    """The process that forks lives, with the shim inside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "syscall_child.py")],
            env={**os.environ, "LD_PRELOAD": str(shim())},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def live(self, folder: Path, told: Path, terms: Terms, fault: Fault) -> int:
        """One life; its exit status, negative for a signal."""
        assert self._process.stdin is not None and self._process.stdout is not None
        harm = [fault.at, fault.act, fault.error, fault.classes, fault.width, fault.only]
        asked = json.dumps([str(folder), str(told), msgspec.to_builtins(terms), harm])
        self._process.stdin.write(asked + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the server of lives is gone")
        return int(answer)

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def server() -> Iterator[Server]:
    made = Server()
    try:
        yield made
    finally:
        made.close()


@dataclass
class Truth:
    """What the dead have said, gathered over the lives of one story."""

    #: Promised durable, in the order of promising; and tried, which may or may not be there.
    kept: dict[Name, int] = field(default_factory=dict)
    tried: dict[Name, int] = field(default_factory=dict)
    #: What gaps ride in a record: (log, first, end) -> (records, readings).
    riders: dict[Name, list[list[Any]]] = field(default_factory=dict)
    acked: set[Name] = field(default_factory=set)
    settled: set[Name] = field(default_factory=set)
    #: Kept when the memory noted how far the spool had come; and what was not, when a file then could
    #: not be read (or was, when a burst of errors hid even which log it is): a bound, not a count.
    noted: set[Name] = field(default_factory=set)
    tail: set[Name] = field(default_factory=set)
    #: Lives in which a file could not be read.
    unreadable: int = 0
    #: Whether both homes of the device numbers may have been unreadable.
    forgetful: bool = False
    devices: dict[str, int] = field(default_factory=dict)
    #: A device number of each record.
    numbers: set[int] = field(default_factory=set)
    epochs: list[bytes] = field(default_factory=list)
    rebuilt: bool = False
    faults: list[str] = field(default_factory=list)
    last: str = ""
    calls: int = 0

    def hear(self, told: Path) -> None:
        """Take in what one life has said; a line that was cut off says nothing."""
        self.last = ""
        for line in told.read_text().splitlines(keepends=True) if told.exists() else ():
            if not line.endswith("\n"):
                break
            if not line.startswith("["):
                continue  # a call, for `Order`
            self._hear(*json.loads(line))

    def _hear(self, word: str, *rest: Any) -> None:
        self.last = word if word != "calls" else self.last
        if word == "calls":
            self.calls = rest[0]
        elif word == "open":
            self.epochs.append(bytes.fromhex(rest[0]))
            self.rebuilt = self.rebuilt or rest[1]
        elif word == "device":
            name, number = rest
            if self.forgetful and self.rebuilt:
                self.devices[name] = number
            elif self.devices.setdefault(name, number) != number:
                self.faults.append(f"{name} had number {self.devices[name]}, now {number}")
            if sum(other == number for other in self.devices.values()) > 1:
                self.faults.append(f"number {number} is given twice: {self.devices}")
        elif word == "try":
            epoch, ns, losses, device = rest
            self.numbers.add(device)
            for n in ns:
                self.tried[bytes.fromhex(epoch), n] = len(self.tried) + len(self.kept)
            if losses:
                self.riders[bytes.fromhex(epoch), ns[0]] = losses
        elif word == "kept":
            epoch, ns = rest
            for n in ns:
                self.kept[bytes.fromhex(epoch), n] = self.tried.pop((bytes.fromhex(epoch), n))
        elif word == "ack":
            self.acked |= {(bytes.fromhex(rest[0]), n) for n in rest[1]}
        elif word == "settled":
            self.settled |= {(bytes.fromhex(epoch), n) for epoch, n in rest[0]}
            self.noted |= self.kept.keys()
        elif word in ("fault", "raised"):
            self.faults.append(f"{word} {rest}")


class Order:
    """What the disk would keep at each promise, by the calls that the process made before it.

    A killed process leaves everything that it wrote, so a missing sync does not show in what it leaves;
    it shows in the order of its calls. The rules are those of a journalling file system: content is there
    after its file's sync, a name after its folder's.
    """

    def __init__(self, folder: Path) -> None:
        self._folders = {"/", *(self._name(folder, p) for p in folder.rglob("*") if p.is_dir())}
        self._known = {self._name(folder, p) for p in folder.rglob("*")}
        self._dirty: set[str] = set()
        self._unnamed: set[str] = set()
        self.wrong: list[str] = []
        self.calls = 0

    @staticmethod
    def _name(folder: Path, path: Path) -> str:
        return f"/{path.relative_to(folder)}"

    def hear(self, told: Path) -> list[str]:
        """Go through calls and promises in their order; what was wrong."""
        for line in told.read_text().splitlines():
            if line.startswith("["):
                self._promise(json.loads(line)[0])
            else:
                _, call, name = line.split(" ", 2)
                self.calls += 1
                self._call(call, name)
        return list(dict.fromkeys(self.wrong))

    def _call(self, call: str, name: str) -> None:
        if call in ("write", "pwrite", "writev", "ftruncate", "ftruncate64"):
            self._dirty.add(name)
        elif call in ("fsync", "fdatasync"):
            self._dirty.discard(name)
            if name in self._folders:
                self._unnamed = {each for each in self._unnamed if _parent(each) != name}
        elif call == "open" and name not in self._known:
            self._known.add(name)
            self._unnamed.add(name)
        elif call == "mkdir":
            self._folders.add(name)
            self._unnamed.add(name)
        elif call == "rename":
            old, new = name.split(">")
            if old in self._dirty:
                self.wrong.append(f"{old} became {new} before it was synced")
            self._dirty -= {old, new}
            self._unnamed.discard(old)
            self._unnamed.add(new)
            self._known.add(new)
        elif call.startswith("unlink"):
            if name.endswith(".seg") and f"{_parent(name)}/ledger" in self._unnamed:
                self.wrong.append(f"{name} went before its ledger was durable")
            for names in (self._dirty, self._unnamed, self._known):
                names.discard(name)

    def _promise(self, word: str) -> None:
        due: set[str] = set()
        if word == "kept":
            open_ends = self._dirty | self._unnamed
            segments = {
                each for each in open_ends if each.endswith(".seg") and "/quarantine/" not in each
            }
            due = segments | {
                folder for each in self._known if each.endswith(".seg") and "/quarantine/" not in each
                for folder in _above(each) if folder in self._unnamed
            }  # fmt: skip
        elif word in ("device", "settled"):
            of_state = ("/state.db-wal", "/state.db", "/devices")
            due = {each for each in of_state if each in self._dirty - {"/state.db"}}
            due |= {each for each in of_state if each in self._unnamed}
        if due:
            self.wrong.append(f"{word!r} was said before {', '.join(sorted(due))} was durable")


def _parent(name: str) -> str:
    return name.rsplit("/", 1)[0] or "/"


def _above(name: str) -> list[str]:
    parts = name.split("/")[1:-1]
    return ["/" + "/".join(parts[: at + 1]) for at in range(len(parts))]


class Judge:
    """Starts a box on a copy of what is there and compares with the truth."""

    def __init__(self, truth: Truth, quota: int, harmless: bool) -> None:
        self.truth, self.quota, self.harmless = truth, quota, harmless
        self.wrong = list(truth.faults)

    def check(self, fine: bool, what: str, *more: object) -> None:
        if not fine:
            self.wrong.append(f"{what}: {' '.join(map(_short, more))}")

    def look(self, folder: Path, copy: Path) -> list[str]:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        box = Box(copy, 1 << 30, self.quota)
        try:
            self._look(box)
        finally:
            box.state._disconnect()
            box.spool.close()
        return self.wrong

    def _look(self, box: Box) -> None:
        truth, check = self.truth, self.check
        rebuilt = truth.rebuilt or box.state.rebuilt
        check(not (self.harmless and rebuilt), "the memory of a killed process was set aside")
        found = self._records(box)
        known = truth.kept.keys() | truth.tried.keys()
        check(found.keys() <= known, "records that nobody wrote", found.keys() - known)
        self._losses(box, found)
        self._order(found)
        self._link(box, found)
        offered = {(each.epoch, each.n) for each in asyncio.run(box.offered())}
        owed = (truth.kept.keys() & found.keys()) - truth.acked
        check(owed <= offered, "not offered and not acknowledged", owed - offered)
        check(offered <= found.keys(), "offered, and not there", offered - found.keys())
        if not rebuilt:
            again = offered & truth.settled
            check(not again, "offered again, though settled and flushed", again)
        for name, number in () if truth.forgetful and rebuilt else truth.devices.items():
            now = box.state.device_number(name)
            check(now == number, f"{name} had number {number}, now", now)
        fresh = {box.state.device_number(f"new-{i}") for i in range(3)}
        taken = fresh & (truth.numbers | set(truth.devices.values()))
        check(not taken, "numbers given to a second device", taken)

    def _records(self, box: Box) -> dict[Name, Position]:
        found: dict[Name, Position] = {}
        for rows in box.spool.segments():
            last = -1
            for row in rows.alive():
                name = (rows.epoch(row), rows.ns[row])
                self.check(name not in found, "there twice", name)
                self.check(rows.ns[row] > last, "out of order", name)
                self.check(
                    (rows.log == "alarms") is (lane(rows.ns[row]) is Lane.ALARM), "wrong log", name
                )
                last = rows.ns[row]
                position = Position(rows.log, rows.number, row)
                try:
                    data = box.spool.read(position)
                except SpoolCorrupt:
                    self.check(not self.harmless, "cannot be read", name)
                    continue
                self.check(data == body(*name), "wrong content", name)
                index = box.spool.clear_index(position)
                self.check(
                    index is not None and index.readings == readings(rows.ns[row]),
                    "wrong clear index", name,
                )  # fmt: skip
                found[name] = position
        return found

    def _losses(self, box: Box, found: dict[Name, Position]) -> None:
        """Each missing record is acknowledged, or in exactly one loss that is said or waits to be."""
        truth = self.truth
        said: Counter[tuple[str, int, int]] = Counter()
        size: dict[tuple[str, int, int], tuple[int, int | None]] = {}
        # That a platform had heard it is known to a box that can read what it noted, and to no other.
        forgot = truth.unreadable or truth.rebuilt or box.state.rebuilt
        sure = found.keys() | (set() if forgot else truth.settled)
        for name, losses in truth.riders.items():
            # What told of a loss and went unheard itself has told nobody.
            if name in found or name in truth.acked:
                for log, first, end, records, count in losses:
                    said[log, first, end] += name in sure
                    size[log, first, end] = (records, count)
        for loss in box.spool.losses():
            key = (loss.account.log, loss.account.first, loss.account.end)
            said[key] += 1
            size[key] = (loss.records, loss.readings)
        twice = [key for key, times in said.items() if times > 1 and key[1] < key[2]]
        self.check(not twice, "a loss said twice", twice)
        told = sum(records for records, _ in size.values())
        missing = truth.kept.keys() - found.keys()
        silent = missing - truth.acked - truth.tail
        # What was tried and is gone, or was acknowledged and forgotten again, may count as lost.
        most = len(missing) + len(truth.tried.keys() - found.keys())
        self.check(
            len(silent) <= told <= most, f"{len(silent)}..{most} records missing, {told} said lost",
            sorted(silent), dict(size),
        )  # fmt: skip
        unknown = any(records == 0 and count is None for records, count in size.values())
        self.check(
            unknown or len(missing - truth.acked) <= told, "missing in silence",
            sorted(missing - truth.acked), dict(size),
        )  # fmt: skip
        counts = [count for _, count in size.values()]
        if len(silent) == most == told and None not in counts:
            due = sum(readings(n) for _, n in missing)
            total = sum(count or 0 for count in counts)
            self.check(due == total, f"{due} readings missing, {total} said lost", dict(size))

    def _order(self, found: dict[Name, Position]) -> None:
        """Room is made by the oldest first, and never by an alarm (which have room enough here)."""
        truth = self.truth
        if truth.unreadable:
            return
        gone = {name: order for name, order in truth.kept.items() if name not in found}
        alarms = [name for name in gone if lane(name[1]) is Lane.ALARM and name not in truth.acked]
        self.check(not alarms, "alarms were given up", alarms)
        if truth.acked or not self.harmless:
            return
        oldest = min((truth.kept[n] for n in found.keys() & truth.kept.keys() if lane(n[1]) is not
                      Lane.ALARM), default=1 << 60)  # fmt: skip
        young = [n for n, order in gone.items() if order > oldest and lane(n[1]) is not Lane.ALARM]
        self.check(not young, "given up before older ones", young)

    def _link(self, box: Box, found: dict[Name, Position]) -> None:
        """What the next start says of the one before: its epoch, and its last committed n."""
        truth = self.truth
        previous, last_n = box.before
        promised = {epoch for epoch, _ in truth.kept}
        maybe = {epoch for epoch, _ in found}  # a commit that was not told may have been the first
        torn = {epoch for epoch, _ in truth.tried}  # or lies there in parts, and counts as a loss
        if truth.rebuilt or box.state.rebuilt:
            if truth.unreadable:
                return
            # What lies in the spool is known for sure; its ledgers may know of more.
            torn |= promised
            promised = set()
        order = {epoch: at for at, epoch in enumerate(truth.epochs)}
        least = max((order[epoch] for epoch in promised | maybe), default=-1)
        if previous is None:
            self.check(least < 0, "no previous epoch", truth.epochs)
            return
        named = order.get(previous, -2) if previous in promised | maybe | torn else -2
        self.check(named >= least, "another previous epoch", previous, truth.epochs)
        unsure = truth.rebuilt or box.state.rebuilt or truth.unreadable
        sure = found if unsure else {*truth.kept, *found}
        low = max((n for epoch, n in sure if epoch == previous), default=-1)
        high = max((n for epoch, n in {*truth.kept, *truth.tried} if epoch == previous), default=-1)
        fine = last_n is not None and low <= last_n <= high
        self.check(fine, f"last n {last_n} of the previous epoch, not {low}..{high}")


def _short(value: object) -> str:
    text = repr(sorted(value, key=repr) if isinstance(value, set | dict) else value)
    return text if len(text) < 600 else text[:600] + " ..."


class Story:
    """Lives in one folder, each with its fault; judged after each."""

    def __init__(self, lives: Server, case: str) -> None:
        self.lives, self.case = lives, case
        self.rng = random.Random(case)
        self.counts = Counts()
        self.quota = self.rng.choice([1 << 20, 1 << 20, 40_000, 24_000])
        self.acked = self.rng.random() < 0.5
        self.harmless = self.rng.random() < 0.55  # kills only
        self.truth = Truth()
        self.plot: list[str] = []

    def run(self) -> Counts:
        with tempfile.TemporaryDirectory(dir=DISK, prefix="headgate-story-") as name:
            home = Path(name)
            folder = home / "box"
            folder.mkdir()
            lives = self.rng.randint(2, 4)
            for number in range(lives):
                last = number + 1 == lives
                if number and not self.harmless and self.rng.random() < 0.25:
                    self._rot(folder)
                if number and not self.harmless and self.rng.random() < 0.25:
                    self._forget(folder)
                if wrong := self._life(home, folder, number, calm=last and self.rng.random() < 0.3):
                    what = "\n".join([*self.plot, *wrong])
                    self.counts.violations.append(Violation(self.case, what))
                    break
        return self.counts

    def _life(self, home: Path, folder: Path, number: int, *, calm: bool) -> list[str]:
        rng, truth = self.rng, self.truth
        terms = Terms(
            rng.getrandbits(40), self.quota, self.acked, rng.randint(4, 14),
            rng.choice(["close", "drop"]),
        )  # fmt: skip
        fault = Fault() if calm else self._fault(folder, number)
        if fault.act == FAIL and fault.classes & READS and (fault.width != 1 or fault.only):
            truth.unreadable += 1
            burst = fault.width != 1 and not fault.only
            truth.tail |= truth.kept.keys() - (set() if burst else truth.noted)
            truth.forgetful = truth.forgetful or fault.width != 1
        told = home / f"told-{number}"
        order = Order(folder)
        hidden = self._hidden(folder, fault)
        status = self.lives.live(folder, told, terms, fault)
        called = told.with_suffix(".call").read_text().strip()
        truth.hear(told)
        if called:
            self.counts.done[KILLS if fault.kills else FAULTS] += 1
        else:
            self.counts.done["quiet lives"] += 1
        if fault.at < 0:
            truth.faults += order.hear(told)
            self.counts.done["calls in order"] += order.calls
        if hidden is not None and not [*folder.rglob(hidden)]:
            truth.faults.append(f"{hidden} could not be read, and is gone")
        self.plot.append(f"life {number}: {fault.said()}: {called}; ended {status} {truth.last}")
        if status not in ((-9,) if fault.kills and called else (0,)):
            truth.faults.append(f"exit status {status}")
        if truth.last == "refused":
            self.counts.done["starts refused by the disk"] += 1
            if fault.kills or not called:
                truth.faults.append("a start was refused on a sound disk")
        return Judge(truth, self.quota, self.harmless).look(folder, home / "copy")

    def _forget(self, folder: Path) -> None:
        """The memory is gone: what is left is what the spool itself says."""
        for path in folder.glob("state.db*"):
            path.unlink()
        self.truth.rebuilt = True
        self.truth.noted.clear()
        self.plot.append("state.db is gone")
        self.counts.done["memories lost"] += 1

    def _rot(self, folder: Path) -> None:
        """A bit of the record that came last, so that the end of its log is in doubt."""
        segments = sorted(folder.rglob("*/[0-9]*.seg"), key=lambda path: path.name)
        # An empty one is what a start that the disk refused has left: nothing in it can rot.
        segments = [
            path for path in segments if path.parent.name != "quarantine" and path.stat().st_size
        ]
        if not segments:
            return
        data = bytearray(segments[-1].read_bytes())
        data[-self.rng.randint(1, min(len(data), 30))] ^= 0x20
        segments[-1].write_bytes(data)
        self.truth.unreadable += 1
        self.plot.append(f"a bit rots at the end of {segments[-1].relative_to(folder)}")
        self.counts.done["rotten ends"] += 1

    def _hidden(self, folder: Path, fault: Fault) -> str | None:
        """A segment that cannot be read in this life and must not vanish by it."""
        if not fault.only.endswith(".seg") or self.quota < 1 << 20 or self.truth.unreadable > 1:
            return None
        return fault.only if [*folder.rglob(fault.only)] else None

    def _fault(self, folder: Path, number: int) -> Fault:
        rng = self.rng
        if rng.random() < 0.12:
            return Fault(at=-1)
        # A first life makes more files; a later one reads more of them. Where nothing comes of a number
        # that is too high, the life is a quiet one.
        at = int(rng.choice([1, rng.randint(1, 40), rng.randint(1, 160), rng.randint(1, 400)]))
        if self.harmless or rng.random() < 0.3:
            act = rng.choice([KILL_BEFORE, KILL_AFTER, KILL_WITHIN])
            return Fault(at, act, classes=rng.choice([CHANGES, CHANGES, BOTH]))
        kind = rng.randrange(10)
        if kind == 0:
            return Fault(at, SHORT, classes=rng.choice([CHANGES, BOTH]), width=rng.randint(1, 6))
        if kind == 1:
            return Fault(at, FAIL, errno.EINTR, BOTH, rng.randint(1, 2))
        if kind in (2, 3, 5, 6) and number:
            names = [*sorted(p.name for p in folder.rglob("*.seg")), "state.db", "ledger"]
            only = rng.choice(names)
            return Fault(rng.randint(1, 4), FAIL, errno.EIO, READS, EVER, only)
        if kind == 7 and number:
            # It had turned read-only when the box was started, as a file system with errors does.
            only = rng.choice(["state.db-shm", "state.db-shm", ""])
            width = rng.choice([1, 2, 5, 30])
            return Fault(rng.randint(1, 8), FAIL, errno.EROFS, CHANGES, width, only)
        if kind == 4:
            return Fault(at, FAIL, errno.EIO, READS, rng.choice([1, 1, 3]))
        error = rng.choice([errno.EIO, errno.ENOSPC, errno.EROFS])
        act = rng.choice([FAIL, FAIL, TORN])
        return Fault(at, act, error, CHANGES, rng.choice([1, 1, 1, 2, 5, 30, EVER]))


def run(seed: int, deadline: float, report: Report) -> None:
    import time

    rng = random.Random(seed)
    pulse = Pulse(report)
    with server() as lives:
        while True:
            counts = attempt(lambda name: Story(lives, name).run(), str(rng.getrandbits(48)))
            for unit, number in counts.done.items():
                pulse.count(unit, number)
            for violation in counts.violations:
                pulse.found(violation.case, violation.what)
            if time.monotonic() >= deadline:
                break
    pulse.tell()


def replay(case: str) -> Counts:
    with server() as lives:
        return attempt(lambda name: Story(lives, name).run(), case)
