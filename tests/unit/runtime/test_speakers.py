"""Who speaks over a line that several drivers could: its devices decide, and `check` tells who is astray."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headgate import config
from headgate.env import system_env
from headgate.runtime.installed import look
from headgate.runtime.roster import Drivers

HEAD = 'schema = 1\n[gateway]\nid = "g"\n'


def channel(name: str) -> str:
    return f'[[channel]]\nid = "{name}"\nurl = "serial:///dev/serial/by-id/{name}"\n'


def device(name: str, on: str, profile: str, address: str = "1", more: str = "") -> str:
    return (
        f'[[device]]\nid = "{name}"\nchannel = "{on}"\naddress = "{address}"\n'
        f'profile = "generic/{profile}"\ninterval = "10s"\n{more}\n'
    )


STICK = ("weather-stick", "serial")
COVER = ("manhole-cover", "manhole")
METER = ("water-meter-cjt188", "cjt188")


@pytest.mark.parametrize(("profile", "driver"), [STICK, COVER, METER])
def test_the_first_device_of_a_serial_line_says_who_speaks(
    tmp_path: Path, profile: str, driver: str
) -> None:
    installed = look(system_env())(config.Site(gateway=config.Gateway(id="g")))
    path = tmp_path / "site.toml"
    path.write_text(HEAD + channel("a") + device("d1", "a", profile))
    site = config.examine(system_env(), path, installed.known()).site
    assert site is not None
    speaker = Drivers(installed.registry).speaker(site.channels["a"], site, installed.library)
    assert speaker == driver
    assert installed.plan(site)[1] == []


def test_a_device_of_another_driver_on_the_same_line_is_told(tmp_path: Path) -> None:
    installed = look(system_env())(config.Site(gateway=config.Gateway(id="g")))
    path = tmp_path / "site.toml"
    text = HEAD + channel("a") + device("d1", "a", COVER[0]) + device("d2", "a", STICK[0])
    path.write_text(text)
    site = config.examine(system_env(), path, installed.known()).site
    assert site is not None
    problems = installed.plan(site)[1]
    assert [(p.where, p.code) for p in problems] == [("device d2", "HG-9122")]
    assert problems[0].fields["driver"] == "manhole"


def test_meters_share_a_line_of_modbus(tmp_path: Path) -> None:
    installed = look(system_env())(config.Site(gateway=config.Gateway(id="g")))
    path = tmp_path / "site.toml"
    text = HEAD + channel("a").replace('"serial:', '"modbus+rtu:')
    text += device("power", "a", "electricity-meter-dlt645", "000000000161")
    text += device("water", "a", METER[0], "00924040000018")
    text += device("heat", "a", "heat-meter-cjt188", "00312718241912")
    text += device("gauge", "a", "temperature-humidity")
    path.write_text(text)
    site = config.examine(system_env(), path, installed.known()).site
    assert site is not None
    _, problems = installed.plan(site)
    assert [p for p in problems if p.code == "HG-9122"] == []
    # A line of Modbus without devices is Modbus's own.
    empty = msgspec.structs.replace(site, device=())
    assert (
        Drivers(installed.registry).speaker(site.channels["a"], empty, installed.library)
        == "modbus"
    )


def test_a_talking_device_that_cannot_be_is_told_before_anything_is_opened(
    tmp_path: Path,
) -> None:
    installed = look(system_env())(config.Site(gateway=config.Gateway(id="g")))
    path = tmp_path / "site.toml"
    path.write_text(HEAD + channel("a") + device("d1", "a", COVER[0], address="lid"))
    site = config.examine(system_env(), path, installed.known()).site
    assert site is not None
    assert [p.code for p in installed.plan(site)[1]] == ["HG-3400"]
