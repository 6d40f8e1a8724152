"""The instruments and the farm around them, without a wire."""

from __future__ import annotations

import json
import math
import struct
import tomllib
from pathlib import Path
from typing import Any

import pytest

from headgate_simulators.control import obey
from headgate_simulators.faults import FaultKind
from headgate_simulators.truth import TruthFile, TruthList
from headgate_simulators.water_gauge.farm import FarmPlan, WaterGaugeFarm
from headgate_simulators.water_gauge.gauge import Gauge
from headgate_simulators.water_gauge.instruments import INSTRUMENTS, Instrument
from headgate_simulators.water_gauge.site import site_fragment
from headgate_simulators.world import Storm, World, WorldClock

START = 1_790_000_000.0
RIGHT = frozenset[FaultKind]()


def instrument(model: str, seed: int = 7) -> Instrument:
    world = World(seed, START, [Storm(START + 60, 80, 1800)])
    return INSTRUMENTS[model](world, world.places(4)[1], "gauge-001")


@pytest.mark.parametrize("model", INSTRUMENTS)
def test_the_same_seed_gives_the_same_gauge(model: str) -> None:
    one, same, other = instrument(model), instrument(model), instrument(model, seed=8)
    looks = [START + 13.7 * i for i in range(100)]
    assert one.params == same.params
    assert [one.measure(t, RIGHT) for t in looks] == [same.measure(t, RIGHT) for t in looks]
    assert [one.measure(t, RIGHT) for t in looks] != [other.measure(t, RIGHT) for t in looks]


@pytest.mark.parametrize("model", INSTRUMENTS)
def test_every_register_is_a_word_and_there_are_as_many_as_the_manual_lists(model: str) -> None:
    gauge = instrument(model)
    for i in range(200):
        registers = gauge.measure(START + 60 * i, RIGHT).registers
        assert len(registers) == gauge.size
        assert all(0 <= word <= 0xFFFF for word in registers)


@pytest.mark.parametrize("model", ["radar-1", "radar-2", "probe"])
def test_the_level_told_is_the_rivers(model: str) -> None:
    gauge = instrument(model)
    for i in range(0, 4000, 37):
        level = gauge.measure(START + i, RIGHT).values["water_level"]
        assert level == pytest.approx(
            gauge.world.water_level_m(gauge.place, START + i), abs=0.00051
        )


def test_tips_are_whole_and_follow_the_rain() -> None:
    gauge = instrument("rain")
    first = gauge.measure(START, RIGHT).values["rain_total"]
    later = gauge.measure(START + 3600, RIGHT).values["rain_total"]
    assert isinstance(first, float)
    assert isinstance(later, float)
    fallen = gauge.world.rain_mm_total(gauge.place, START + 3600)
    assert fallen > 10
    assert later - first == pytest.approx(fallen, abs=gauge.params["mm_per_tip"])
    minute = gauge.measure(START + 960, RIGHT).values["rain_last_minute"]
    assert minute == pytest.approx(80 / 60, abs=2 * gauge.params["mm_per_tip"])


def test_a_blocked_rain_gauge_stands_still_and_says_so() -> None:
    gauge = instrument("rain")
    wrong = frozenset({FaultKind.BLOCKED, FaultKind.LOW_BATTERY})
    before = gauge.measure(START + 600, wrong)
    after = gauge.measure(START + 1500, wrong)
    assert after.values["rain_total"] == before.values["rain_total"]
    assert (after.values["rain_last_minute"], after.values["status"]) == (0, 3)
    assert gauge.measure(START + 1500, RIGHT).values["status"] == 0


@pytest.mark.parametrize(
    ("model", "sample", "words"),
    [
        ("radar-1", 65536, [0]),
        ("radar-1", 65535, [65535]),
        ("radar-2", 65536, [1, 0]),
        ("probe", 2**32 + 5, [0, 5]),
        ("rain", 65537, [1]),
    ],
)
def test_the_counter_wraps_as_wide_as_it_is(model: str, sample: int, words: list[int]) -> None:
    gauge = Gauge("g", "G", 1, instrument(model), WorldClock(START), sample=sample - 1)
    line = gauge.look(START, RIGHT, counted=True)
    counter = gauge.instrument.counter
    assert gauge.registers[counter[0] : counter[-1] + 1] == words
    assert (
        line["sample"]
        == line["values"]["sample"]
        == int.from_bytes(struct.pack(f">{len(words)}H", *words), "big")
    )


