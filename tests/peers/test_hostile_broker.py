"""The broker is trusted with nothing: a man in the middle of two real brokers has the whole road.

Gateways (spool, outbox, uplink) are at one broker, the platform's receiver at another; what passes
between them is what the man makes of it. Source: docs/reference/uplink.md, sections 1 and 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.gateway import BOOT, Gateway, Gauge
from kit.pki import Pki
from peers.mosquitto import Mosquitto
from peers.test_receiver import Platform

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.receipt import Receipt, encode_body, join_receipt, verify_receipt
from headgate.envelope.record import HEADER_SIZE
from headgate.model import Item, Lane
from headgate.mqtt import Link, Settings, connect
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.terms import Pace
from headgate.sdk import UplinkContext
from headgate.spool import ClearIndex, SealedRecord, Spool, State
from headgate.spool.remembered import Grant
from headgate_plugins.mqtt import MqttUplink

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(60)]

COUNT = 30
Passed = Iterable[tuple[str, bytes]]
Rule = Callable[[str, bytes], Passed]


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki(default_provider())


class Box:
    """A gateway from its spool to its broker."""

    def __init__(self, folder: Path, pki: Pki, platform: Platform, name: str, number: int) -> None:
        env = system_env()
        folder.mkdir()
        identity = pki.issue(name, Role.GATEWAY)
        self.gateway = Gateway(
            pki, epoch=b"epoch--%d" % number, key_id=b"key-id-%d" % number, identity=identity
        )
        self.gauge = Gauge(pki, number)
        self.said: list[Item] = []
        gateway = self.gateway
        self.state = State(env, folder / "state.db")
        self.state.open()
        self.spool = Spool(env, folder / "spool", ballast_bytes=4096)
        found = self.spool.open(self.state.noted())
        self.state.begin_epoch(gateway.epoch, (found.epoch, found.last_n))
        self.state.keep_grant(
            Grant(gateway.key.key_id, gateway.epoch, gateway.core.raw, None, gateway.grant(), 0)
        )
        boxes = Outboxes(self.spool, self.state, gateway.epoch)
        self.outbox = SpoolOutbox(
            env, self.spool, self.state, "city", gateway.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=lambda data: verify_receipt(data, platform.receipt_key.public, gateway.id),
            say=self.said.append, passed=boxes.passed, pace=Pace(receipt_s=0.5, receipt_longest_s=1.0),
        )  # fmt: skip
        boxes.add(self.outbox)
        self._boxes = boxes
        self._commit(gateway.link(), gateway.record(announce=[self.gauge.body]))
        self.fill(COUNT)

    def fill(self, count: int) -> None:
        """Commit so many looks, each in a record of its own."""
        start = self.gateway.n
        blocks = [self.gauge.block(at) for at in range(start, start + count)]
        self._commit(*(self.gateway.record(block) for block in blocks))

    def _commit(self, *made: bytes) -> None:
        gateway, index = self.gateway, ClearIndex(1, 0, 0, BOOT)
        key_id, first = gateway.key.key_id, gateway.n - len(made)
        records = [
            SealedRecord(gateway.epoch, n, key_id, Lane.LIVE, data, index)
            for n, data in enumerate(made, first)
        ]
        self._boxes.on_commit(self.spool.commit(records))

    @property
    def left(self) -> int:
        """Records that are not settled."""
        status = self.outbox.status()
        assert (status.refused, status.corrupt, self.said) == (0, 0, [])
        return sum(depth.records for depth in (status.alarm, status.live, status.history))

    @asynccontextmanager
    async def running(self, broker: Mosquitto) -> AsyncIterator[MqttUplink]:
        options = {"url": broker.url, "reconnect_min_s": 0.01, "reconnect_max_s": 0.2}
        options["receipt_timeout"] = "500ms"
        uplink = MqttUplink(UplinkContext("city", self.gateway.id, options))
        task = asyncio.create_task(uplink.run(self.outbox))
        try:
            yield uplink
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def close(self) -> None:
        self.state.close()
        self.spool.close()


class Man:
    """Passes on what `up` and `down` make of each message; honest until told otherwise."""

    def __init__(self, gates: Link, city: Link) -> None:
        self.gates, self.city = gates, city
        self.up: Rule = self.honest
        self.down: Rule = self.honest
        self.heard: list[tuple[str, bytes]] = []
        self._news = asyncio.Event()

    @staticmethod
    def honest(topic: str, data: bytes) -> Passed:
        return [(topic, data)]

    @staticmethod
    def silent(topic: str, data: bytes) -> Passed:
        return []

    async def work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry(self.gates, self.city, "up"))
            group.create_task(self._carry(self.city, self.gates, "down"))

    async def _carry(self, source: Link, target: Link, way: str) -> None:
        async for message in source.messages():
            self.heard.append((message.topic, message.payload))
            self._news.set()
            for topic, data in getattr(self, way)(message.topic, message.payload):
                await target.publish(topic, data)

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until something that was said makes this true."""
        while not done():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), 0.1)

    def said(self, tail: str) -> list[bytes]:
        return [data for topic, data in self.heard if topic.endswith(tail)]


