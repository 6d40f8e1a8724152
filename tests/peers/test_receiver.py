"""The receiver behind a real broker: killed, wiped, lied to, with gateways that do not know."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import NOW, Pki
from peers.mosquitto import Mosquitto

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import Receipt, VerdictCode, verify_receipt
from headgate.mqtt import Link, Settings, connect
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.keyservice.client import RemoteKeys
from headgate_receiver.keyservice.server import KeyService
from headgate_receiver.service import Receiver
from headgate_receiver.sqlite import SqliteSink

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(20)]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(default_provider())


class Platform:
    """A receiver on a store file; started and stopped like a program."""

    def __init__(self, pki: Pki, path: Path) -> None:
        self.pki, self.path = pki, path
        self.receipt_key = pki.issue("receipts", Role.PLATFORM_RECEIPT).key
        self.keys = FileKeys(
            {pki.platform.certificate.fingerprint: pki.platform.key}, self.receipt_key
        )

    @asynccontextmanager
    async def running(self, broker: Mosquitto) -> AsyncIterator[Receiver]:
        env = system_env()
        sink = SqliteSink(self.path, env.files)
        core = Core(self.pki.provider, sink, self.keys, [self.pki.root.certificate], lambda: NOW)
        settings = Settings(
            host="127.0.0.1", port=broker.port, identifier="receiver", session_s=3600
        )
        receiver = Receiver(env, core, sink, self.keys, settings)
        task = asyncio.create_task(receiver.run())
        await receiver.connected.wait()
        try:
            yield receiver
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            sink.close()

    def rows(self, query: str) -> list[Any]:
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def wipe(self) -> None:
        for tail in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + tail).unlink(missing_ok=True)


class Sender:
    """The gateway's end: publishes what is unsettled until receipts have named everything."""

    def __init__(self, gateway: Gateway, link: Link, platform: Platform) -> None:
        self.gateway, self.link = gateway, link
        self._key = platform.receipt_key.public
        self.grants = {gateway.key.key_id: gateway.grant()}
        self.records: dict[int, bytes] = {}
        self.settled = RangeSet()
        self.receipts: list[Receipt] = []

    def topic(self, name: str) -> str:
        return f"headgate/v1/{self.gateway.id}/up/{name}"

    async def deliver(self, mangle: Callable[[int, bytes], list[bytes]] | None = None) -> None:
        """Send all that is not settled and answer what is asked, until nothing is left."""
        await self.link.subscribe(f"headgate/v1/{self.gateway.id}/down/#")
        await self._send(mangle)
        async for message in self.link.messages():
            receipt = verify_receipt(message.payload, self._key, self.gateway.id)
            self.receipts.append(receipt)
            if receipt.floor:
                self.settled.add(0, receipt.floor - 1)
            for first, last in receipt.stored:
                self.settled.add(first, last)
            for verdict in receipt.verdicts:
                assert verdict.code != VerdictCode.REFUSED, verdict
                if verdict.code == VerdictCode.NEED_GRANT:
                    assert isinstance(verdict.detail, bytes)
                    await self.link.publish(self.topic("grant"), self.grants[verdict.detail])
                elif verdict.n in self.records:
                    await self.link.publish(self.topic("record"), self.records[verdict.n])
            if all(n in self.settled for n in self.records):
                return

    async def _send(self, mangle: Callable[[int, bytes], list[bytes]] | None) -> None:
        for n, record in self.records.items():
            if n not in self.settled:
                for data in mangle(n, record) if mangle else [record]:
                    await self.link.publish(self.topic("record"), data)


def fill(sender: Sender, gauge: Gauge, count: int, start: int = 0) -> None:
    gateway = sender.gateway
    made = [] if sender.records else [gateway.link(), gateway.record(announce=[gauge.body])]
    made += [gateway.record(gauge.block(at)) for at in range(start, start + count)]
    sender.records.update(enumerate(made, gateway.n - len(made)))


@asynccontextmanager
async def road(
    tmp_path: Path, pki: Pki
) -> AsyncIterator[tuple[Mosquitto, Platform, Sender, Gauge]]:
    platform = Platform(pki, tmp_path / "store.db")
    async with (
        Mosquitto(tmp_path) as broker,
        connect(Settings(host="127.0.0.1", port=broker.port)) as link,
    ):
        yield broker, platform, Sender(Gateway(pki), link, platform), Gauge(pki)


STORED = "SELECT count(*), count(DISTINCT at_us) FROM readings WHERE point = 'level'"


