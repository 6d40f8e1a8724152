"""The storage side of a gateway over a real folder: what it seals lies in a spool and goes out by receipt.

`Station` can be stopped, killed, copied (a clone, a backup) and started again; `Wire` carries what it
sends to any number of platforms, which answer as the receiver does.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from kit.gateway import BOOT, Gateway, Gauge
from kit.pki import Pki

from headgate.env import Env, SystemFiles, SystemNet, SystemRandom
from headgate.envelope.payload import decode_table
from headgate.envelope.receipt import Receipt
from headgate.model import EpochLink, Item, Lane
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.spool import ClearIndex, SealedRecord, Spool, State
from headgate.spool.remembered import Grant
from headgate.testing.env import InlineExecutor, ManualClock

Deliver = Callable[..., Awaitable[list[Receipt]]]


class Station:
    """A gateway without its field side. Every start draws an epoch, as a gateway does."""

    def __init__(self, pki: Pki, gauge: Gauge, folder: Path, **sizes: int) -> None:
        self.pki, self.gauge, self.folder = pki, gauge, folder
        self.clock = ManualClock()
        self.clock.boot = BOOT
        self.env = Env(
            self.clock, SystemRandom(), SystemFiles(), SystemNet(), lambda name: InlineExecutor()
        )
        self.sizes = {"segment_bytes": 8192, "quota_bytes": 1 << 20, "ballast_bytes": 4096, **sizes}
        self.up = False

    def start(self) -> None:
        """As a process start does."""
        self.state = State(self.env, self.folder / "state.db")
        self.folder.mkdir(exist_ok=True)
        self.state.open()
        self.spool = Spool(self.env, self.folder / "spool", **self.sizes)
        found = self.spool.open(self.state.noted())
        self.epoch = self.env.random.token(8)
        self.link = self.state.begin_epoch(self.epoch, (found.epoch, found.last_n))
        key_id = self.env.random.token(8)
        self.gateway = Gateway(self.pki, epoch=self.epoch, key_id=key_id)
        self.state.keep_grant(
            Grant(key_id, self.epoch, b"core", None, self.gateway.grant(), len(self.state.grants()))
        )
        self.state.keep_table(self.gauge.name, self.gauge.body, self.epoch)
        self.boxes = Outboxes(self.spool, self.state, self.epoch)
        self.receipts: dict[bytes, Receipt] = {}
        self.said: list[Item] = []
        self.wanted: list[bytes] = []
        self.outbox = SpoolOutbox(
            self.env, self.spool, self.state, "city", self.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=self.receipts.__getitem__, say=lambda item: self.said.append(item),
            need_table=lambda digest: self.wanted.append(digest), passed=self.boxes.passed,
        )  # fmt: skip
        self.boxes.add(self.outbox)
        self.up = True
        self.announced = False
        self.commit()

    def commit(self, *items: Item, lane: Lane = Lane.LIVE, looks: int = 0) -> None:
        """One record of these items and so many looks, on disk when this returns."""
        self.clock.advance(1.0)
        at = self.clock.now_us
        first = [EpochLink(*self.link, BOOT, at)] if self.gateway.n == 0 else []
        said, self.said = self.said, []
        wanted, self.wanted = self.wanted, []
        blocks = [self.gauge.block(at + i, slot=i) for i in range(looks)]
        bodies = [self.gauge.body] if (blocks and not self.announced) or wanted else []
        assert all(decode_table(body) for body in bodies)
        self.announced = self.announced or bool(bodies)
        n = self.gateway.n
        data = self.gateway.record(*first, *said, *items, *blocks, announce=bodies)
        index = ClearIndex(2 * looks, at, at, BOOT, ((1, 2 * looks),) if looks else ())
        record = SealedRecord(self.epoch, n, self.gateway.key.key_id, lane, data, index)
        self.boxes.on_commit(self.spool.commit([record]))
        self.state.committed(self.epoch, n)

    async def ready(self, limit: int = 10) -> Sequence[tuple[bytes, int, bytes]]:
        """What goes out now: (epoch, n, bytes)."""
        task = asyncio.ensure_future(self.outbox.take(limit))
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return []
        taken = task.result()
        self.outbox.sent(taken)
        return [(r.epoch, r.n, r.data) for r in taken]

    def hear(self, receipt: Receipt) -> list[bytes]:
        """A receipt that is signed as it should be; the grants that it asks for."""
        name = b"receipt %d" % len(self.receipts)
        self.receipts[name] = receipt
        told = self.outbox.receipt(name)
        found = [self.outbox.grant(key_id) for key_id in told.need_grants]
        return [message for message in found if message is not None]

    def keep_house(self) -> None:
        """What a gateway does once a second."""
        self.boxes.note()
        self.state.note(self.spool.totals())
        self.state.flush()

    def stop(self) -> None:
        self.keep_house()
        self.state.close()
        self.spool.close()
        self.up = False

    def copy(self, folder: Path) -> Path:
        """The state folder as it lies there now, in another place: a backup, or the card of a clone."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        (folder / "spool" / "lock").unlink(missing_ok=True)
        return folder

    def restore(self, folder: Path) -> None:
        """Put a backup back in place of the state folder."""
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder)


async def carry(station: Station, *platforms: Deliver, turns: int = 200) -> int:
    """Send until nothing is left; every platform sees every message and each one's receipts come back."""
    carried = 0
    for _, grant in station.outbox.grants():
        for deliver in platforms:
            await deliver(grant)
    for _ in range(turns):
        if station.wanted:
            station.commit()
        sent = await station.ready()
        if not sent:
            return carried
        carried += len(sent)
        for deliver in platforms:
            for receipt in await deliver(*(data for _, _, data in sent)):
                for grant in station.hear(receipt):
                    for again in await deliver(grant):
                        station.hear(again)
    raise AssertionError("it goes round in circles")