class World:
    """Two gateways, a man, a platform."""

    def __init__(
        self, boxes: list[Box], man: Man, platform: Platform, ups: list[MqttUplink]
    ) -> None:
        self.boxes, self.man, self.platform, self.ups = boxes, man, platform, ups

    async def all_arrive(self) -> None:
        """With an honest man from here on: everything is stored once, under its own gateway's name."""
        self.man.up = self.man.down = Man.honest
        await self.man.until(lambda: not any(box.left for box in self.boxes))
        rows = self.platform.rows(
            "SELECT gateway, device, count(*), count(DISTINCT at_us) FROM readings "
            "WHERE point = 'level' GROUP BY gateway, device ORDER BY gateway"
        )
        assert rows == [("gate-1", "gauge-1", COUNT, COUNT), ("gate-2", "gauge-2", COUNT, COUNT)]


@asynccontextmanager
async def world(tmp_path: Path, pki: Pki, up: Rule = Man.honest, down: Rule = Man.honest) -> Any:
    platform = Platform(pki, tmp_path / "store.db")
    for name in ("gates", "city"):
        (tmp_path / name).mkdir()
    boxes = [Box(tmp_path / f"gate-{i}", pki, platform, f"gate-{i}", i) for i in (1, 2)]
    async with contextlib.AsyncExitStack() as stack:
        for box in boxes:
            stack.callback(box.close)
        gates = await stack.enter_async_context(Mosquitto(tmp_path / "gates"))
        city = await stack.enter_async_context(Mosquitto(tmp_path / "city"))
        at_gates = await stack.enter_async_context(
            connect(Settings(host="127.0.0.1", port=gates.port))
        )
        at_city = await stack.enter_async_context(
            connect(Settings(host="127.0.0.1", port=city.port))
        )
        man = Man(at_gates, at_city)
        man.up, man.down = up, down
        await at_gates.subscribe("headgate/v1/+/up/#")
        await at_city.subscribe("headgate/v1/+/down/#")
        work = asyncio.create_task(man.work())
        try:
            receiver = await stack.enter_async_context(platform.running(city))
            ups = [await stack.enter_async_context(box.running(gates)) for box in boxes]
            made = World(boxes, man, platform, ups)
            made.receiver = receiver  # type: ignore[attr-defined]
            yield made
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


async def test_swapped_keys_open_nothing_and_lose_nothing(tmp_path: Path, pki: Pki) -> None:
    grants: dict[str, bytes] = {}

    def swap(topic: str, data: bytes) -> Passed:
        if not topic.endswith("grant"):
            return [(topic, data)]
        grants[topic] = data
        if len(grants) < 2:
            return []
        (one, a), (two, b) = grants.items()
        core, _recipients, *rest = msgspec.msgpack.decode(a[4:])
        theirs = msgspec.msgpack.decode(b[4:])[1]
        mixed = a[:4] + msgspec.msgpack.encode([core, theirs, *rest])
        # Their wrapped key in our grant, and each grant under the other's name.
        return [(one, mixed), (two, mixed), (one, b), (two, a)]

    async with world(tmp_path, pki, up=swap) as here:
        await here.man.until(lambda: len(grants) == 2)
        await here.all_arrive()
        refused = here.platform.rows("SELECT DISTINCT code FROM refusals WHERE kind = 'grant'")
        assert refused == [("HG-6003",)]


