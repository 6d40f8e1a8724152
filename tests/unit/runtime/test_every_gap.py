"""Whatever goes wrong, and whoever is started again in between: due = arrived + in gaps, at the platform.

The road without its ends: real poller, writer, press, spool, state and outbox, real receiver and store, and
`headgate verify` as the judge. Line, link and clock belong to the test; time is virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kit.gateway import Gateway
from kit.pki import NOW, Pki
from virtual import FakeChannel, FakeDriver

from headgate.channels import ChannelState
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles
from headgate.envelope.payload import encode_table
from headgate.envelope.receipt import Receipt, Verdict, VerdictCode
from headgate.errors import ChannelTimeout, SpoolError
from headgate.model import Block, Item
from headgate.runtime.batch import Committed
from headgate.runtime.daybook import Daybook
from headgate.runtime.ending import last_sign, note_sign, off_gap, undated_gap
from headgate.runtime.losses import Losses
from headgate.runtime.openings import Openings
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.poller import Poller
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.runtime.timekeeper import Timekeeper
from headgate.runtime.walltrust import WallTrust
from headgate.runtime.writer import Writer
from headgate.sdk import Device
from headgate.spool import Spool, State
from headgate.testing import make_device
from headgate.testing.env import LoopClock, fake_env, run
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink
from headgate_receiver.verify.judge import Verdict as Judgement
from headgate_receiver.verify.judge import judge
from headgate_receiver.verify.stored import open_stored
from headgate_receiver.verify.truth import Truth

ZONE = timezone(timedelta(hours=8))
PROVIDER = default_provider()
S = 1_000_000


class Platform:
    """A receiver and its store."""

    def __init__(self, pki: Pki, path: Path) -> None:
        receipts = pki.issue("receipts", Role.PLATFORM_RECEIPT)
        keys = FileKeys({pki.platform.certificate.fingerprint: pki.platform.key}, receipts.key)
        self.path = path
        self.sink = SqliteSink(path, SystemFiles())
        self.core = Core(PROVIDER, self.sink, keys, [pki.root.certificate], lambda: NOW)

    async def deliver(self, *messages: bytes) -> list[Receipt]:
        self.core.begin()
        for message in messages:
            if message[2:3] == b"\x02":
                await self.core.grant(message, "box")
            else:
                self.core.record(message, "box")
        batch, answers = self.core.end()
        self.sink.commit(batch)
        return [receipt for answer in answers for receipt in self.core.receipts(answer, 1)]

    def judge(self) -> Judgement:
        with closing(open_stored(f"sqlite:{self.path}")) as stored:
            return judge(Truth({}, {}, cut_off=False), stored, late_s=1e9, zone=ZONE)


class Box:
    """A gateway with two devices on one line and one on another, which can be killed."""

    def __init__(self, pki: Pki, folder: Path, **sizes: int) -> None:
        self.pki, self.folder = pki, folder
        self.clock = LoopClock()
        self.env = fake_env(self.clock)
        self.sizes = {"segment_bytes": 4096, "quota_bytes": 1 << 20, "ballast_bytes": 0, **sizes}
        self.silent: set[int] = set()
        self.slow: set[int] = set()
        self.sick = False  # the disk
        self.grants: list[bytes] = []

    # ------------------------------------------------------------ life

    def start(self) -> None:
        env, clock = self.env, self.clock
        self.state = State(env, self.folder / "state.db")
        self.state.open()
        self.spool = Spool(env, self.folder / "spool", **self.sizes)
        found = self.spool.open(self.state.noted())
        boot = clock.boot_id()
        sign = last_sign(self.spool, self.state, boot)
        openings = Openings(self.state)
        trust = WallTrust(self.state)
        undated = undated_gap(sign, boot, trust)
        epoch = self.epoch = env.random.token(8)
        link = self.state.begin_epoch(epoch, (found.epoch, found.last_n))
        self.gateway = Gateway(self.pki, epoch=epoch, key_id=env.random.token(8), boot=boot)
        self.grants.append(self.gateway.grant())
        keyring: Any = SimpleNamespace(current=lambda **_: self.gateway.key, written=lambda: True)
        self.losses = Losses(self.spool)
        store: Any = SimpleNamespace(losses=self.losses.losses, commit=self._commit)
        self.press = SealingPress(env, PROVIDER, keyring, store, Sealing(epoch, boot, *link))
        self.writer = Writer(
            env, self.press, max_loss_s=1.0, record_bytes=2048, limit_bytes=8192,
            on_commit=self._committed,
        )  # fmt: skip
        self.timekeeper = Timekeeper(env, self.writer.put_item, trust)
        self.daybook = Daybook(env, self.writer, ZONE, self.timekeeper.trusted_us)
        self.boxes = Outboxes(self.spool, self.state, epoch)
        self.receipts: dict[bytes, Receipt] = {}
        self.outbox = SpoolOutbox(
            env, self.spool, self.state, "city", epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=self.receipts.__getitem__, say=self.daybook.put_item,
            passed=self.boxes.passed,
        )  # fmt: skip
        self.boxes.add(self.outbox)
        now = clock.boottime_us()
        said: list[Item | None] = [off_gap(sign, boot, now), undated]
        for item in [*said, *openings.unsaid(sign, boot)]:
            if item is not None:
                self.daybook.put_item(item)
        if sign is None:
            note_sign(self.state, now)
        self.openings = openings
        self.timekeeper.start()
        self.poller = Poller(env, self.daybook)
        self.lines = {name: FakeChannel(name) for name in ("c1", "c2")}
        for line in self.lines.values():
            self.poller.add_channel(line)
        for number, line_id in ((1, "c1"), (2, "c1"), (3, "c2")):
            device = make_device(name=f"gauge-{number}", number=number, channel=line_id)
            body = encode_table(device.table)
            device = msgspec.structs.replace(device, table_hash=PROVIDER.sm3(body))
            assert self.state.device_number(device.id) == number
            self.press.learn(device.table_hash, KnownTable(body, len(device.points)))
            self.poller.add(device, FakeDriver(self._answer), None, lambda block: block)
        self.keeping = asyncio.get_running_loop().create_task(self._keep_house())

    async def _answer(self, device: Device) -> Block:
        if device.number in self.silent:
            await asyncio.sleep(0.5)
            raise ChannelTimeout("no answer")
        await asyncio.sleep(1.3 if device.number in self.slow else 0.01)
        return Block(device.number, device.table_hash, self.clock.boottime_us(), None, (b"\0\1",))

    def _commit(self, records: Any) -> Any:
        if self.sick:
            raise SpoolError("no")
        return self.losses.commit(records)

    def _committed(self, committed: Committed) -> None:
        for record in committed.records:
            self.state.committed(record.epoch, record.n)
        for gap in self.losses.told(self.clock.boottime_us(), self.clock.boot_id()):
            self.daybook.missed(gap)
        self.boxes.on_commit(committed.positions)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._note()
            self.state.flush()

    def _note(self) -> None:
        status, now = self.writer.status, self.clock.boottime_us()
        kept_us = status.last_commit_us if status.waiting_bytes else now
        if kept_us is not None:
            note_sign(self.state, kept_us)
            self.openings.note(self.poller.openings(), now, kept_us)
        self.boxes.note()
        self.state.note(self.spool.totals())

    async def _end_tasks(self) -> None:
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)

    async def stop(self) -> None:
        """In order."""
        await self._end_tasks()
        await self.poller.stop()
        await self.timekeeper.stop()
        assert await self.writer.stop(patience_s=60)
        self.boxes.note()
        now = self.clock.boottime_us()
        note_sign(self.state, now)
        self.openings.note((), now, now)
        self.state.note(self.spool.totals())
        self.state.close()
        self.spool.close()

    async def kill(self) -> None:
        """Not one more word reaches the disk."""
        await self._end_tasks()
        self.sick = True
        self.state._database.close()
        for log in self.spool._logs.values():
            log.end_segment()
        assert self.spool._lock is not None
        self.env.files.unlock(self.spool._lock)
        await self.poller.stop()
        await self.timekeeper.stop()
        await self.writer.stop(patience_s=0)
        self.sick = False

    # ------------------------------------------------------------ the link

    async def deliver(
        self, platform: Platform, *, refuse: Callable[[int], bool] = lambda n: False
    ) -> None:
        """Everything that can go, goes."""
        await platform.deliver(*self.grants)
        while True:
            task = asyncio.ensure_future(self.outbox.take(20))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return
            taken = task.result()
            self.outbox.sent(taken)
            refused = [r for r in taken if refuse(r.n) and r.epoch == self.epoch]
            sent = [r for r in taken if r not in refused]
            answers = await platform.deliver(*(r.data for r in sent))
            for record in refused:
                verdict = Verdict(record.n, VerdictCode.REFUSED, "no")
                answers.append(Receipt("box", record.epoch, 1, 0, verdicts=(verdict,)))
            for receipt in answers:
                self.receipts[b"now"] = receipt
                self.outbox.receipt(b"now")


Fault = Callable[[Box, Platform], Awaitable[None]]


async def silent(box: Box, platform: Platform) -> None:
    box.silent = {2}
    await asyncio.sleep(45)


async def line_down(box: Box, platform: Platform) -> None:
    box.lines["c1"].set(ChannelState.DOWN)
    await asyncio.sleep(30)
    box.lines["c1"].set(ChannelState.UP)


async def overrun(box: Box, platform: Platform) -> None:
    box.slow = {3}
    await asyncio.sleep(30)
    box.slow = set()


async def disk_slow(box: Box, platform: Platform) -> None:
    box.sick = True
    await asyncio.sleep(60)
    box.sick = False
    await asyncio.sleep(10)


async def off(box: Box, platform: Platform) -> None:
    await box.kill()
    await asyncio.sleep(25)
    box.start()


async def quota(box: Box, platform: Platform) -> None:
    await asyncio.sleep(120)  # nobody fetches anything


async def corrupt(box: Box, platform: Platform) -> None:
    await asyncio.sleep(10)
    await box.kill()
    segments = sorted((box.folder / "spool" / "data").glob("*.seg"))
    data = bytearray(segments[1].read_bytes())
    for at in range(len(data) // 2, len(data), 40):
        data[at] ^= 0xFF
    segments[1].write_bytes(data)
    box.start()


async def refused(box: Box, platform: Platform) -> None:
    await asyncio.sleep(10)
    await box.deliver(platform, refuse=lambda n: n % 5 == 3)
    await asyncio.sleep(4)


async def unsynced(box: Box, platform: Platform) -> None:
    await asyncio.sleep(20)
    await box.kill()
    box.clock.boot = b"another boot...."
    box.clock.now_us -= 500 * S  # boottime begins anew
    box.start()


FAULTS: dict[str, tuple[Fault, dict[str, int]]] = {
    "device-quarantined": (silent, {}),
    "line-down": (line_down, {}),
    "overrun": (overrun, {}),
    "disk-slow": (disk_slow, {}),
    "gateway-off": (off, {}),
    "quota": (quota, {"quota_bytes": 32768}),
    "corrupt": (corrupt, {}),
    "refused": (refused, {}),
    "clock-unknown": (unsynced, {}),
}


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(PROVIDER)


#: Killed after each fault; stopped, and left alone, after those where that is another story.
STORIES = [
    *((reason, "kill") for reason in FAULTS),
    *((reason, "stop") for reason in ("device-quarantined", "disk-slow", "quota")),
    *((reason, "none") for reason in ("overrun", "refused")),
]


@pytest.mark.parametrize(("reason", "restart"), STORIES)
def test_every_look_that_was_due_arrived_or_is_in_a_gap(
    pki: Pki, tmp_path: Path, reason: str, restart: str
) -> None:
    fault, sizes = FAULTS[reason]

    async def main() -> Judgement:
        platform = Platform(pki, tmp_path / "store.db")
        (tmp_path / "box").mkdir()
        box = Box(pki, tmp_path / "box", **sizes)
        if reason == "clock-unknown":
            box.clock.state = ("unsynced", None)
        box.start()
        await asyncio.sleep(15)
        await fault(box, platform)
        if restart == "kill":
            await box.kill()
        elif restart == "stop":
            await box.stop()
        if restart != "none":
            await asyncio.sleep(12)
            box.start()
        await asyncio.sleep(20)
        box.silent = set()
        await asyncio.sleep(20)
        await box.deliver(platform)
        await asyncio.sleep(3)
        await box.stop()
        box.start()
        await asyncio.sleep(3)
        await box.stop()
        box.start()
        await box.deliver(platform)
        await box.stop()
        found = platform.judge()
        platform.sink.close()
        return found

    found = run(main)
    counts = found.counts
    assert {gap.reason for gap in found.gaps} >= {reason}
    assert (counts["unaccounted"], counts["counted_twice"], counts["unplanned"]) == (0, 0, 0), (
        found.examples
    )
    assert counts["due"] == counts["arrived"] + counts["in_gaps"]
    assert counts["arrived"] > 100
