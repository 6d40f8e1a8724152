"""What was stored against what devices said: every way to be wrong is found, and named as what it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit.stored import RUN, SECOND, WALL_S, Shelf, truth_lines, write

from headgate_receiver.verify.findings import EXAMPLES
from headgate_receiver.verify.items import Run
from headgate_receiver.verify.judge import Verdict, judge
from headgate_receiver.verify.report import sentence
from headgate_receiver.verify.truth import TruthError, read_truth

CHINA = timezone(timedelta(hours=8))
LATER = Run(RUN.gateway, b"epoch--2")


class Bench:
    """Judges lines against a shelf."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "truth.jsonl"

    def __call__(
        self, lines: Sequence[dict[str, Any]], shelf: Shelf, late_s: float = 5.0
    ) -> Verdict:
        return judge(read_truth(write(self._path, lines)), shelf, late_s=late_s, zone=CHINA)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def wrong(verdict: Verdict) -> dict[str, int]:
    """The counts of what is wrong, where there is any."""
    kinds = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")
    return {kind: verdict.counts[kind] for kind in kinds if verdict.counts[kind]}


def test_what_is_stored_once_and_unchanged_is_good(bench: Bench) -> None:
    lines = truth_lines(20)
    verdict = bench(lines, Shelf(lines))
    assert verdict.good and not wrong(verdict)
    assert verdict.counts["matched"] == verdict.counts["due"] == verdict.counts["in_time"] == 20


def test_a_look_that_is_not_there_is_missing_and_its_slot_unaccounted(bench: Bench) -> None:
    lines = truth_lines(20)
    shelf = Shelf(lines)
    del shelf.all_looks[7]
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"missing": 1, "unaccounted": 1}
    (example,) = verdict.examples["missing"]
    assert (example.device, example.sample, example.at_s) == ("gauge-1", 8, WALL_S + 17.02)


def test_a_look_that_is_there_twice_is_doubled(bench: Bench) -> None:
    lines = truth_lines(5)
    shelf = Shelf(lines)
    shelf.all_looks.append(shelf.all_looks[2])
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"doubled": 1, "counted_twice": 1}
    (twice,) = verdict.examples["counted_twice"]
    assert (twice.device, twice.sample, twice.at_s) == ("gauge-1", 2, WALL_S + 12)
    assert twice.text == "slot 2: another look at it is stored"


@pytest.mark.parametrize(
    ("stored", "same"),
    [
        (21.3 * (1 + 5e-10), True),
        (21.3 * (1 + 5e-9), False),
        (21.4, False),
        (None, False),
        (float("nan"), False),
        ("21.3", False),
    ],
)
def test_values_are_the_same_but_for_their_last_digits(
    bench: Bench, stored: object, same: bool
) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    shelf.all_looks[0].values["level"] = stored  # type: ignore[assignment]
    assert wrong(bench(lines, shelf)) == ({} if same else {"changed": 1})


def test_a_device_without_a_value_wants_a_bad_value(bench: Bench) -> None:
    lines = truth_lines(3)
    lines[1]["values"]["level"] = None
    shelf = Shelf(lines)
    assert bench(lines, shelf).good
    shelf.all_looks[0].values["level"] = 65.535
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"changed": 1}
    assert "65.535" in verdict.examples["changed"][0].text


def test_a_value_that_was_left_out_is_a_change(bench: Bench) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    del shelf.all_looks[1].values["level"]
    assert wrong(bench(lines, shelf)) == {"changed": 1}


def test_an_answer_that_a_cut_line_swallowed_is_a_look_without_values(bench: Bench) -> None:
    lines = truth_lines(20)
    shelf = Shelf(lines)
    for slot in (7, 8):
        shelf.all_looks[slot] = shelf.look(slot, dict.fromkeys(lines[1]["values"]))
    verdict = bench(lines, shelf)
    assert not wrong(verdict) and verdict.counts["in_gap"] == verdict.counts["bad"] == 2
    # Each look without values stands for one answer: it does not excuse a neighbour.
    del shelf.all_looks[9]
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_the_times_of_a_boot_without_a_trusted_clock_are_labels(bench: Bench) -> None:
    lines = truth_lines(20)
    shelf = Shelf(lines)
    (fix,) = shelf.all_fixes
    shelf.all_fixes = [msgspec.structs.replace(fix, wall_us=fix.wall_us + 60 * SECOND)]
    assert wrong(bench(lines, shelf))["changed"] == 20
    shelf.all_fixes = [msgspec.structs.replace(shelf.all_fixes[0], state="unsynced")]
    assert "changed" not in wrong(bench(lines, shelf))


