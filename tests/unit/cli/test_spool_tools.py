"""`headgate spool dump | export | repair`: on a spool that the product's own press has sealed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from headgate import config
from headgate.cli import main
from headgate.crypto.provider import default_provider
from headgate.env import Env, SystemFiles, SystemNet, SystemRandom
from headgate.envelope.carry import frames
from headgate.envelope.payload import encode_table
from headgate.errors import EnvelopeError
from headgate.model import Alarm, Block, ClockFix, Lane, Linear, Point, PointTable
from headgate.runtime.batch import Batch
from headgate.runtime.identity import load_identity
from headgate.runtime.keyring import Keyring
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.spool import Spool, State
from headgate.testing.env import InlineExecutor, ManualClock

SITE = 'schema = 1\n[gateway]\nid = "g"\n[state]\nfolder = "state"\n'
EPOCH = b"epoch--1"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Ten seconds of two gauges, and an alarm; the first record tells the time."""
    (tmp_path / "site.toml").write_text(SITE)
    clock = ManualClock()
    env = Env(clock, SystemRandom(), SystemFiles(), SystemNet(), lambda name: InlineExecutor())
    loaded, provider = config.load(env, tmp_path), default_provider()
    env.files.make_folder(tmp_path / "state")
    state = State(env, tmp_path / "state" / "state.db")
    spool = Spool(env, tmp_path / "state" / "spool", ballast_bytes=0)
    state.open()
    spool.open()
    state.begin_epoch(EPOCH, (None, None))
    keyring = Keyring(env, provider, load_identity(env, loaded, provider), state, EPOCH)
    press = SealingPress(env, provider, keyring, spool, Sealing(EPOCH, clock.boot, None, None))
    tables = []
    for name in ("gauge-1", "gauge-2"):
        number = state.device_number(name)
        points = (Point("level", "u16", "m", Linear(1.0, 1000.0, 0.0)),)
        data = encode_table(PointTable(number, name, points, interval_us=1_000_000))
        press.learn(provider.sm3(data), KnownTable(data, 1))
        state.keep_table(provider.sm3(data), data, EPOCH)
        tables.append((number, provider.sm3(data)))
    fix = ClockFix(clock.boot, clock.now_us, clock.wall_us(), 1000, "synced")
    for second in range(10):
        for number, table in tables:
            if second % 2 and number == tables[1][0]:
                continue
            batch = Batch(Lane.LIVE)
            if second == 0:
                batch.add(fix, 100)
            raw = (1000 * number + second).to_bytes(2, "big")
            batch.add(Block(number, table, clock.now_us, second, (raw,)), 2)
            press.commit([batch])
        clock.advance(1)
    batch = Batch(Lane.ALARM)
    batch.add(Alarm(tables[0][0], "level", "high", 800, True, clock.now_us), 100)
    press.commit([batch])
    state.close()
    spool.close()
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["spool", *map(str, words), "--lang", "en"])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out + said.err


def lines(said: str) -> list[Any]:
    return [json.loads(line) for line in said.splitlines()]


def everything(folder: Path) -> dict[Path, bytes]:
    # SQLite's own index of its log is made for every reader, and holds nothing.
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.suffix != ".db-shm"}


