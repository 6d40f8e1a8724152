"""The spool against a model of it: any order of commits, faults, crashes, rot, settling and restarts."""

from __future__ import annotations

import errno
import random
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from recorded_files import RecordedFiles
from workload import open_spool, record, survey

from headgate.errors import SpoolError


class SpoolMachine(RuleBasedStateMachine):
    """`promised` maps every record that must be readable or be said to be lost."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files = RecordedFiles(self.fault)
        self.countdown, self.width = -1, 0
        self.promised: set[tuple[bytes, int]] = set()
        self.maybe: set[tuple[bytes, int]] = set()
        self.said = 0
        self.begin()

    def fault(self, call: str, path: Path) -> None:
        self.countdown -= 1
        if -self.width < self.countdown <= 0:
            raise OSError(errno.EIO, "injected", str(path))

    def begin(self) -> None:
        self.files.fault = self.fault
        self.files.locks.clear()
        self.spool = open_spool(self.files, self.rng.randrange(1 << 30))
        self.spool.open()
        self.epoch = self.rng.randbytes(8)
        self.n = 0

    @rule(
        count=st.integers(1, 9),
        fails=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 6]),
        width=st.integers(1, 9),
    )
    def commit(self, count: int, fails: int, width: int) -> None:
        losses = self.spool.losses()
        batch = [
            record(self.epoch, self.n + i, self.rng, accounts=losses if i == 0 else ())
            for i in range(count)
        ]
        self.n += count
        names = {(one.epoch, one.n) for one in batch}
        self.countdown, self.width = fails, width if fails else 0
        try:
            self.spool.commit(batch)
        except SpoolError:
            self.maybe |= names
            # The writer offers the same records again until they are taken.
            self.width = 0
            self.spool.commit(batch)
        self.width = 0
        self.promised |= names
        self.maybe -= names
        self.said += sum(loss.records for loss in losses)

    @rule()
    def crash(self) -> None:
        self.files = self.files.cut(self.rng, self.files.op)
        self.begin()

    @rule()
    def stop_and_start(self) -> None:
        self.spool.close()
        self.begin()

    @rule(place=st.floats(0, 1, exclude_max=True))
    def rot(self, place: float) -> None:
        """One byte of what is stored, with the place of the log known from a clean stop."""
        noted = self.spool.totals()
        self.spool.close()
        paths = sorted(
            path
            for path in self.files.entries
            if path.suffix == ".seg" and "quarantine" not in path.parts
        )
        if paths:
            inode = self.files.entries[self.rng.choice(paths)]
            inode.rot(lambda data: data.__setitem__(at := int(place * len(data)), data[at] ^ 0x10))
        self.begin_noted(noted)

    def begin_noted(self, noted: object) -> None:
        self.files.locks.clear()
        self.spool = open_spool(self.files, self.rng.randrange(1 << 30))
        self.spool.open(noted)  # type: ignore[arg-type]
        self.epoch = self.rng.randbytes(8)
        self.n = 0

    @invariant()
    def every_promise_is_kept_or_its_loss_is_said(self) -> None:
        if not hasattr(self, "spool"):
            return
        found = survey(self.spool)
        missing = len(self.promised - found.positions.keys())
        told = self.said + sum(loss.records for loss in self.spool.losses())
        assert missing <= told
        extra = found.positions.keys() - self.promised
        assert extra <= self.maybe


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
