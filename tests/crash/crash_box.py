"""The storage side of a gateway, put together as `headgate.app` does it, on any disk.

Real press, keys, state, spool and outboxes; only the line, the link and the clock belong to the test. What
it does is told to a `Book`, so that a judge knows later what was promised to whom by when.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from promises import Book, Name

from headgate.config.identity import Identity as IdentityTable
from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.envelope.payload import encode_table
from headgate.errors import SpoolError
from headgate.model import Block, Item, Lane, Point, PointTable
from headgate.runtime.batch import Batch, Committed
from headgate.runtime.ending import note_sign
from headgate.runtime.identity import load_identity
from headgate.runtime.insight import Insight
from headgate.runtime.keyring import Keyring
from headgate.runtime.learned import Learned, Learnings
from headgate.runtime.outbox import REFUSED, SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.sdk import StoredRecord
from headgate.spool import Position, SealedRecord, Spool, State
from headgate.testing.env import ManualClock, fake_env

STATE = Path("/var/lib/headgate")
SIGNER = default_provider().sm2_generate()
PEM = SIGNER.pem()


class OneKey:
    """The provider, but every new signing key is the same: a replay then makes the same bytes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(default_provider(), name)

    def sm2_generate(self) -> Any:
        return SIGNER

    def sm2_load_private(self, pem: bytes) -> Any:
        return SIGNER if pem == PEM else default_provider().sm2_load_private(pem)


PROVIDER: CryptoProvider = OneKey()  # type: ignore[assignment]


@dataclass(frozen=True)
class Shape:
    """What is fixed for all starts of one box."""

    segment_bytes: int = 4096
    quota_bytes: int = 1 << 20
    alarm_bytes: int = 1 << 18
    uplinks: tuple[str, ...] = ("city",)
    devices: int = 6
    held_bytes: int = 0


class Verdict(msgspec.Struct):
    n: int
    code: int
    detail: str


class Receipt(msgspec.Struct):
    """What a signed receipt says once its signature was checked."""

    epoch: bytes
    stored: tuple[tuple[int, int], ...] = ()
    serial: int = 1
    floor: int = 0
    verdicts: tuple[Verdict, ...] = ()
    resend: tuple[tuple[int, int], ...] = ()
    retire: tuple[bytes, ...] = ()