async def test_forged_replayed_and_misdirected_receipts_free_nothing(
    tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    forger = pki.issue("receipts", Role.PLATFORM_RECEIPT).key

    def receipt(name: str, epoch: bytes, **more: Any) -> bytes:
        return encode_body(Receipt(name, epoch, 2**60, COUNT + 2, **more))

    async with world(tmp_path, pki, up=Man.silent) as here:
        good = here.platform.receipt_key
        down = "headgate/v1/gate-1/down/receipt"
        own = receipt("gate-1", b"epoch--1")
        signed = join_receipt(own, good.sign(own))
        other = receipt("gate-2", b"epoch--1")
        elsewhere = receipt("gate-1", b"epoch--9")
        lies = [
            join_receipt(own, forger.sign(own)),
            join_receipt(other, good.sign(other)),
            join_receipt(receipt("gate-1", b"epoch--1", stored=((40, 50),)), signed[-70:]),
            signed[: len(signed) // 2],
            b"",
            os.urandom(200),
            b"HG\x03\x01" + b"\xdd\xff\xff\xff\xff",
            os.urandom(70_000),
        ]
        lies += [bytes(b ^ (i == at) for i, b in enumerate(signed)) for at in range(0, 90, 7)]
        # Truly the platform's word, about a start that this gateway never had: it says nothing here.
        lies.append(join_receipt(elsewhere, good.sign(elsewhere)))
        caplog.set_level(logging.WARNING)
        # What is published before the gateway has subscribed reaches nobody.
        await here.man.until(lambda: bool(here.man.said("gate-1/up/record")))
        for lie in lies:
            await here.man.gates.publish(down, lie)
        await here.man.until(lambda: here.ups[0].bad_receipts == len(lies) - 1)
        assert [box.left for box in here.boxes] == [COUNT + 2, COUNT + 2]
        said = [each for each in caplog.records if each.message == "bad receipt ignored"]
        assert 0 < len(said) < len(lies) / 2, "told, but not once for each lie"
        await here.all_arrive()
        # Old receipts again, of both gateways, to both, while something new waits.
        here.man.up = Man.silent
        for box in here.boxes:
            box.fill(10)
        bad = [up.bad_receipts for up in here.ups]
        old = list(dict.fromkeys(here.man.said("down/receipt")))
        for name in ("gate-1", "gate-2"):
            for each in [*old, b"the last"]:
                await here.man.gates.publish(f"headgate/v1/{name}/down/receipt", each)
        theirs = [sum(name in each for each in old) for name in (b"gate-2", b"gate-1")]
        await here.man.until(
            lambda: (
                [up.bad_receipts - n for up, n in zip(here.ups, bad, strict=True)]
                == [count + 1 for count in theirs]
            )
        )
        assert [box.left for box in here.boxes] == [10, 10]


async def test_lost_doubled_reordered_and_altered_messages_lose_nothing(
    tmp_path: Path, pki: Pki
) -> None:
    dice = random.Random(11)
    late: list[tuple[str, bytes]] = []
    altered: set[bytes] = set()

    def play(topic: str, data: bytes) -> Passed:
        roll = dice.random()
        if roll < 0.2:
            return []
        if roll < 0.4:
            late.append((topic, data))
            return []
        if roll < 0.6:
            # Beyond the header, where the platform still knows whose it would be.
            at = dice.randrange(HEADER_SIZE, len(data))
            altered.add(data)
            return [(topic, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])]
        again, late[:] = [*late], []
        return [(topic, data), *reversed(again), (topic, data)]

    async with world(tmp_path, pki, up=play, down=play) as here:
        await here.man.until(lambda: len(altered) > 20 and here.receiver.stored > 10)
        await here.all_arrive()
        # What the platform says of it to the gateway may be lost on the same way.
        assert here.platform.rows("SELECT count(*) > 0 FROM refusals WHERE kind = 'record'") == [
            (1,)
        ]


async def test_old_grants_again_and_grants_of_strangers_change_nothing(
    tmp_path: Path, pki: Pki
) -> None:
    stranger = Pki(default_provider(), "their root")
    theirs = Gateway(stranger, epoch=b"epoch--1", key_id=b"key-id-1", identity=stranger.gateway)
    # A gateway of the city that takes another one's key id: known by its certificate, not by the id.
    mimic = Gateway(pki, epoch=b"epoch--1", key_id=b"key-id-1", salt=b"mine", identity=pki.gateway)
    # To the stranger's own platform certificate and to ours.
    lies = [theirs.grant(pki.platform), theirs.grant(), mimic.grant(), mimic.record()]

    def first_lies(topic: str, data: bytes) -> Passed:
        return [*((topic, lie) for lie in lies), (topic, data), *((topic, lie) for lie in lies)]

    async with world(tmp_path, pki, up=first_lies) as here:
        await here.man.until(lambda: here.receiver.stored > 10)
        for old in here.man.said("up/grant"):
            await here.man.city.publish("headgate/v1/gate-2/up/grant", old)
        await here.all_arrive()
        codes = here.platform.rows(
            "SELECT DISTINCT code FROM refusals WHERE kind = 'grant' ORDER BY code"
        )
        assert codes, "the strangers' grants are refused, and one can see it"
        assert here.platform.rows(
            "SELECT count(*) FROM grants WHERE gateway = 'gauge-house-7'"
        ) == [(1,)]


async def test_floods_and_giants_are_bounded(tmp_path: Path, pki: Pki) -> None:
    async with world(tmp_path, pki, up=Man.silent) as here:
        city = here.man.city
        core = here.receiver._core
        core._waiting._limit = 100_000
        giants = [("record", 2 * 1024 * 1024 + 1), ("grant", 16 * 1024 + 1), ("status", 5_000)]
        for name, size in giants:
            start = b"HG\x02\x01" if name == "grant" else b"HG\x01\x01\x01\0\0\0"
            await city.publish(f"headgate/v1/gate-1/up/{name}", start + os.urandom(size))
        for at in range(300):
            junk = (
                b"HG\x01\x01\x01\0\0\0" + os.urandom(16) + at.to_bytes(8, "big") + os.urandom(1000)
            )
            await city.publish(f"headgate/v1/gate-{at % 3}/up/record", junk)
        await here.man.until(lambda: core._waiting.size > 90_000)
        await here.all_arrive()
        assert core._waiting.size <= 100_000
        assert here.platform.rows("SELECT sum(length(data)) <= 100000 FROM held") == [(1,)]
        assert here.platform.rows("SELECT count(*) FROM refusals WHERE kind = 'grant'") == [(1,)]
