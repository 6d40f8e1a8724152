"""What `check` says of a serial bus before anybody drives out to build it."""

from __future__ import annotations

import pytest

from headgate.runtime.busload import Share, check_buses, seconds_of
from headgate.sdk import LineSettings

BUS = "modbus+rtu:///dev/ttyS1?baud=9600"


def share(name: str = "d", interval_s: float = 1.0, line: str = "", gap_s: float = 0.0) -> Share:
    return Share(name, interval_s, line, gap_s, ((8, 25),))


def test_a_look_takes_its_bytes_its_silences_and_the_device_s_own_time() -> None:
    # 33 bytes of 10 bits (8N1), twice 3.5 characters of 11 bits, and 10 ms.
    wanted = 33 * 10 / 9600 + 2 * 3.5 * 11 / 9600 + 0.01
    assert seconds_of(share(), LineSettings(9600)) == pytest.approx(wanted)


def test_a_bus_that_carries_its_devices_is_not_talked_about() -> None:
    assert check_buses({"b": BUS}, {"b": [share(f"d{n}") for n in range(16)]}) == []


def test_a_bus_that_cannot_be_met_is_told_with_by_how_much() -> None:
    [problem] = check_buses({"b": BUS}, {"b": [share(f"d{n}") for n in range(40)]})
    assert problem.code == "HG-3131"
    assert problem.fields["percent"] == 210
    assert problem.fields["factor"] == "2.3"


def test_a_device_s_own_settings_count_and_are_warned_about() -> None:
    told = check_buses({"b": BUS}, {"b": [share("a"), share("m", line="300 8E1")]})
    assert [problem.code for problem in told] == ["HG-3131", "HG-3132"]
    assert told[1].fields["kinds"] == "300 8E1: m; 9600 8N1: a"


def test_a_device_that_wants_silence_takes_the_line_for_it() -> None:
    assert check_buses({"b": BUS}, {"b": [share(gap_s=0.45)]})[0].code == "HG-3131"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("modbus+tcp://10.0.0.1", 0),
        ("modbus+rtu+tcp://10.0.0.1:4001", 0),
        ("modbus+rtu+tcp://10.0.0.1:4001?baud=1200", 1),
        ("modbus+rtu+rfc2217://10.0.0.1:4001?baud=1200", 1),
        ("modbus+dtu+listen://0.0.0.0:9000?registration=a&baud=1200", 1),
    ],
)
def test_a_line_whose_baud_rate_nobody_says_is_not_judged(url: str, said: int) -> None:
    assert len(check_buses({"b": url}, {"b": [share(interval_s=0.1)]})) == said


@pytest.mark.parametrize(
    ("url", "codes"),
    [
        ("modbus+rtu+tcp://10.0.0.1:4001", ["HG-3133"]),
        ("modbus+dtu+listen://0.0.0.0:9000?registration=a", ["HG-3133"]),
        ("modbus+rtu+rfc2217://10.0.0.1:2217", ["HG-3132"]),
    ],
)
def test_settings_that_a_line_will_never_take_are_told(url: str, codes: list[str]) -> None:
    shares = [share("a", 60), share("m", 60, line="2400 8E1")]
    told = check_buses({"b": url}, {"b": shares})
    assert [problem.code for problem in told] == codes
    assert "m" in str(told[0].fields)


def test_of_many_devices_some_are_named_and_the_others_counted() -> None:
    slow = [share(f"m{n}", line="2400 8E1") for n in range(7)]
    told = check_buses({"b": BUS}, {"b": [share("a"), *slow]})
    assert told[-1].fields["kinds"] == "2400 8E1: m0, m1, m2, m3, m4 +2; 9600 8N1: a"