def test_dump_tells_sealed_records_by_what_stands_beside_the_seal(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run(capsys, "dump", site, "--format", "json")
    records = lines(said)
    assert status == 0
    assert [r["lane"] for r in records] == ["alarm"] + ["live"] * 15
    assert [r["n"] for r in records[1:]] == list(range(15))
    assert records[1]["devices"] == {"gauge-1": 1}
    assert records[1]["first"] == "2026-07-01T00:00:00.000+00:00"
    assert "items" not in records[1]
    status, said = run(capsys, "dump", site)
    assert "16 records, 15 readings" in said


def test_dump_filters_by_device_lane_and_time(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_lines = ("--format", "json")
    _, said = run(capsys, "dump", site, "--device", "gauge-2", *json_lines)
    assert [r["devices"] for r in lines(said)] == [{"gauge-2": 1}] * 5
    _, said = run(
        capsys, "dump", site, "--device", "1", "--lane", "live", "--limit", 3, *json_lines
    )
    assert [r["devices"] for r in lines(said)] == [{"gauge-1": 1}] * 3
    span = ("--since", "2026-07-01T00:00:03+00:00", "--until", "2026-07-01T00:00:05+00:00")
    _, said = run(capsys, "dump", site, "--lane", "live", *span, *json_lines)
    assert [r["first"][17:19] for r in lines(said)] == ["03", "04", "04"]
    status, said = run(capsys, "dump", site, "--device", "gauge-9")
    assert status != 0
    assert "HG-4051" in said
    status, said = run(capsys, "dump", site, "--since", "yesterday")
    assert status != 0
    assert "HG-4052" in said


def test_dump_opens_what_this_box_keeps_a_wrap_of(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = run(capsys, "dump", site, "--open", "--format", "json", "--device", "gauge-1")
    found = [item for r in lines(said) for item in r["items"] if item["item"] == "block"]
    assert found[0] == {
        "item": "block", "device": "gauge-1",
        "readings": [{"point": "level", "value": 1.0, "unit": "m", "quality": "good"}],
    }  # fmt: skip
    _, said = run(capsys, "dump", site, "--open", "--lane", "alarm")
    assert "item=alarm" in said
    assert "code=high" in said
    (site / "state" / "kek").unlink()
    status, said = run(capsys, "dump", site, "--open", "--format", "json")
    assert status == 0
    assert all(r["items"] is None for r in lines(said))
    assert not (site / "state" / "kek").exists(), "who looks makes no keys"


def test_looking_changes_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(site / "state")
    run(capsys, "dump", site, "--open")
    run(capsys, "export", site / "out.csv", "--site", site)
    run(capsys, "repair", site)
    assert everything(site / "state") == before


def test_readings_go_into_a_table_for_people(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run(capsys, "export", site / "out.csv", "--site", site)
    assert (status, "15 readings" in said) == (0, True)
    text = (site / "out.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 15
    assert (rows[0]["time"], rows[0]["device"], rows[0]["value"], rows[0]["unit"]) == (
        "2026-07-01T00:00:00.000+00:00", "gauge-1", "1.0", "m",
    )  # fmt: skip
    status, said = run(capsys, "export", site / "out.csv", "--site", site)
    assert status != 0
    assert "HG-9003" in said
    run(
        capsys,
        "export",
        site / "one.jsonl",
        "--site",
        site,
        "--format",
        "jsonl",
        "--device",
        "gauge-2",
    )
    only = lines((site / "one.jsonl").read_text())
    assert [row["slot"] for row in only] == [0, 2, 4, 6, 8]


def test_sealed_records_can_be_carried_and_are_the_very_bytes(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = run(capsys, "export", site / "stick", "--site", site, "--format", "sealed")
    assert status == 0
    carried = (site / "stick").read_bytes()
    found = [data for kind, data in frames(carried) if kind == "record"]
    spool = Spool(Env(ManualClock(), SystemRandom(), SystemFiles(), SystemNet(), lambda _: InlineExecutor()),
                  site / "state" / "spool", ballast_bytes=0)  # fmt: skip
    spool.open()
    from headgate.spool import Position

    there = [
        spool.read(Position(rows.log, rows.number, row))
        for rows in spool.segments()
        for row in rows.alive()
    ]
    spool.close()
    assert found == there
    for at in (0, 20, len(carried) // 2, len(carried) - 1):
        rotten = bytearray(carried)
        rotten[at] ^= 1
        with pytest.raises(EnvelopeError):
            list(frames(bytes(rotten)))
    with pytest.raises(EnvelopeError):
        list(frames(carried[:-1]))


def test_repair_says_exactly_what_is_lost_and_deletes_nothing(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = site / "state" / "spool"
    (segment,) = (spool / "data").glob("*.seg")
    data = segment.read_bytes()
    # Two records in the middle are overwritten.
    _, said = run(capsys, "dump", site, "--format", "json", "--lane", "live")
    offsets = [r["offset"] for r in lines(said)]
    segment.write_bytes(data[: offsets[4]] + bytes(offsets[6] - offsets[4]) + data[offsets[6] :])
    (spool / "data" / "ledger").write_bytes(b"rotten")
    before = everything(spool)
    status, said = run(capsys, "repair", site, "--format", "json")
    plan = json.loads(said)
    assert (status, plan["applied"], plan["records"]) == (1, False, 14)
    assert [(loss["records"], loss["readings"]) for loss in plan["losses"]] == [(2, 2)]
    assert everything(spool) == before
    status, said = run(capsys, "repair", site, "--apply")
    assert status == 1
    assert "2 records of data, 2 readings" in said
    assert everything(spool).keys() >= before.keys(), "nothing is deleted"
    again = Spool(Env(ManualClock(), SystemRandom(), SystemFiles(), SystemNet(), lambda _: InlineExecutor()),
                  spool, ballast_bytes=0)  # fmt: skip
    found = again.open()
    assert [(loss.records, loss.readings) for loss in found.losses] == [(2, 2)], "and said upstream"
    again.close()


def test_repair_refuses_while_a_gateway_runs(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = Env(ManualClock(), SystemRandom(), SystemFiles(), SystemNet(), lambda _: InlineExecutor())
    spool = Spool(env, site / "state" / "spool", ballast_bytes=0)
    spool.open()
    status, said = run(capsys, "repair", site, "--apply")
    assert status != 0
    assert "HG-4003" in said
    status, said = run(capsys, "dump", site)
    assert status == 0
    spool.close()