async def test_readings_go_through_a_broker_into_the_store(tmp_path: Path, pki: Pki) -> None:
    async with road(tmp_path, pki) as (broker, platform, sender, gauge):
        fill(sender, gauge, 50)
        async with platform.running(broker):
            await sender.deliver()
        assert platform.rows(STORED) == [(50, 50)]
        assert sender.receipts[-1].floor == 52


async def test_a_receiver_that_comes_late_finds_what_was_queued(tmp_path: Path, pki: Pki) -> None:
    async with road(tmp_path, pki) as (broker, platform, sender, gauge):
        async with platform.running(broker):
            pass
        fill(sender, gauge, 10)
        sending = asyncio.create_task(sender.deliver())
        async with platform.running(broker):
            await sending
        assert platform.rows(STORED) == [(10, 10)]


async def test_a_store_wiped_in_the_middle_of_a_backlog_is_complete_again_from_there(
    tmp_path: Path, pki: Pki
) -> None:
    async with road(tmp_path, pki) as (broker, platform, sender, gauge):
        fill(sender, gauge, 20)
        async with platform.running(broker):
            await sender.deliver()
            platform.wipe()
            # The table went with the store, and what was settled is settled: it must be asked for.
            sender.records = {1: sender.records[1]}
            fill(sender, gauge, 20, start=100)
            sender.settled = RangeSet()
            await sender.deliver()
        assert platform.rows(STORED) == [(20, 20)]
        asked = {v.code for r in sender.receipts for v in r.verdicts}
        assert VerdictCode.NEED_GRANT in asked


async def test_a_broker_that_alters_repeats_and_reorders_changes_nothing(
    tmp_path: Path, pki: Pki
) -> None:
    late: list[bytes] = []

    def mangle(n: int, record: bytes) -> list[bytes]:
        altered = bytearray(record)
        altered[-1 - n % 20] ^= 1
        if n % 3 == 0:
            late.append(record)
            return [bytes(altered), record[:-9]]
        again, late[:] = [*late], []
        return [bytes(altered), record, record, *again]

    async with road(tmp_path, pki) as (broker, platform, sender, gauge):
        fill(sender, gauge, 40)
        async with platform.running(broker):
            await sender.link.publish(sender.topic("grant"), sender.grants[b"key-id-1"])
            await sender.deliver(mangle)
        assert platform.rows(STORED) == [(40, 40)]
        assert platform.rows("SELECT count(*) > 0 FROM refusals") == [(1,)]


async def test_the_broker_may_die_and_come_back(tmp_path: Path, pki: Pki) -> None:
    platform = Platform(pki, tmp_path / "store.db")
    gauge, gateway = Gauge(pki), Gateway(pki)
    async with Mosquitto(tmp_path) as broker:
        settings = Settings(host="127.0.0.1", port=broker.port)
        async with platform.running(broker) as receiver:
            async with connect(settings) as link:
                sender = Sender(gateway, link, platform)
                fill(sender, gauge, 5)
                await sender.deliver()
                await broker.kill()
                await link.lost()
            await broker.start()
            await receiver.connected.wait()
            async with connect(settings) as link:
                sender.link = link
                fill(sender, gauge, 5, start=50)
                await sender.deliver()
        assert platform.rows(STORED) == [(10, 10)]


async def test_keys_in_another_process_that_are_slow_fail_and_restart_cost_no_reading(
    tmp_path: Path, pki: Pki
) -> None:
    async with road(tmp_path, pki) as (broker, platform, sender, gauge):
        path, held = tmp_path / "keys.sock", platform.keys

        def service() -> KeyService:
            return KeyService(system_env(), held, path, delay_s=0.02, fail_every=4, hang_every=9)

        first = service()
        await first.open()
        remote = await RemoteKeys.open(system_env(), path, answer_s=0.5)
        platform.keys = remote  # type: ignore[assignment]
        second = service()
        second.hang_every = 0
        try:
            async with platform.running(broker) as receiver:
                fill(sender, gauge, 20)
                sending = asyncio.create_task(until_settled(sender))
                while not receiver.stored:
                    await asyncio.sleep(0.01)
                await first.close()
                await second.open()
                await sending
                fill(sender, gauge, 20, start=100)
                await until_settled(sender)
        finally:
            await remote.close()
            await first.close()
            await second.close()
        assert platform.rows(STORED) == [(40, 40)]


async def until_settled(sender: Sender) -> None:
    """As a gateway does: what got no receipt for a while is sent again, its grant too."""
    while True:
        await sender.link.publish(sender.topic("grant"), next(iter(sender.grants.values())))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sender.deliver(), 1.0)
            return
