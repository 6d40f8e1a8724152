from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.gateway import BOOT, Gateway, Gauge
from kit.pki import NOW, Pki

from headgate.env import SystemFiles
from headgate.model import ClockFix
from headgate_receiver.core import Core
from headgate_receiver.jsonl import JsonLinesSink
from headgate_receiver.keys import FileKeys


def now() -> datetime:
    return NOW


async def deliver(core: Core, sink: JsonLinesSink, *messages: bytes) -> None:
    core.begin()
    for message in messages:
        if message[2:3] == b"\x02":
            await core.grant(message, "g")
        else:
            core.record(message, "g")
    sink.commit(core.end()[0])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_reading_is_one_line_exactly_once_also_after_a_crash(
    tmp_path: Path, pki: Pki, keys: FileKeys, gateway: Gateway, gauge: Gauge
) -> None:
    path = tmp_path / "readings.jsonl"
    record = gateway.record(
        ClockFix(BOOT, 0, 1_000, 5, "synced"), gauge.block(10), announce=[gauge.body]
    )
    sink = JsonLinesSink(path, SystemFiles())
    core = Core(pki.provider, sink, keys, [pki.root.certificate], now)
    await deliver(core, sink, gateway.grant(), record)
    sink.close()
    with path.open("a") as file:
        file.write('{"half a line that a crash le')
    sink = JsonLinesSink(path, SystemFiles())
    core = Core(pki.provider, sink, keys, [pki.root.certificate], now)
    await deliver(core, sink, record, gateway.record(gauge.block(20)))
    sink.close()
    readings = [line for line in lines(path) if line["kind"] == "reading"]
    assert [(r["point"], r["at_us"], r["wall_us"], r["value"]) for r in readings] == [
        ("level", 10, 1010, 4.5),
        ("battery", 10, 1010, 12),
        ("level", 20, 1020, 4.5),
        ("battery", 20, 1020, 12),
    ]
    assert readings[0]["gateway"] == "gauge-house-7"
    assert [line["kind"] for line in lines(path)].count("clockfix") == 1
