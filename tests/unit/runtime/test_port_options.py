"""What a channel's options say of a port itself: checked before anybody dials it, and used by the port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from kit.dialled import Dialled, site

from headgate.channels.places import Limits
from headgate.cli.status import page
from headgate.runtime.port_options import drivers_own, limits_of, port_problems


def test_limits_of_a_site_replace_those_of_the_house_one_by_one() -> None:
    assert limits_of({}) == Limits()
    assert limits_of({"limits": {"calls": 10_000}}) == Limits(calls=10_000)


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({}, []),
        ({"relay": {"to": "tcp://10.1.2.3:5651"}, "limits": {"calls": 9000}}, []),
        ({"limits": {"call": 1}}, ["HG-3608"]),
        ({"limits": {"calls": 0}}, ["HG-3608"]),
        ({"limits": {"per_s": -1}}, ["HG-3608"]),
        ({"limits": 5, "relay": {"to": "udp://a"}}, ["HG-3608", "HG-3605"]),
    ],
)
def test_what_makes_no_sense_is_said_before_anybody_dials(
    options: dict[str, object], codes: list[str]
) -> None:
    found = port_problems("centre", options)
    assert [each.code for each in found] == codes


def test_a_driver_is_not_asked_about_the_ports_own_options() -> None:
    assert drivers_own({"relay": {}, "limits": {}, "longest": 2000}) == {"longest": 2000}


async def test_a_ports_limits_are_those_of_the_site_file(tmp_path: Path, port: int) -> None:
    here = site(
        tmp_path, "sl651", port, {"st-1": "0011223344"}, "generic/hydrological-station",
        options="options = { limits = { from_one = 1 } }",
    )  # fmt: skip
    async with here.running():
        first, second = await Dialled.to(port), await Dialled.to(port)
        assert await first.hung_up()
        status = await here.status()
        assert status["channels"][0]["tally"]["refused-strangers"] == 1
        first.close()
        second.close()


async def test_a_port_that_somebody_else_has_is_down_with_the_message_that_says_so(
    tmp_path: Path, port: int
) -> None:
    here = site(
        tmp_path, "sl651", port, {"st-1": "0011223344"}, "generic/hydrological-station"
    )  # fmt: skip
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        async with here.running():
            status = await here.until(lambda status: status["channels"][0]["state"] == "down")
            assert status["channels"][0]["code"] == "HG-3604"
            assert "[HG-3604]" in page(status)
            other.close()
            # It is tried again by itself, and the message goes with its cause.
            status = await here.until(lambda status: status["channels"][0]["state"] == "up")
            assert status["channels"][0]["code"] == ""