def test_a_look_that_was_moved_in_time_is_a_change(bench: Bench) -> None:
    lines = truth_lines(20)
    shelf = Shelf(lines)
    moved = shelf.all_looks[7]
    shelf.all_looks[7] = moved._replace(at_us=moved.at_us + 60_000_000)
    verdict = bench(lines, shelf)
    assert wrong(verdict)["changed"] == 1
    assert "60.0 s away" in verdict.examples["changed"][0].text


def test_points_that_the_truth_does_not_know_do_not_matter(bench: Bench) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    shelf.all_looks[1].values["firmware_word"] = 513
    assert bench(lines, shelf).good


def test_a_look_that_no_device_gave_is_unexpected(bench: Bench) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    shelf.all_looks[1].values["sample"] = 77
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unexpected": 1}


def test_devices_that_are_not_simulated_do_not_matter(bench: Bench) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    shelf.all_looks.append(Shelf.look(0, {"sample": 1}, device="real-one"))
    verdict = bench(lines, shelf)
    assert verdict.good and verdict.counts["foreign"] == 1


def test_counters_wrap_at_the_width_they_have(bench: Bench) -> None:
    lines = truth_lines(65_536 + 30, first=65_520, width=65_536)
    shelf = Shelf(lines)
    verdict = bench(lines, shelf)
    assert verdict.good
    del shelf.all_looks[65_540]
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"missing": 1, "unaccounted": 1}
    assert verdict.examples["missing"][0].at_s == pytest.approx(WALL_S + 10.02 + 65_540)


