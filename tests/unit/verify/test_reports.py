"""What stations were confirmed is stored, once, as they said it; what they were not, they still have."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from kit.stored import BOOT, RUN, SECOND, WALL_S, Shelf, write

from headgate_receiver.verify.items import Look
from headgate_receiver.verify.judge import Verdict, judge
from headgate_receiver.verify.report import as_json, as_text
from headgate_receiver.verify.truth import TruthError, read_truth

HEADER = {"headgate_truth": 1, "seed": 7, "started": WALL_S, "devices": [{"id": "st-001"}]}


def told(serial: int | str, *instants: tuple[int, dict[str, Any]], who: str = "st-001") -> Any:
    said = [[WALL_S + at, values] for at, values in instants]
    return {"t": WALL_S + 1.0, "device": who, "serial": serial, "told": said}


def confirmed(serial: int | str, tries: int = 1, after_s: float = 0.25) -> Any:
    return {
        "t": WALL_S + 2.0, "device": "st-001", "confirmed": serial, "after_s": after_s,
        "tries": tries,
    }  # fmt: skip


def stored(at: int, values: dict[str, Any]) -> Look:
    received_s = WALL_S + 5.0
    return Look(
        RUN, "st-001", BOOT, 10 * SECOND, None, received_s, values, "", (WALL_S + at) * SECOND
    )


HOUR = (0, {"level": 21.3, "rain": 0.5}), (300, {"level": 21.4, "rain": 0.0})
LINES = [
    HEADER,
    told(1, *HOUR),
    confirmed(1),
    told(2, (600, {"level": 21.5})),
    confirmed(2, 3, 4.0),
]


def shelf() -> Shelf:
    there = Shelf([])
    # What only the gateway knows of a look stands beside what the station said.
    there.all_looks = [
        stored(0, {"level": 21.3, "rain": 0.5, "clock_off": 2.0}),
        stored(300, {"level": 21.4, "rain": 0.0}),
        stored(600, {"level": 21.5}),
    ]
    return there


@pytest.fixture
def against(tmp_path: Path) -> Callable[..., Verdict]:
    def compare(there: Shelf, lines: list[dict[str, Any]] = LINES) -> Verdict:
        truth = read_truth(write(tmp_path / "truth.jsonl", lines))
        return judge(truth, there, late_s=5.0, zone=UTC)

    return compare


def test_what_was_confirmed_and_is_there_is_good(against: Callable[..., Verdict]) -> None:
    found = against(shelf())
    assert found.good
    assert (found.counts["truth"], found.counts["matched"], found.counts["unconfirmed"]) == (
        3,
        3,
        0,
    )
    assert found.stations is not None
    assert (found.stations.reports, found.stations.confirmed, found.stations.said_again) == (
        2,
        2,
        1,
    )
    assert found.stations.longest_s == 4.0


def test_an_instant_that_is_not_there_is_missing_though_a_gap_lies_over_it(
    against: Callable[..., Verdict],
) -> None:
    there = shelf()
    del there.all_looks[1]
    there.all_gaps = [Shelf.gap("gateway-off", 0, 1000, device=None)]
    found = against(there)
    assert not found.good
    assert found.counts["missing"] == 1
    (example,) = found.examples["missing"]
    assert (example.device, example.sample, example.at_s) == ("st-001", 1, WALL_S + 300.0)


def test_an_instant_that_is_there_twice_is_doubled(against: Callable[..., Verdict]) -> None:
    there = shelf()
    there.all_looks.append(there.all_looks[2])
    found = against(there)
    assert (found.counts["doubled"], found.counts["missing"], found.good) == (1, 0, False)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"level": 21.4, "rain": 0.1}, "rain: 0.0 was stored as 0.1"),
        ({"level": 21.4}, "rain: 0.0 was not stored"),
        ({"level": None, "rain": 0.0}, "level: 21.4 was stored as None"),
    ],
)
def test_other_values_are_a_change(
    against: Callable[..., Verdict], values: dict[str, Any], text: str
) -> None:
    there = shelf()
    there.all_looks[1] = stored(300, values)
    found = against(there)
    assert (found.counts["changed"], found.counts["missing"], found.good) == (1, 0, False)
    assert found.examples["changed"][0].text == text


def test_what_no_report_says_is_unexpected(against: Callable[..., Verdict]) -> None:
    there = shelf()
    there.all_looks.append(stored(900, {"level": 21.6}))
    found = against(there)
    assert (found.counts["unexpected"], found.good) == (1, False)


def test_two_reports_of_one_instant_are_two_looks(against: Callable[..., Verdict]) -> None:
    lines = [*LINES, told(3, (600, {"level": 21.5})), confirmed(3)]
    assert against(shelf(), lines).counts["missing"] == 1
    there = shelf()
    there.all_looks.append(stored(600, {"level": 21.5}))
    assert against(there, lines).good


def test_what_was_not_confirmed_may_be_there_or_not(against: Callable[..., Verdict]) -> None:
    lines = LINES[:-1]
    found = against(shelf(), lines)
    assert found.good
    there = shelf()
    del there.all_looks[2]
    found = against(there, lines)
    assert found.good
    assert (found.counts["unconfirmed"], found.counts["missing"]) == (1, 0)
    assert "1 not confirmed (1 looks" in as_text(found, "en", UTC)
    assert "未确认" in as_text(found, "zh", UTC)


def test_of_two_that_say_the_same_the_confirmed_one_is_there(
    against: Callable[..., Verdict],
) -> None:
    lines = [
        *LINES[:3],
        told(2, (600, {"level": 21.5})),
        told(3, (600, {"level": 21.5})),
        confirmed(3),
    ]
    assert against(shelf(), lines).good


def test_a_serial_number_that_comes_again_is_another_report(
    against: Callable[..., Verdict],
) -> None:
    lines = [*LINES, told(1, (900, {"level": 21.7})), confirmed(1)]
    found = against(shelf(), lines)
    assert found.counts["missing"] == 1
    assert found.examples["missing"][0].at_s == WALL_S + 900.0


def test_a_twin_reports_and_nobody_owes_it_anything(against: Callable[..., Verdict]) -> None:
    lines = [*LINES, told(9, (60, {"level": 3.0}), who="st-001/twin")]
    assert against(shelf(), lines).good
    there = shelf()
    there.all_looks.append(stored(60, {"level": 3.0}))
    assert against(there, lines).good


def test_a_fault_that_was_switched_on_is_nobodys_look(
    tmp_path: Path, against: Callable[..., Verdict]
) -> None:
    hush = {"t": WALL_S + 9.0, "device": "*", "fault": "hush", "on": True}
    assert against(shelf(), [*LINES, hush]).faults == {}
    header = {**HEADER, "devices": [{"id": "tag-001"}]}
    other = write(tmp_path / "other.jsonl", [header, hush])
    truth = read_truth(write(tmp_path / "one.jsonl", [*LINES, hush]), other)
    assert set(truth.stations) == {"st-001"} and set(truth.devices) == {"tag-001"}


def test_that_a_station_is_silent_is_no_report(against: Callable[..., Verdict]) -> None:
    there = shelf()
    silent = Look(RUN, "st-001", BOOT, 20 * SECOND, None, WALL_S + 20.0, {"level": None})
    there.all_looks.append(silent)
    found = against(there)
    assert (found.good, found.counts["bad"]) == (True, 1)


def test_bytes_are_compared_by_their_hex(against: Callable[..., Verdict]) -> None:
    lines = [HEADER, told("a7", (0, {"picture": "ffd8ffd9"})), confirmed("a7")]
    there = Shelf([])
    for value in (b"\xff\xd8\xff\xd9", "/9j/2Q=="):  # as tables keep them, and as JSON lines do
        there.all_looks = [stored(0, {"picture": value})]
        assert against(there, lines).good
    there.all_looks = [stored(0, {"picture": b"\xff\xd8"})]
    assert against(there, lines).counts["changed"] == 1


@pytest.mark.parametrize(
    "line", [confirmed(5), {"t": 1.0, "device": "st-001", "told": [[1.0, {}]]}]
)
def test_a_truth_that_contradicts_itself_is_refused_with_its_line(
    tmp_path: Path, line: dict[str, Any]
) -> None:
    path = write(tmp_path / "truth.jsonl", [*LINES, line])
    with pytest.raises(TruthError) as refused:
        read_truth(path)
    assert refused.value.fields["line"] == len(LINES) + 1


def test_the_report_for_programs_has_what_stations_waited(
    against: Callable[..., Verdict],
) -> None:
    report = json.loads(as_json(against(shelf())))
    assert report["stations"] == {
        "reports": 2, "confirmed": 2, "said_again": 1, "p50_s": 4.0, "p99_s": 4.0, "longest_s": 4.0,
    }  # fmt: skip
    assert report["counts"]["unconfirmed"] == 0
