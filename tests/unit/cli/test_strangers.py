"""Numbers that dialled and are nobody's, as devices that a technician looks at and keeps."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from headgate.cli.stations import _fitting, answer, entries_of, page


def port(*numbers: str, url: str = "sl651+listen://[::]:5651") -> dict[str, Any]:
    strangers = [
        {"station": number, "peer": "10.0.0.7:40122", "times": 3, "ago_s": 31.0}
        for number in numbers
    ]
    return {
        "channel": "stations", "state": "up", "url": url, "on_line": [], "off_line": [],
        "strangers": strangers,
    }  # fmt: skip


def test_each_stranger_is_a_device_of_a_site_file() -> None:
    text = "\n".join(entries_of([port("0060000002", "420104C900")], "generic/hydrological-station"))
    assert tomllib.loads(text)["device"] == [
        {
            "id": f"stations-{number.lower()}", "channel": "stations", "address": number,
            "profile": "generic/hydrological-station",
        }
        for number in ("0060000002", "420104C900")
    ]  # fmt: skip


def test_what_a_stranger_calls_itself_cannot_write_the_site_file() -> None:
    hostile = 'x"\n[gateway]\nid = "mine\x1b[2J'
    text = "\n".join(entries_of([port(hostile)], "generic/hydrological-station"))
    said = tomllib.loads(text)
    assert set(said) == {"device"} and len(said["device"]) == 1
    assert said["device"][0]["id"] == "stations-x-gateway-id-mine-2j"


def test_a_profile_is_proposed_by_the_driver_of_the_port() -> None:
    ports = [port(), {**port(url="hj212+listen://0.0.0.0:9212"), "channel": "loggers"}]
    fits = _fitting([*ports, {**port(url="nothing://x"), "channel": "other"}])
    assert fits["stations"] == "generic/hydrological-station"
    assert fits["loggers"].startswith("generic/") and fits["other"] == ""


def test_who_sees_strangers_is_told_how_to_take_them_over() -> None:
    assert "headgate stations strangers" in page(port("0060000002"))
    assert "headgate stations strangers" not in page(port())


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "own clock is not trusted"), ("zh", "网关自身时钟")]
)
def test_a_clock_that_nobody_can_judge_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, lang: str, words: str
) -> None:
    monkeypatch.setenv("HEADGATE_LANG", lang)
    told = [{"name": "clock", "value": "2026-07-01 08:00:00", "unit": "", "at": ""}]
    said = {"errand": "clock", "frames": [], "told": told, "own_clock": False}
    assert words in answer(said)[-1]
    # Where it is trusted the answer says how far off, and asked for something else nobody wonders.
    assert answer({**said, "own_clock": True}) == answer({**said, "errand": "version"})
