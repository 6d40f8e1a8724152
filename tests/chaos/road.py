"""Gateways and a platform on one loop, with a broker between them that a test may spoil; and their judge.

Everything on the road is the product's own (spool, state, outbox, uplink, receiver, store); what is
between the two ends is not. A gate can be killed and started again, as a process would be: what it had
not flushed is forgotten.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from kit.gateway import BOOT, Gateway, Gauge
from kit.pki import NOW, Pki

import headgate_receiver.service
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import (
    Receipt,
    encode_body,
    join_receipt,
    verify_receipt,
)
from headgate.model import Gap, Item, Lane
from headgate.mqtt import Settings
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.terms import Pace
from headgate.sdk import UplinkContext
from headgate.spool import ClearIndex, SealedRecord, Spool, State
from headgate.spool.remembered import Grant
from headgate_plugins.mqtt import MqttUplink
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.service import Receiver
from headgate_receiver.sqlite import SqliteSink
from headgate_receiver.store import Batch, StoreError

#: Everything that waits for seconds in the field waits for tenths here.
PACE = Pace(receipt_s=0.4, receipt_longest_s=0.8, hurry_s=0.1)
OPTIONS = {
    "reconnect_min_s": 0.01, "reconnect_max_s": 0.1, "receipt_timeout": "400ms", "timeout_s": 0.8,
    "keepalive_s": 1,
}  # fmt: skip


class Platform:
    """The receiver and its store."""

    def __init__(self, pki: Pki, path: Path) -> None:
        self.pki, self.path = pki, path
        self.receipt_key = pki.issue("receipts", Role.PLATFORM_RECEIPT).key
        certificate = pki.platform.certificate
        self._keys = FileKeys({certificate.fingerprint: pki.platform.key}, self.receipt_key)

    def start(self, port: int) -> None:
        """Receive from the broker on this port until `stop`."""
        headgate_receiver.service._LONGEST_WAIT_S = 0.3  # type: ignore[misc]
        env = system_env()
        self._port = port
        self.sink = SqliteSink(self.path, env.files)
        anchors = [self.pki.root.certificate]
        core = Core(self.pki.provider, self.sink, self._keys, anchors, lambda: NOW)
        broker = Settings(
            host="127.0.0.1", port=port, identifier="receiver", session_s=3600, timeout_s=0.8,
            keepalive_s=1,
        )  # fmt: skip
        self.receiver = Receiver(env, core, self.sink, self._keys, broker, resend_after_s=0.5)
        self._task = asyncio.create_task(self.receiver.run())

    async def stop(self) -> None:
        """As kill -9 does: a turn that is not committed is forgotten."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.sink.close()

    async def restart(self) -> None:
        """Killed, and started again."""
        await self.stop()
        self.start(self._port)

    def refuse(self, times: int) -> None:
        """The store's next commits fail, as on a full disk."""
        sink, real, left = self.sink, type(self.sink).commit, times

        def commit(batch: Batch) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise StoreError("disk I/O error", code="HG-7011")
            real(sink, batch)

        sink.commit = commit  # type: ignore[method-assign]

    def rows(self, query: str) -> list[Any]:
        """What the store holds."""
        with closing(sqlite3.connect(self.path)) as store:
            return store.execute(query).fetchall()