def test_late_looks_are_told_and_are_no_fault(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    shelf.all_looks[3] = shelf.look(3, lines[4]["values"], delay_s=7)
    verdict = bench(lines, shelf)
    assert verdict.good
    assert (verdict.counts["late"], verdict.counts["in_time"]) == (1, 9)
    assert verdict.worst_delay_s == pytest.approx(7.01)


def test_an_answer_that_was_held_back_may_be_dropped(bench: Bench) -> None:
    lines = truth_lines(5)
    lines[3]["late_s"] = 2.5
    shelf = Shelf(lines)
    shelf.all_looks[2] = shelf.look(2, {"level": None, "sample": None})
    verdict = bench(lines, shelf)
    assert verdict.good
    assert (verdict.counts["held_back"], verdict.counts["bad"]) == (1, 1)


def test_looks_in_a_reported_gap_are_not_missing(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    del shelf.all_looks[4:6]
    shelf.all_gaps.append(shelf.gap("disk-slow", 14, 15, looks=2, slots=(4, 5)))
    verdict = bench(lines, shelf)
    assert verdict.good
    assert verdict.counts["in_gap"] == verdict.counts["in_gaps"] == 2


def test_a_gap_excuses_no_more_looks_than_it_counts(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    del shelf.all_looks[4:7]
    shelf.all_gaps.append(shelf.gap("disk-slow", 14, 15, looks=2, slots=(4, 5)))
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_a_gap_in_which_nobody_asked_excuses_no_answer(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    del shelf.all_looks[4:6]
    shelf.all_gaps.append(shelf.gap("overrun", 14, 15, looks=2, slots=(4, 5)))
    assert wrong(bench(lines, shelf)) == {"missing": 2}


def test_overruns_lie_between_looks_that_did_come(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    del shelf.all_looks[7], shelf.all_looks[5], shelf.all_looks[3]
    shelf.all_gaps.append(shelf.gap("overrun", 13, 17, looks=3, slots=(3, 7)))
    del lines[8], lines[6], lines[4]
    verdict = bench(lines, shelf)
    assert verdict.good
    assert (verdict.counts["arrived"], verdict.counts["in_gaps"]) == (7, 3)


def test_a_gap_over_slots_that_did_arrive_is_counted_twice(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    shelf.all_gaps.append(shelf.gap("disk-slow", 14, 15, looks=2, slots=(4, 5)))
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"counted_twice": 2}
    assert [each.text for each in verdict.examples["counted_twice"]] == [
        f"slot {slot}: in a gap disk-slow, and in a stored look" for slot in (4, 5)
    ]


def test_slots_that_nobody_speaks_of_are_named(bench: Bench) -> None:
    lines = truth_lines(100)
    shelf = Shelf(lines)
    del shelf.all_looks[10:90]
    verdict = bench(lines, shelf)
    assert verdict.counts["unaccounted"] == 80
    named = [each.sample for each in verdict.examples["unaccounted"]]
    assert named == list(range(10, 10 + EXAMPLES))


def test_a_look_that_disagrees_with_itself_is_a_change(bench: Bench) -> None:
    lines = truth_lines(3)
    shelf = Shelf(lines)
    shelf.all_looks[1] = shelf.all_looks[1]._replace(wrong="level: raw 1 makes 2, stored 3")
    verdict = bench(lines, shelf)
    assert wrong(verdict) == {"changed": 1}
    assert "raw 1 makes 2" in verdict.examples["changed"][0].text


def test_a_boot_without_a_clock_excuses_nothing(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    del shelf.all_looks[4]
    shelf.all_gaps.append(shelf.gap("clock-unknown", 0, 30, device=None))
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_a_timer_may_fire_a_little_before_a_look_is_due(bench: Bench) -> None:
    lines = truth_lines(5)
    shelf = Shelf(lines)
    shelf.all_looks = [
        look._replace(at_us=(10 + slot) * 1_000_000 - 900)
        for slot, look in enumerate(shelf.all_looks)
    ]
    verdict = bench(lines, shelf)
    assert verdict.good and verdict.counts["unplanned"] == 0


def test_a_killed_gateway_is_off_until_it_is_started_again(bench: Bench) -> None:
    """Killed at 14.5 s, before the look of slot 4 was safe; again there at 20.2 s."""
    lines = truth_lines(16)
    shelf = Shelf(lines)
    before, after = shelf.all_looks[:4], shelf.all_looks[11:]
    del lines[6:12]
    shelf.all_looks = before + [
        look._replace(run=LATER, slot=slot) for slot, look in enumerate(after)
    ]
    shelf.all_plans = [shelf.plan(10, 1, 0), shelf.plan(21, 1, 0, run=LATER)]
    shelf.all_plans.append(shelf.plan(26, 0, 5, run=LATER))
    assert wrong(bench(lines, shelf))
    shelf.all_gaps = [shelf.gap("gateway-off", 13.1, 20.2, device=None, run=LATER)]
    verdict = bench(lines, shelf)
    assert verdict.good
    counts = verdict.counts
    assert (counts["due"], counts["arrived"], counts["in_gaps"]) == (11 + 5, 4 + 5, 7)
    assert counts["in_gap"] == 1


def test_of_a_boot_that_was_killed_before_anything_was_stored_all_answers_are_in_the_gap(
    bench: Bench,
) -> None:
    """Answers at 20 to 22 s were given to a boot of which the platform has not even a clock."""
    lines = truth_lines(20)
    shelf = Shelf(lines)
    before, after = shelf.all_looks[:10], shelf.all_looks[13:]
    shelf.all_looks = before + [
        look._replace(run=LATER, slot=slot) for slot, look in enumerate(after)
    ]
    shelf.all_plans = [
        shelf.plan(10, 1, 0), shelf.plan(20, 0, 10), shelf.plan(23, 1, 0, run=LATER),
        shelf.plan(30, 0, 7, run=LATER),
    ]  # fmt: skip
    off = shelf.gap("gateway-off", 0, 22.9, device=None, run=LATER)
    assert wrong(bench(lines, shelf)) == {"missing": 3}
    shelf.all_gaps = [off._replace(first_boot=b"boot nobody saw.")]
    assert bench(lines, shelf).good
    del shelf.all_looks[5]  # of the boot before, which was stored: no gap speaks of that
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_what_was_due_long_before_the_last_sign_of_life_is_unaccounted(bench: Bench) -> None:
    lines = truth_lines(4)
    shelf = Shelf(lines)
    shelf.all_plans = [shelf.plan(10, 1, 0), shelf.plan(41, 0, 0, run=LATER)]
    shelf.all_gaps = [shelf.gap("gateway-off", 30, 40.5, device=None, run=LATER)]
    # Slots 4 to 14 were due at 14 to 24 s; from 25 s on they may have been in hand at 30 s.
    assert wrong(bench(lines, shelf)) == {"unaccounted": 11}


def test_a_gateway_that_runs_on_owes_nothing_of_its_last_seconds(bench: Bench) -> None:
    lines = truth_lines(40)
    shelf = Shelf(lines)
    shelf.all_plans = [shelf.plan(10, 1, 0)]
    del shelf.all_looks[35:]
    del lines[36:]
    assert bench(lines, shelf).good
    del shelf.all_looks[20]
    assert wrong(bench(lines, shelf)) == {"missing": 1, "unaccounted": 1}


def test_a_new_interval_counts_from_where_the_old_plan_ends(bench: Bench) -> None:
    lines = truth_lines(10)
    shelf = Shelf(lines)
    shelf.all_plans = [shelf.plan(10, 1, 0), shelf.plan(15, 2, 5), shelf.plan(25, 0, 10)]
    shelf.all_looks = [
        look if slot < 5 else look._replace(at_us=(15 + 2 * (slot - 5)) * 1_000_000 + 30_000)
        for slot, look in enumerate(shelf.all_looks)
    ]
    verdict = bench(lines, shelf)
    assert verdict.good and verdict.counts["due"] == 10


def test_days_end_at_midnight_of_the_site(bench: Bench) -> None:
    midnight = 1_790_006_400  # 2026-09-22 00:00 at UTC+8
    assert midnight % 86_400 == 57_600
    lines = truth_lines(10)
    shelf = Shelf(lines)
    shift = midnight - (WALL_S + 14)
    shelf.all_fixes = [
        shelf.all_fixes[0].__class__(
            shelf.all_fixes[0].boot, 0, (WALL_S + shift) * 1_000_000, "synced"
        )
    ]
    shelf.all_looks = [
        look._replace(received_s=look.received_s + shift) for look in shelf.all_looks
    ]
    for line in lines[1:]:
        line["t"] += shift
    days = bench(lines, shelf).days
    assert [(day.day, day.due, day.arrived) for day in days] == [
        ("2026-09-21", 4, 4),
        ("2026-09-22", 6, 6),
    ]


def test_without_a_clock_the_day_is_unknown_and_nothing_is_in_time(bench: Bench) -> None:
    lines = truth_lines(4)
    shelf = Shelf(lines)
    shelf.all_fixes = []
    verdict = bench(lines, shelf)
    assert verdict.good
    assert [(day.day, day.due, day.in_time) for day in verdict.days] == [("?", 4, 0)]


def test_looks_without_a_plan_are_told_and_not_guessed_at(bench: Bench) -> None:
    lines = truth_lines(4)
    shelf = Shelf(lines)
    shelf.all_plans = []
    verdict = bench(lines, shelf)
    assert (verdict.counts["due"], verdict.counts["unplanned"]) == (0, 4)
    # The last sentence does not claim what nobody can know.
    assert "every slot is accounted for" not in sentence(verdict, "en")


# ---------------------------------------------------------------- the truth file


def test_half_a_last_line_is_a_simulator_that_was_killed(tmp_path: Path) -> None:
    path = write(tmp_path / "truth.jsonl", truth_lines(3))
    path.write_bytes(path.read_bytes() + b'{"t":1790000013.0,"dev')
    truth = read_truth(path)
    assert truth.cut_off and truth.looks == 3


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "HG-7510"),
        (b'{"a":1}\n', "HG-7510"),
        (b'{"headgate_truth":2,"devices":[]}\n', "HG-7512"),
        (b'{"headgate_truth":1,"devices":[]}\n[1]\n', "HG-7510"),
        (
            b'{"headgate_truth":1,"devices":[]}\n{"t":1,"device":"a","sample":1,"values":{"x":"y"}}\n',
            "HG-7510",
        ),
    ],
)  # fmt: skip
def test_what_is_no_truth_file_is_said_to_be_none(
    tmp_path: Path, content: bytes, code: str
) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_bytes(content)
    with pytest.raises(TruthError) as caught:
        read_truth(path)
    assert caught.value.code == code


def test_a_truth_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TruthError) as caught:
        read_truth(tmp_path / "none.jsonl")
    assert caught.value.code == "HG-7511"
