"""`headgate spool check`: sound, torn, altered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.cli import main
from headgate.env import system_env
from headgate.model import Lane
from headgate.spool import ClearIndex, SealedRecord, Spool

SITE = 'schema = 1\n[gateway]\nid = "g"\n[state]\nfolder = "state"\n'


def record(n: int, lane: Lane = Lane.LIVE) -> SealedRecord:
    index = ClearIndex(readings=10, first_us=n, last_us=n, boot=bytes(16), devices=((1, 10),))
    return SealedRecord(b"epoch..1", n, b"key....1", lane, bytes([n]) * 400, index)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE)
    spool = Spool(system_env(), tmp_path / "state" / "spool", ballast_bytes=0)
    spool.open()
    spool.commit([record(n) for n in range(5)] + [record(5, Lane.ALARM)])
    spool.close()
    return tmp_path


def check(site: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["spool", "check", str(site), "--lang", "en", *more])
    return int(left.value.code or 0), capsys.readouterr().out


def data_segment(site: Path) -> Path:
    (path,) = (site / "state" / "spool" / "data").glob("*.seg")
    return path


def test_a_sound_spool_is_counted(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = check(site, capsys)
    assert status == 0
    assert "2 segments, 6 records, 60 readings" in said
    status, said = check(site, capsys, "--format", "json")
    assert {r["log"]: r["by_lane"] for r in json.loads(said)} == {
        "alarms": {"alarm": 1}, "data": {"live": 5},
    }  # fmt: skip


def test_an_altered_record_is_found(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_segment(site)
    data = path.read_bytes()
    path.write_bytes(data.replace(bytes([2]) * 400, bytes([2]) * 399 + b"!"))
    status, said = check(site, capsys)
    assert status == 1
    assert "1 records are not what was written" in said


def test_a_torn_end_is_no_damage(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_segment(site)
    path.write_bytes(path.read_bytes()[:-100])
    status, said = check(site, capsys)
    assert status == 0
    assert "unfinished write" in said
    assert "5 records, 50 readings" in said


def test_bytes_that_are_no_segment_are_told(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_segment(site).write_bytes(b"not a segment at all" * 20)
    status, said = check(site, capsys)
    assert status == 1
    assert "the header is damaged" in said
