"""What the receiver's own stores keep is read back as looks, plans, gaps and clocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from kit.stored import BOOT, RUN, SECOND, WALL_S, truth_lines, write
from typer.testing import CliRunner

from headgate.crypto.provider import default_provider
from headgate.env import system_env
from headgate.envelope.payload import encode_table
from headgate.model import ClockFix, Gap, GapReason, Item, Plan, Point, PointTable
from headgate_receiver.jsonl import JsonLinesSink
from headgate_receiver.sqlite import SqliteSink
from headgate_receiver.store import Batch, Look, NewTable, OpenRecord, Sink
from headgate_receiver.verify.cli import app
from headgate_receiver.verify.stored import StoredError, open_stored

TABLE = PointTable(
    4, "gauge-1", (Point("level", "f64", "m"), Point("sample", "u32"), Point("spare", "u16"))
)
BODY = encode_table(TABLE)
DIGEST = default_provider().sm3(BODY)
SINKS: dict[str, Callable[[Path], Sink]] = {
    "sqlite": lambda path: SqliteSink(path, system_env().files),
    "jsonl": lambda path: JsonLinesSink(path, system_env().files),
}


@pytest.fixture(params=SINKS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path) -> str:
    return f"{kind}:{tmp_path / 'store'}"


@pytest.fixture
def sink(kind: str, tmp_path: Path) -> Iterator[Sink]:
    with closing(SINKS[kind](tmp_path / "store")) as made:
        yield made


def look(slot: int, level: float | None, sample: int | None) -> Look:
    quality = [2 if value is None else 0 for value in (level, sample, None)]
    at_us = 10 * SECOND + slot * SECOND + 30_000
    values = (level, sample, None)
    return Look(DIGEST, 4, at_us, slot, None, range(3), values, values, quality, [0] * 3, None)


def record(n: int, looks: Sequence[Look], items: Sequence[Item] = ()) -> OpenRecord:
    received_us = (WALL_S + 20) * SECOND
    return OpenRecord(RUN.gateway, RUN.epoch, n, BOOT, received_us, looks, items, ())


def commit(sink: Sink, *records: OpenRecord, again: bool = False) -> None:
    tables = [] if again else [NewTable(DIGEST, BODY, TABLE)]
    sink.commit(Batch((WALL_S + 20) * SECOND, tables=tables, records=list(records)))


def the_road(looks: int) -> list[OpenRecord]:
    """What a gateway would have sent of `truth_lines(looks)`, a look in each record."""
    said = [line["values"] for line in truth_lines(looks)[1:]]
    first: list[Item] = [
        ClockFix(BOOT, 5 * SECOND, (WALL_S + 5) * SECOND, 10, "synced"),
        Plan(4, DIGEST, 10 * SECOND, SECOND, 3),
    ]
    last: list[Item] = [Plan(4, DIGEST, (10 + looks) * SECOND, 0, 3, looks)]
    records = [
        record(n, [look(n, values["level"], values["sample"])]) for n, values in enumerate(said)
    ]
    return [record(1000, [], first), *records, record(1001, [], last)]


def run(source: str, truth: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--truth", str(truth), "--stored", source, *more])
    return done.exit_code, done.output


def test_the_road_is_good_from_end_to_end(sink: Sink, source: str, tmp_path: Path) -> None:
    commit(sink, *the_road(12))
    truth = write(tmp_path / "truth.jsonl", truth_lines(12))
    status, said = run(source, truth, "--format", "json", "--late", "20s")
    found = json.loads(said)
    assert (status, found["good"], found["counts"]["matched"]) == (0, True, 12)
    (day,) = found["days"]
    assert (day["device"], day["due"], day["arrived"], day["in_time"]) == ("gauge-1", 12, 12, 12)


def test_a_look_that_also_tells_of_midnight_is_the_look_of_its_slot(
    sink: Sink, source: str, tmp_path: Path
) -> None:
    # What is due once a day comes with one look of the day, dated back: no other look lacks it.
    first, *records, last = the_road(12)
    for at, each in enumerate(records):
        (one,) = each.looks
        if at == 5:
            dated_back = msgspec.structs.replace(one, offsets_us=[-43_200 * SECOND, 0, 0])
            records[at] = record(at, [dated_back])
        else:
            two = {
                name: getattr(one, name)[:2]
                for name in ("points", "raws", "values", "qualities", "statuses")
            }
            records[at] = record(at, [msgspec.structs.replace(one, **two)])
    commit(sink, first, *records, last)
    truth = write(tmp_path / "truth.jsonl", truth_lines(12))
    status, said = run(source, truth, "--format", "json", "--late", "20s")
    found = json.loads(said)
    assert (status, found["examples"]) == (0, {})
    counts = found["counts"]
    assert (counts["matched"], counts["arrived"], counts["unplanned"]) == (12, 12, 0)
    (day,) = found["days"]
    assert (day["due"], day["arrived"], day["in_time"], day["unaccounted"]) == (12, 12, 12, 0)


def test_a_lost_record_makes_the_status_1(sink: Sink, source: str, tmp_path: Path) -> None:
    records = the_road(12)
    del records[5]
    commit(sink, *records)
    truth = write(tmp_path / "truth.jsonl", truth_lines(12))
    status, said = run(source, truth, "--format", "junit")
    assert status == 1
    assert '<failure message="1 missing">gauge-1 #5 ' in said
    assert '<testcase classname="headgate.verify" name="doubled"/>' in said


def test_a_look_in_two_records_is_doubled(sink: Sink, source: str, tmp_path: Path) -> None:
    records = the_road(3)
    commit(sink, *records, record(77, records[2].looks))
    truth = write(tmp_path / "truth.jsonl", truth_lines(3))
    status, said = run(source, truth, "--format", "json")
    assert (status, json.loads(said)["counts"]["doubled"]) == (1, 1)


def test_a_look_twice_in_one_record_is_two_looks(sink: Sink, source: str) -> None:
    commit(sink, record(0, [look(0, 1.5, 1), look(0, 1.5, 1)]))
    with closing(open_stored(source)) as stored:
        assert len(list(stored.looks())) == 2


def test_what_was_stored_comes_back_as_it_was(sink: Sink, source: str) -> None:
    gap = Gap(4, GapReason.DEVICE_SILENT, 13 * SECOND, 14 * SECOND, 2, 6, 3, 4)
    off = Gap(0, GapReason.GATEWAY_OFF, 1, 2, None, None, boot=b"boot-before-this")
    commit(sink, record(0, [look(0, None, 7)], [gap, off, Plan(4, DIGEST, 0, SECOND, 3)]))
    with closing(open_stored(source)) as stored:
        (found,) = stored.looks()
        assert (found.run, found.device, found.boot, found.slot) == (RUN, "gauge-1", BOOT, 0)
        assert found.values == {"level": None, "sample": 7, "spare": None}
        assert found.received_s == WALL_S + 20
        device, whole = stored.gaps()
        assert (device.device, device.looks, device.first_slot, device.last_slot) == (
            "gauge-1", 2, 3, 4,
        )  # fmt: skip
        assert (whole.device, whole.first_boot, whole.last_boot) == (
            None,
            b"boot-before-this",
            BOOT,
        )
        assert [plan.device for plan in stored.plans()] == ["gauge-1"]


def test_other_gateways_can_be_left_out(sink: Sink, source: str) -> None:
    commit(sink, record(0, [look(0, 1.0, 1)]))
    with closing(open_stored(source, "another")) as stored:
        assert not list(stored.looks())


def test_lines_that_were_not_committed_are_not_stored(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with closing(SINKS["jsonl"](path)) as sink:
        commit(sink, record(0, [look(0, 1.0, 1)]))
    whole = path.read_bytes()
    path.write_bytes(whole + whole)
    with closing(open_stored(f"jsonl:{path}")) as stored:
        assert len(list(stored.looks())) == 1


@pytest.mark.parametrize(
    ("source", "code"),
    [("postgres:here", "HG-7521"), ("sqlite:", "HG-7521"), ("sqlite:/nowhere/at/all", "HG-7520")],
)
def test_a_store_that_is_none_is_said_to_be_none(source: str, code: str) -> None:
    with pytest.raises(StoredError) as caught:
        open_stored(source)
    assert caught.value.code == code


def test_a_file_that_is_no_store_is_asked_for_wrongly(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("what?" * 1000)
    truth = write(tmp_path / "truth.jsonl", truth_lines(1))
    status, said = run(f"sqlite:{tmp_path / 'store'}", truth)
    assert status == 2 and "HG-7520" in said
    assert run(f"sqlite:{tmp_path / 'store'}", truth, "--late", "soon")[0] == 2


def test_a_value_that_its_raw_value_does_not_make_is_a_change(
    sink: Sink, source: str, tmp_path: Path
) -> None:
    road = the_road(6)
    spoilt = road[3].looks[0]
    raws = (spoilt.raws[0], 77, spoilt.raws[2])
    road[3] = msgspec.structs.replace(road[3], looks=[msgspec.structs.replace(spoilt, raws=raws)])
    commit(sink, *road)
    truth = write(tmp_path / "truth.jsonl", truth_lines(6))
    status, said = run(source, truth, "--format", "json", "--late", "20s")
    found = json.loads(said)
    assert (status, found["counts"]["changed"]) == (1, 1)
    assert "raw 77 makes 77, stored 3" in found["examples"]["changed"][0]["text"]
