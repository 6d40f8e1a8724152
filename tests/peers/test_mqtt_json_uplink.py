"""The JSON uplink against a real mosquitto: a record is settled when every message of it was taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from kit.outbox import EPOCH, MemoryOutbox, record
from peers.mosquitto import Mosquitto

from headgate.columns import pack
from headgate.model import Block, Point, PointTable
from headgate.mqtt import Settings, connect
from headgate.sdk import UplinkContext
from headgate_plugins.mqtt_json import MqttJsonUplink

pytestmark = pytest.mark.peer("mosquitto")

DIGEST = bytes(32)
TABLE = PointTable(1, "gauge-001", (Point("level", "u16", "mm"),))
OPENED = {
    n: [
        Block(1, DIGEST, n * 10 + k, slot=n * 10 + k, columns=(pack("u16", [n]),)) for k in range(3)
    ]
    for n in range(100)
}


def outbox(count: int, **changes: Any) -> MemoryOutbox:
    made = {"opened": OPENED, "tables": [(DIGEST, TABLE)], "wall": 1_700_000_000_000_000, **changes}
    return MemoryOutbox([record(n) for n in range(count)], **made)


def uplink(broker: Mosquitto, **options: Any) -> MqttJsonUplink:
    given = {
        "url": broker.url,
        "reconnect_min_s": 0.01,
        "reconnect_max_s": 0.05,
        "epoch": EPOCH.hex(),
        **options,
    }
    return MqttJsonUplink(UplinkContext("json", "gate-7", given))


@asynccontextmanager
async def running(up: MqttJsonUplink, box: MemoryOutbox) -> AsyncIterator[None]:
    task = asyncio.create_task(up.run(box))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert not box.in_flight, "something was left in flight"


async def until_state(up: MqttJsonUplink, state: str) -> None:
    while up.state != state:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_every_block_arrives_in_order_and_settles_its_record(
    tmp_path: Path, protocol: str
) -> None:
    box = outbox(50)
    async with (
        Mosquitto(tmp_path) as broker,
        connect(Settings(host="127.0.0.1", port=broker.port)) as link,
    ):
        await link.subscribe("city/gate-7/#")
        async with running(uplink(broker, protocol=protocol), box):
            messages = link.messages()
            seen = [json.loads((await anext(messages)).payload) for _ in range(150)]
            await box.until_settled(*range(50))
    assert [each["slot"] for each in seen] == [n * 10 + k for n in range(50) for k in range(3)]
    assert seen[4]["values"] == {"level": 1}


async def test_nothing_is_settled_while_nobody_listens(tmp_path: Path) -> None:
    box = outbox(5)
    async with Mosquitto(tmp_path) as broker, running(up := uplink(broker), box):
        await until_state(up, "refused")
        assert up.error is not None and up.error.code == "HG-5023"
        assert box.settled == set()
        async with connect(Settings(host="127.0.0.1", port=broker.port)) as link:
            await link.subscribe("city/#")
            await box.until_settled(*range(5))
            await until_state(up, "online")


ACL = "user gate-7\ntopic write city/gate-7/elsewhere\n"


async def test_what_the_broker_refuses_stays(tmp_path: Path) -> None:
    box = outbox(5)
    users = {"gate-7": "secret"}
    async with (
        Mosquitto(tmp_path, users=users, acl=ACL) as broker,
        running(up := uplink(broker, username="gate-7", password="secret"), box),
    ):
        await until_state(up, "refused")
        await box.until_given_back(0)
        assert box.settled == set()


async def test_a_broker_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    box = outbox(100)
    options = {"nobody_listening": "accept", "in_flight": 4}
    async with Mosquitto(tmp_path) as broker, running(uplink(broker, **options), box):
        await box.until_so_many_settled(20)
        broker.freeze()
        await broker.kill()
        await broker.start()
        await box.until_settled(*range(100))


async def test_without_a_local_key_nothing_is_lost_and_it_is_said(tmp_path: Path) -> None:
    box = outbox(3, opened=None)
    async with Mosquitto(tmp_path) as broker, running(up := uplink(broker), box):
        await until_state(up, "locked")
        assert up.error is not None and up.error.code == "HG-5025"
        assert (box.settled, box.refused) == (set(), {})


async def test_what_cannot_be_read_becomes_a_dead_letter(tmp_path: Path) -> None:
    box = outbox(2, tables=[])
    async with Mosquitto(tmp_path) as broker, running(uplink(broker), box):
        await box.until_refused(0, 1)
    assert "point table" in box.refused[0]


async def test_readings_wait_for_a_trusted_time_where_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate_plugins.mqtt_json.session.AGAIN_S", 0.01)
    box = outbox(2, wall=None)
    options = {"unsynced": "hold", "nobody_listening": "accept"}
    async with Mosquitto(tmp_path) as broker, running(up := uplink(broker, **options), box):
        await until_state(up, "holding")
        assert box.settled == set()
        box.wall = 0
        await box.until_settled(0, 1)
