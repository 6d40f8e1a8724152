"""Command results in the receiver's stores, and how they reach whoever commands."""

from __future__ import annotations

import base64
import json
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest
from kit.commands import content
from kit.gateway import Gateway, Gauge
from kit.pki import NOW, Pki

from headgate.env import SystemFiles
from headgate.model import CommandResult
from headgate_receiver.commands.errors import CommandError
from headgate_receiver.commands.results import SqliteResults
from headgate_receiver.core import Core
from headgate_receiver.jsonl import JsonLinesSink
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink

ID = content().command


def result(state: str, at_us: int, value: bool | float | str | None = None) -> CommandResult:
    return CommandResult(
        ID, state, at_us, "why", 1, "level", value, "HG-6530", "operator:wang.li", "operate", 1_500_000
    )  # fmt: skip


async def deliver(sink: SqliteSink, pki: Pki, keys: FileKeys, *messages: bytes) -> None:
    def now() -> datetime:
        return NOW

    core = Core(pki.provider, sink, keys, [pki.root.certificate], now)
    core.begin()
    for message in messages:
        if message[2:3] == b"\x02":
            await core.grant(message, "g")
        else:
            core.record(message, "g")
    sink.commit(core.end()[0])


async def test_results_are_rows_and_reach_whoever_commands(
    tmp_path: Path, pki: Pki, keys: FileKeys, gateway: Gateway, gauge: Gauge
) -> None:
    path = tmp_path / "store.db"
    sink = SqliteSink(path, SystemFiles())
    first = gateway.record(
        gauge.block(5, level=1250), result("accepted", 10), announce=[gauge.body]
    )
    await deliver(sink, pki, keys, gateway.grant(), first)
    results = SqliteResults(path, SystemFiles())
    (row,) = results.since(0)
    assert (row.gateway, row.told.state, row.told.source) == ("gauge-house-7", "accepted", "record")
    assert (row.told.who, row.told.lease_ms, row.told.code) == (
        "operator:wang.li",
        1_500,
        "HG-6530",
    )
    assert results.since(row.id) == []
    await deliver(
        sink, pki, keys, gateway.record(result("confirmed", 20, 4.75), result("ended", 30))
    )
    assert [(each.told.state, each.told.value) for each in results.since(row.id)] == [
        ("confirmed", 4.75), ("ended", None),
    ]  # fmt: skip
    assert results.newest() == row.id + 2
    facts = results.point("gauge-house-7", "gauge-1", "level")
    assert facts is not None
    assert (facts.type, facts.unit, facts.value) == ("u16", "m", 4.75)
    assert results.point("gauge-house-7", "gauge-1", "nothing") is None
    with pytest.raises(sqlite3.OperationalError):
        results._db.execute("DELETE FROM command_results")  # it only ever reads
    results.close()
    sink.close()


async def test_lines_have_them_too_and_what_is_beside_the_lines_is_read_the_same(
    tmp_path: Path, pki: Pki, keys: FileKeys, gateway: Gateway, gauge: Gauge
) -> None:
    sink = JsonLinesSink(tmp_path / "lines.jsonl", SystemFiles())
    record = gateway.record(result("confirmed", 20, True), announce=[gauge.body])
    await deliver(sink, pki, keys, gateway.grant(), record)
    (line,) = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text().splitlines()]
    assert line["kind"] == "commandresult"
    assert base64.b64decode(line["command"]) == ID
    assert (line["state"], line["value"], line["who"]) == ("confirmed", True, "operator:wang.li")
    results = SqliteResults(tmp_path / "lines.jsonl.state", SystemFiles())
    assert [row.told.state for row in results.since(0)] == ["confirmed"]
    results.close()
    sink.close()


def test_a_store_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as raised:
        SqliteResults(tmp_path / "no.db", SystemFiles())
    assert raised.value.code == "HG-7117"
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0" + b"but not really" * 99)
    with pytest.raises(CommandError):
        SqliteResults(tmp_path / "other.db", SystemFiles())
