"""How the values of a site fit together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kit.site import CHANNEL, DEVICE, GATEWAY, UPLINK, WHOLE, told

from headgate.config import Device, Known, Loaded
from headgate.errors import Problem
from headgate.messages import render_problem

Examine = Callable[..., Loaded]
SECOND = DEVICE.replace('"d1"', '"d2"')


def test_an_id_stands_once_per_kind(site: Examine) -> None:
    loaded = site(
        WHOLE, more=DEVICE.replace("address = 1", "address = 2") + CHANNEL.replace("10.0", "10.1")
    )
    assert told(loaded) == [
        "site.d/more.toml:7: channel[1].id HG-1200",
        "site.d/more.toml:2: device[1].id HG-1200",
    ]
    assert loaded.problems[1].fields["first"] == "site.toml:7: device[1]"


def test_a_device_names_a_channel_that_exists(site: Examine) -> None:
    loaded = site(WHOLE.replace('channel = "bus"', 'channel = "buss"'))
    assert "site.toml:9: device[1].channel HG-1201" in told(loaded)
    assert loaded.problems[-1].fields["allowed"] == "bus"


@pytest.mark.parametrize("key", ["quirks", "frame"])
def test_how_a_device_speaks_belongs_to_its_profile_and_that_is_said(
    site: Examine, key: str
) -> None:
    loaded = site(WHOLE.replace(DEVICE, DEVICE + f'{key} = {{ zone = "UTC" }}\n'))
    (problem,) = [p for p in loaded.problems if p.code == "HG-1117"]
    assert problem.where.endswith(f"device[1].{key}")
    assert "profile" in render_problem(problem, "en")
    assert "profile" in render_problem(problem, "zh")


def test_a_channel_that_is_itself_wrong_is_not_reported_as_missing_too(site: Examine) -> None:
    loaded = site(WHOLE.replace("modbus+tcp://10.0.0.1:502", "10.0.0.1"))
    assert [p.code for p in loaded.problems] == ["HG-1109"]


def test_two_devices_that_are_one_are_a_mistake(site: Examine) -> None:
    loaded = site(WHOLE + SECOND)
    assert told(loaded) == ["site.toml:19: device[2].address HG-1202"]
    assert loaded.site is None


@pytest.mark.parametrize("other", ["params = { first_register = 100 }\n", "params = { a = 1 }\n"])
def test_two_sensors_behind_one_address_are_worth_a_word(site: Examine, other: str) -> None:
    loaded = site(WHOLE + SECOND + other)
    assert told(loaded) == ["site.toml:19: device[2].address HG-1204"]
    assert loaded.site is not None


def test_an_interval_shorter_than_a_silent_look_is_worth_a_word(site: Examine) -> None:
    loaded = site(GATEWAY + CHANNEL + DEVICE + 'interval = "1500ms"\n' + UPLINK)
    assert told(loaded) == ["site.toml:12: device[1].interval HG-1203"]
    assert loaded.problems[0].fields["worst"] == "2s"
    assert loaded.site is not None
    fine = site(GATEWAY + CHANNEL + DEVICE + 'interval = "1500ms"\nretries = 0\n' + UPLINK)
    assert told(fine) == []


def test_types_and_schemes_are_those_installed(site: Examine) -> None:
    known = Known(schemes=("ble",), uplinks={"mqtt-json": None}, stages={"deadband": ("minimum",)})
    stage = '[[stage]]\ntype = "deadband"\nminimun = 1\n[[stage]]\ntype = "zzzz"\n'
    loaded = site(WHOLE + stage, known)
    assert told(loaded) == [
        "site.toml:6: channel[1].url HG-1208",
        "site.toml:18: stage[1].minimun HG-1101",
        "site.toml:20: stage[2].type HG-1205",
        "site.toml:14: uplink[1].type HG-1206",
    ]


def test_a_misspelt_key_that_would_be_a_plugins_option_is_worth_a_word(site: Examine) -> None:
    loaded = site(WHOLE + 'usrname = "x"\n')
    assert told(loaded) == ["site.toml:16: uplink[1].usrname HG-1219"]


def test_what_a_profile_finds_stands_where_the_device_stands(site: Examine) -> None:
    def device(one: Device, where: str) -> list[Problem]:
        return [Problem(f"{where}.params", "HG-1102", {"key": "datum", "expected": one.profile})]

    loaded = site(WHOLE, Known(device=device))
    assert told(loaded) == ["site.toml:7: device[1].params HG-1102"]


def test_known_may_depend_on_what_the_site_allows(site: Examine) -> None:
    seen: list[bool] = []

    def known(made: object) -> Known:
        seen.append(made.plugins.development)  # type: ignore[attr-defined]
        return Known()

    site(WHOLE + "[plugins]\ndevelopment = true\n", known)
    assert seen == [True]


def test_a_password_without_a_user_name_is_right_where_there_is_no_login(site: Examine) -> None:
    bureau = (
        '[[uplink]]\nid = "b"\ntype = "hj212"\nurl = "hj212://127.0.0.1:9"\npassword = "file:pw"\n'
    )
    assert told(site(WHOLE + bureau)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[gateway]\nid = "g"\ntimezone = "Asia/Shangai"\n', ["gateway.timezone HG-1212"]),
        ('[state]\nquota = "20MiB"\n', ["state.segment HG-1217"]),
        ('[identity]\ncertificate = "x"\n', ["identity.certificate HG-1213"]),
        ('[[stage]]\ntype = "x"\ndevices = ["nobody*"]\n', ["stage[1].devices HG-1211"]),
        (
            UPLINK.replace('"up"', '"u2"') + 'ack = "broker"\nprotocol = "3.1.1"\n',
            ["uplink[2].ack HG-1215"],
        ),
        (UPLINK.replace('"up"', '"u2"') + 'password = "env:X"\n', ["uplink[2].password HG-1213"]),
        (
            UPLINK.replace('"up"', '"u2"').replace("mqtts", "mqtt")
            + 'username="a"\npassword = "env:X"\n',
            ["uplink[2].url HG-1216"],
        ),
        (
            UPLINK.replace('"up"', '"u2"') + 'reconnect_min = "1h"\n',
            ["uplink[2].reconnect_min HG-1217"],
        ),
        (CHANNEL.replace('"bus"', '"b2"').replace("10.0", "10.1"), ["channel[2] HG-1210"]),
        (
            CHANNEL.replace('"bus"', '"b2"') + SECOND.replace('"bus"', '"b2"'),
            ["channel[2].url HG-1209"],
        ),
        (
            CHANNEL.replace('"bus"', '"b2"').replace("10.0", "10.1")
            + "enabled = false\n"
            + SECOND.replace('"bus"', '"b2"'),
            ["device[2].channel HG-1218"],
        ),
    ],
)
def test_what_does_not_fit_is_told(site: Examine, text: str, expected: list[str]) -> None:
    body = WHOLE.replace('[gateway]\nid = "g"\n', "") if "[gateway]" in text else WHOLE
    loaded = site(body + text)
    assert [line.partition(": ")[2] for line in told(loaded)] == expected