def test_a_measurement_is_held_for_the_rest_of_the_look_and_no_longer() -> None:
    gauge = Gauge("g", "G", 1, instrument("radar-2"), WorldClock(START, speed=600))
    first, piece, later = (
        gauge.look(START + at, RIGHT, counted=False)["values"] for at in (5, 5.09, 5.2)
    )
    assert piece == first
    assert later != first


def test_a_look_without_echo_is_not_a_number() -> None:
    measured = instrument("radar-2").measure(START, frozenset({FaultKind.NO_ECHO}))
    low, high = measured.registers[1:3]
    (told,) = struct.unpack(">f", struct.pack(">HH", high, low))
    assert math.isnan(told)
    assert measured.values["water_level"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"per_connection": 248},
        {"models": ("sonar",)},
        {"port": 65535, "count": 2},
    ],
)
def test_a_farm_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"count|per-connection|models|ports"):
        FarmPlan(**wrong)


def farm(**wanted: Any) -> WaterGaugeFarm:
    return WaterGaugeFarm(FarmPlan(**wanted), TruthList(), now=lambda: START)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"fault":"silent","device":"gauge-001","on":true}', None),
        ('{"storm":{"peak_mm_h":60,"duration_s":600}}', None),
        ('{"fault":"silent","device":"gauge-009","on":true}', "not in this farm"),
        ('{"fault":"silent","device":"gauge-001"}', "a command is"),
        ('{"fault":"slow","value":"long","on":true}', "not a number"),
        ('{"fault":"blocked","device":"gauge-001","on":true}', "does not fit"),
        ('{"storm":{"peak_mm_h":-1}}', "storm needs"),
        ('{"storm":{"peak_mm_h":null}}', "not a number"),
        ("[1]", "one JSON object"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
async def test_a_command_is_done_or_answered_with_what_is_wrong(
    line: str, said: str | None
) -> None:
    answer = await obey(line, farm(count=4).command)
    assert answer["ok"] is (said is None)
    assert said is None or said in answer["error"]


def test_the_site_fragment_is_toml_with_one_channel_a_port() -> None:
    params = {"mounting_elevation_m": 42.5}
    device = {
        "id": "gauge-001", "name": "Gauge 001 \u6865", "model": "generic/radar-level",
        "firmware": "1.4", "host": "127.0.0.1", "port": 15020, "unit": 1, "params": params,
    }  # fmt: skip
    other = {**device, "id": "gauge-002", "unit": 2}
    alone = {**device, "id": "gauge-003", "host": "::1", "port": 15021}
    site = tomllib.loads(site_fragment([device, other, alone], "250ms"))
    assert site["channel"] == [
        {"id": "line-001", "url": "modbus+tcp://127.0.0.1:15020"},
        {"id": "gauge-003", "url": "modbus+tcp://[::1]:15021"},
    ]
    assert [(d["channel"], d["address"]) for d in site["device"]] == [
        ("line-001", 1), ("line-001", 2), ("gauge-003", 1),
    ]  # fmt: skip
    assert site["device"][0] == {
        "id": "gauge-001", "name": "Gauge 001 \u6865", "channel": "line-001", "address": 1,
        "profile": "generic/radar-level", "firmware": "1.4", "interval": "250ms", "params": params,
    }  # fmt: skip


def test_the_truth_file_is_whole_lines_after_each_flush(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "truth.jsonl"
    truth = TruthFile(path)
    assert not path.exists()
    truth.write({"headgate_truth": 1})
    truth.flush()
    truth.write({"device": "\u6c34"})
    assert path.read_text("utf-8") == '{"headgate_truth":1}\n'
    truth.close()
    assert [json.loads(x) for x in path.read_text("utf-8").splitlines()][1] == {"device": "\u6c34"}