class CrashBox:
    """One start. `files` is any `headgate.env.Files`; `op` tells how many operations it has done."""

    def __init__(
        self, files: Any, shape: Shape, book: Book, seed: int, op: Callable[[], int]
    ) -> None:
        self.shape, self.book, self.op = shape, book, op
        self.files = files
        self.clock = ManualClock()
        self.clock.now_us = max(self.clock.now_us, book.now_us + 1)
        env = self.env = fake_env(self.clock, files=files, seed=seed)
        files.make_folder(STATE, 0o750)
        self.spool = Spool(
            env, STATE / "spool", segment_bytes=shape.segment_bytes, quota_bytes=shape.quota_bytes,
            alarm_bytes=shape.alarm_bytes, ballast_bytes=4096,
            held_bytes=shape.held_bytes,
        )  # fmt: skip
        self.state = State(env, STATE / "state.db")
        self.state.open()
        self.recovered = self.spool.open(self.state.noted())
        known = {each.epoch: each.last_n for each in self.state.epochs()}
        self.state.number_above(self.spool.highest_device(known))
        site: Any = SimpleNamespace(
            state_folder=STATE, base="/", gateway=SimpleNamespace(id="box"),
            identity=IdentityTable(),
        )  # fmt: skip
        self.identity = load_identity(env, site, PROVIDER)
        self.epoch = env.random.token(8)
        self.link = self.state.begin_epoch(
            self.epoch, (self.recovered.epoch, self.recovered.last_n)
        )
        self.keyring = Keyring(env, PROVIDER, self.identity, self.state, self.epoch)
        sealing = Sealing(self.epoch, self.clock.boot, *self.link)
        ring = self.spool if shape.held_bytes else None
        self.press = SealingPress(env, PROVIDER, self.keyring, self.spool, sealing, ring)
        timekeeper: Any = SimpleNamespace(fix=SimpleNamespace(boot=None))
        self.insight = Insight(PROVIDER, self.keyring, self.state, timekeeper)
        self.learnings = Learnings(files, STATE / "identities.json")
        self.learnings.load()
        self.boxes = Outboxes(self.spool, self.state, self.epoch)
        self.outboxes: dict[str, SpoolOutbox] = {}
        self._receipts: dict[bytes, Receipt] = {}
        self.unsaid: list[Item] = []
        for uplink in shape.uplinks:
            outbox = SpoolOutbox(
                env, self.spool, self.state, uplink, self.epoch, insight=self.insight,
                verify_receipt=self._receipts.__getitem__, say=self.unsaid.append,
                passed=self.boxes.passed,
            )  # fmt: skip
            self.boxes.add(outbox)
            self.outboxes[uplink] = outbox
        self.tables: dict[str, bytes] = {}
        self.waiting: list[Batch] = []
        self._held: list[SealedRecord] = []
        self.ended = False

    # ------------------------------------------------------------ a reading's way in

    def device(self, name: str) -> tuple[int, bytes]:
        """Number and table of a device; a new number is durable before it is used, as in the gateway."""
        number = self.state.device_number(name)
        if name not in self.tables:
            table = PointTable(number, name, tuple(Point(f"p{i}", "u32") for i in range(3)))
            data = encode_table(table)
            digest = PROVIDER.sm3(data)
            self.press.learn(digest, KnownTable(data, len(table.points)))
            self.state.keep_table(digest, data, self.epoch)
            self.tables[name] = digest
        return number, self.tables[name]

    def commit(self, rng: random.Random, size: int) -> bool:
        """Some blocks, perhaps an alarm, through the press; whether the disk took them."""
        names = [f"gauge-{rng.randrange(self.shape.devices)}" for _ in range(size)]
        new = [name for name in names if name not in self.tables]
        known = {name: self.device(name) for name in names}
        self.book.numbers.update({known[name][0]: name for name in names})
        if new:
            self.flush()  # what it says is not asked: readings come first
        live, alarm = Batch(Lane.LIVE), Batch(Lane.ALARM)
        for name in names:
            self.clock.advance(0.01)
            number, table = known[name]
            now = self.clock.now_us
            columns = (rng.randbytes(12),)
            live.add(Block(number, table, now, None, columns), 20)
        if rng.random() < 0.3:
            number, table = known[names[0]]
            alarm.add(Block(number, table, self.clock.now_us, None, (rng.randbytes(12),)), 20)
        for item in self.unsaid:
            live.add(item, 20)
        said, self.unsaid[:] = list(self.unsaid), []
        self.book.gaps_ride(live, said)
        self.waiting += [batch for batch in (alarm, live) if batch.items]
        return self.commit_waiting()

    def commit_waiting(self) -> bool:
        """Everything that waits, also what was refused before: sealed once."""
        batches, self.waiting = self.waiting, []
        if not batches:
            return True
        losses = {loss.account: loss for loss in self.spool.losses()}
        self.book.know(losses.values(), self.op())
        try:
            committed = self.press.commit(batches)
        except SpoolError:
            self.waiting = batches
            self.book.attempted(batches, self.op())
            return False
        self.book.attempted(batches, self.op())
        if committed.refusal is None:
            self.book.promised(committed.records, committed.positions, self.spool, self.op())
        else:
            self._held += committed.records
        self._promise_held()
        self._on_commit(committed)
        self.book.know(self.spool.losses(), self.op())
        return committed.refusal is None

    def _on_commit(self, committed: Committed) -> None:
        if committed.refusal is None:
            for record in committed.records:
                self.state.committed(record.epoch, record.n)
        self.boxes.on_commit(committed.positions)

    def _promise_held(self) -> None:
        """What was held in memory, and was not given up there for room, is durable once nothing is held."""
        if not self._held or self.spool.holding:
            return
        held = {(record.epoch, record.n): record for record in self._held}
        self._held = []
        for rows in self.spool.segments():
            for row in rows.alive():
                record = held.get((rows.epoch(row), rows.ns[row]))
                if record is not None:
                    place = Position(rows.log, rows.number, row)
                    self.book.promised([record], [place], self.spool, self.op())

    # ------------------------------------------------------------ the platform's side

    def offered(self, uplink: str, most: int = 1 << 30) -> list[StoredRecord]:
        """What an uplink is offered now, until it would have to wait."""
        outbox = self.outboxes[uplink]
        found: list[StoredRecord] = []
        while len(found) < most:
            records = outbox._ready(min(64, most - len(found)))
            if not records:
                break
            outbox.sent(records)
            found += records
        return found

    def receipt(self, uplink: str, names: Sequence[Name], refused: Sequence[Name] = ()) -> None:
        """A receipt for these, and a refusal of those."""
        for epoch in {epoch for epoch, _ in (*names, *refused)}:
            stored = tuple((n, n) for e, n in names if e == epoch)
            verdicts = tuple(Verdict(n, REFUSED, "no") for e, n in refused if e == epoch)
            self._receipts[b"now"] = Receipt(epoch, stored, verdicts=verdicts)
            before = len(self.unsaid)
            self.outboxes[uplink].receipt(b"now")
            self.book.refused_now(uplink, epoch, verdicts, self.unsaid[before:], self.op())
        self.book.acknowledged(uplink, names, self.op())

    # ------------------------------------------------------------ housekeeping

    def keep_house(self, *, now: bool = False) -> bool:
        """The once-a-second round; the last one asks the disk, however it refused before."""
        if not self.spool.holding:
            note_sign(self.state, self.clock.now_us)
        self.boxes.note()
        self.state.note(self.spool.totals())
        took = self.flush(noted=True)
        with suppress(SpoolError):
            self.press.come_back(now=now)
        self._promise_held()
        return took

    def flush(self, *, noted: bool = False) -> bool:
        """Make the state durable; only what a flush says counts as promised."""
        took = self.state.flush()
        if took:
            self.book.flushed(self, self.op(), noted=noted)
        return took

    def learn(self, device: str, firmware: str) -> None:
        """A device said who it is."""
        self.learnings.learn(device, Learned(firmware, "profile", "place"))
        before = self.files.raised
        self.learnings.save()
        sure = self.files.raised == before
        self.book.learned(dict(self.learnings._known), self.op(), sure=sure)

    def know_losses(self) -> None:
        """Tell the book what the spool says is lost."""
        self.book.know(self.spool.losses(), self.op())

    # ------------------------------------------------------------ ends

    def stop(self) -> None:
        """A clean stop."""
        self.commit_waiting()
        self.keep_house(now=True)
        self.boxes.note()
        self.state.note(self.spool.totals())
        self.flush(noted=True)
        self.state.close()
        self.spool.close()
        self.book.now_us = self.clock.now_us
        self.ended = True

    def die(self) -> None:
        """As a power cut or a kill: nothing is finished. The descriptors go, that is all."""
        self.book.now_us = max(self.book.now_us, self.clock.now_us)
        if not self.ended:
            power_off = getattr(self.files, "power_off", None)
            if power_off is not None:
                power_off()
            self.state._disconnect()
            self.ended = True