class Gate:
    """A gateway from its spool to its broker. `truth` is every look that was promised durable."""

    def __init__(self, folder: Path, pki: Pki, platform: Platform, number: int, url: str) -> None:
        folder.mkdir()
        self._folder, self._pki, self._platform, self._url = folder, pki, platform, url
        self._identity = pki.issue(f"gate-{number}", Role.GATEWAY)
        self._number = number
        self.lives = 0
        self.truth: dict[int, int] = {}
        self.told: list[Item] = []
        #: Records that no platform can take, by name.
        self.bad: set[tuple[bytes, int]] = set()
        self.epochs: dict[bytes, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._noting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Another life."""
        self.lives += 1
        env = system_env()
        name = b"e%d-%05d" % (self._number, self.lives)
        self.gateway = Gateway(
            self._pki, epoch=name, key_id=b"k" + name[1:], identity=self._identity
        )
        gateway, folder = self.gateway, self._folder
        self.gauge = Gauge(self._pki, self._number)
        self.state = State(env, folder / "state.db")
        self.state.open()
        self.spool = Spool(env, folder / "spool", segment_bytes=16_384, ballast_bytes=4096)
        found = self.spool.open(self.state.noted())
        before = self.state.begin_epoch(gateway.epoch, (found.epoch, found.last_n))
        key_id = gateway.key.key_id
        self.state.keep_grant(
            Grant(key_id, gateway.epoch, gateway.core.raw, None, gateway.grant(), self.lives)
        )
        assert self.state.flush()
        self.boxes = Outboxes(self.spool, self.state, gateway.epoch)
        key = self._platform.receipt_key.public
        self.outbox = SpoolOutbox(
            env, self.spool, self.state, "city", gateway.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=lambda data: verify_receipt(data, key, gateway.id),
            say=self._say, passed=self.boxes.passed, pace=PACE,
        )  # fmt: skip
        self.boxes.add(self.outbox)
        self._commit(gateway.link(*before), gateway.record(announce=[self.gauge.body]))
        context = UplinkContext("city", gateway.id, {**OPTIONS, "url": self._url})
        self._task = asyncio.create_task(MqttUplink(context).run(self.outbox))
        self._noting = asyncio.create_task(self._note())

    def _say(self, item: Item) -> None:
        # A gap about a refusal goes up itself, in a record of its own.
        self.told.append(item)
        assert isinstance(item, Gap)
        self._commit(self.gateway.record(item))

    async def _note(self) -> None:
        while True:
            await asyncio.sleep(0.15)
            self.note()

    def note(self) -> None:
        """What the app does each second."""
        self.state.note(self.spool.totals())
        self.boxes.note()
        self.state.flush()

    async def stop(self) -> None:
        """As kill -9 does: what was not flushed is forgotten."""
        for task in (self._task, self._noting):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._task = self._noting = None
        self.state._disconnect()
        self.spool.close()

    def look(self, count: int) -> None:
        """So many looks at the gauge, each in a record of its own."""
        for _ in range(count):
            at = len(self.truth) + 1
            level = at * 7919 % 65_000
            self._commit(self.gateway.record(self.gauge.block(at, level)))
            self.truth[at] = level

    def spoil(self) -> None:
        """A record whose seal is right and whose content is none: it will be refused for good."""
        self.bad.add((self.gateway.epoch, self.gateway.n))
        self._commit(self.gateway.seal(b"no payload"))

    def forged(self) -> bytes:
        """A receipt for everything, by somebody else's key."""
        body = encode_body(Receipt(self.gateway.id, self.gateway.epoch, 1, self.gateway.n))
        return join_receipt(body, self._identity.key.sign(body))

    def _commit(self, *made: bytes) -> None:
        gateway, index = self.gateway, ClearIndex(1, 0, 0, BOOT)
        first = gateway.n - len(made)
        records = [
            SealedRecord(gateway.epoch, n, gateway.key.key_id, Lane.LIVE, data, index)
            for n, data in enumerate(made, first)
        ]
        positions = self.spool.commit(records)
        self.state.committed(gateway.epoch, gateway.n - 1)
        self.epochs[gateway.epoch] = gateway.n
        self.boxes.on_commit(positions)

    @property
    def left(self) -> int:
        """Records that are not settled."""
        status = self.outbox.status()
        return sum(depth.records for depth in (status.alarm, status.live, status.history))

    @property
    def dead(self) -> str:
        """Why delivery ended, if it did."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return ""
        return repr(self._task.exception())


def judge(platform: Platform, gates: list[Gate]) -> list[str]:
    """What is wrong with the store, compared with what the gates promised: nothing, if all is well."""
    wrong: list[str] = []
    for gate in gates:
        name = gate.gateway.id
        rows = platform.rows(
            "SELECT at_us, value FROM readings WHERE point = 'level' AND gateway = "
            f"'{name}' ORDER BY at_us"
        )
        times = Counter(at for at, _ in rows)
        for what, which in {
            "lost": gate.truth.keys() - times.keys(),
            "doubled": {at for at, count in times.items() if count > 1},
            "from nowhere": times.keys() - gate.truth.keys(),
            "altered": {
                at
                for at, value in rows
                if at in gate.truth and round((value - 3.5) * 1000) != gate.truth[at]
            },
        }.items():
            if which:
                wrong.append(f"{name}: {what}: {sorted(which)[:20]} of {len(gate.truth)}")
        if len(gate.told) < len(gate.bad) or (gate.lives == 1 and len(gate.told) > len(gate.bad)):
            wrong.append(f"{name}: {len(gate.bad)} records refused, told: {gate.told}")
        if gate.dead:
            wrong.append(f"{name}: delivery ended: {gate.dead}")
        ranges = platform.rows(
            f"SELECT epoch, first, last FROM stored_ranges WHERE gateway = '{name}'"
        )
        for epoch, count in gate.epochs.items():
            due = RangeSet([(0, count - 1)])
            for _, n in (each for each in gate.bad if each[0] == epoch):
                due.discard(n, n)
            have = [(first, last) for of, first, last in ranges if of == epoch]
            if sorted(have) != list(due.ranges()):
                wrong.append(f"{name}: stored {have} of {epoch!r}, not {list(due.ranges())}")
        forks = platform.rows("SELECT text FROM alarms WHERE code = 'epoch-fork'")
        if forks:
            wrong.append(f"a fork where none was: {forks}")
    return wrong
