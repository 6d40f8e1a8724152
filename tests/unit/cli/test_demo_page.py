"""The demo's page says what is where, in both languages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headgate.cli.demo.page import LivePage, PlainPage
from headgate.cli.demo.watch import Figures, Gauge, _Tail

GAUGES = (
    Gauge("gauge-001", "Gauge 001 Weir", "modbus", "m", 21.468, 21.468, 21.31, 0.26),
    Gauge("gauge-002", "Gauge 002 Mill Bridge"),
)
FIGURES = Figures(
    GAUGES, looks=40, stored=33, waiting=7, waiting_bytes=4700, sealed=20, sealed_bytes=12_000,
    broker=False, delay_s=0.26,
)  # fmt: skip


def test_plain_says_one_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    page = PlainPage("en")
    page.tell("HG-9522", seconds="3")
    for second in (4.0, 4.3, 4.9, 5.1):
        page.show(second, 20, FIGURES)
    page.close()
    first, *lines = capsys.readouterr().out.splitlines()
    assert "taken away for 3 s" in first
    assert len(lines) == 2
    assert lines[0].startswith("  4 s") and lines[1].startswith("  5 s")
    for words in ("broker taken away", "looks stored 33 of 40", "waiting on disk 7 (4.6 KiB)"):
        assert words in lines[0]


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["at the device", "at the gateway", "as stored", "taken away", "33 of 40"]),
        ("zh", ["设备端", "网关", "已入库", "已断开", "33 / 40"]),
    ],
)
def test_the_table_has_a_row_for_each_gauge(
    lang: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    page = LivePage("zh" if lang == "zh" else "en")
    page.show(5, 20, FIGURES)
    page.tell("HG-9523")
    page.close()
    said = capsys.readouterr().out
    for word in (*words, "Gauge 001 Weir", "21.468 m", "21.310 m", "0.26 s", "Gauge 002"):
        assert word in said


def test_the_truth_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    tail = _Tail(path)
    assert tail.read() == {}
    path.write_text('{"headgate_truth":1,"devices":[]}\n')
    look = {"t": 1.0, "device": "g", "sample": 1, "values": {"water_level": 2.5, "sample": 1}}
    whole = json.dumps(look) + "\n"
    with path.open("a") as file:
        file.write(whole + whole[:20])
    assert tail.read() == {"g": 2.5}
    with path.open("a") as file:
        file.write(whole[20:].replace("2.5", "3.5"))
    assert tail.read() == {"g": 3.5}
    assert tail.looks == 2
