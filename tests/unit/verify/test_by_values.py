"""Devices that tell no sample counter: a stored look is known by its values and its time."""

from __future__ import annotations

from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from kit.stored import Shelf, truth_lines, write

from headgate_receiver.verify.judge import Verdict, judge
from headgate_receiver.verify.truth import TruthError, read_truth

CHINA = timezone(timedelta(hours=8))


def uncounted(looks: int, *, repeats: bool = False) -> list[dict[str, Any]]:
    """A truth whose values do not hold the counter."""
    lines = truth_lines(looks)
    lines[0]["devices"] = [{"id": "gauge-1", "counter": False, "repeats": repeats}]
    for line in lines[1:]:
        line["values"] = {"level": line["values"]["level"], "open": False}
    return lines


def verdict_of(folder: Path, lines: list[dict[str, Any]], shelf: Shelf) -> Verdict:
    truth = read_truth(write(folder / "truth.jsonl", lines))
    return judge(truth, shelf, late_s=5.0, zone=CHINA)


def wrong(verdict: Verdict) -> dict[str, int]:
    kinds = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")
    return {kind: verdict.counts[kind] for kind in kinds if verdict.counts[kind]}


def test_what_was_said_and_is_stored_once_is_good(tmp_path: Path) -> None:
    lines = uncounted(20)
    verdict = verdict_of(tmp_path, lines, Shelf(lines))
    assert verdict.good and verdict.counts["matched"] == 20


def test_equal_values_one_after_another_are_told_apart_by_time(tmp_path: Path) -> None:
    lines = uncounted(20)
    for line in lines[1:]:
        line["values"]["level"] = 1.0
    assert verdict_of(tmp_path, lines, Shelf(lines)).good
    shelf = Shelf(lines)
    del shelf.all_looks[7]
    assert wrong(verdict_of(tmp_path, lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_a_value_that_nobody_said_is_a_change(tmp_path: Path) -> None:
    lines = uncounted(20)
    shelf = Shelf(lines)
    shelf.all_looks[7].values["level"] = 4.2
    verdict = verdict_of(tmp_path, lines, shelf)
    assert wrong(verdict) == {"changed": 1}
    assert "4.2" in verdict.examples["changed"][0].text


def test_a_bad_look_is_no_answer_and_excuses_none(tmp_path: Path) -> None:
    lines = uncounted(20)
    shelf = Shelf(lines)
    shelf.all_looks[7].values.update(level=None, open=None)
    verdict = verdict_of(tmp_path, lines, shelf)
    assert wrong(verdict) == {"missing": 1} and verdict.counts["bad"] == 1


def test_a_look_stored_twice_is_doubled(tmp_path: Path) -> None:
    lines = uncounted(20)
    shelf = Shelf(lines)
    shelf.all_looks.append(shelf.all_looks[3])
    assert wrong(verdict_of(tmp_path, lines, shelf)) == {"doubled": 1, "counted_twice": 1}


def test_a_look_that_nobody_gave_is_unexpected(tmp_path: Path) -> None:
    lines = uncounted(10)
    shelf = Shelf(lines)
    shelf.all_looks.append(shelf.look(40, {"level": 9.0, "open": False}, at_s=50.0))
    assert wrong(verdict_of(tmp_path, lines, shelf)) == {"unexpected": 1}


def test_a_tag_that_repeats_itself_is_stored_once_in_a_while(tmp_path: Path) -> None:
    lines = uncounted(9, repeats=True)
    for line in lines[1:]:
        line["values"]["level"] = 1.0 if line["sample"] < 6 else 2.0
    shelf = Shelf(lines)
    shelf.all_looks = [shelf.all_looks[0], shelf.all_looks[5]]
    shelf.all_plans = []
    verdict = verdict_of(tmp_path, lines, shelf)
    assert verdict.good and verdict.counts["repeated"] == 7
    # What changed is owed at once.
    del shelf.all_looks[1]
    assert wrong(verdict_of(tmp_path, lines, shelf)) == {"missing": 4}


def test_a_flag_may_be_told_as_true_or_as_one(tmp_path: Path) -> None:
    lines = uncounted(3)
    shelf = Shelf(lines)
    lines[1]["values"]["open"] = True
    shelf.all_looks[0].values["open"] = 1
    assert verdict_of(tmp_path, lines, shelf).good


def test_several_truths_are_one_and_none_speaks_of_the_others_devices(tmp_path: Path) -> None:
    first, second = truth_lines(5), truth_lines(7, device="gauge-2")
    paths = [write(tmp_path / "a", first), write(tmp_path / "b", second)]
    assert read_truth(*paths).looks == 12
    with pytest.raises(TruthError, match="gauge-2: also in another file"):
        read_truth(*paths, paths[1])
