"""`headgate check` tells what is wrong with controls, with file and place."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate import config
from headgate.env import system_env
from headgate.runtime.installed import Installed, look

SITE = """
schema = 1
[gateway]
id = "gauge-house-7"
[[channel]]
id = "plc"
url = "modbus+tcp://10.0.0.1:502"
[[device]]
id = "pump-1"
channel = "plc"
address = 1
profile = "generic/pump-station-modbus"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
{more}
"""


def told(folder: Path, more: str) -> list[tuple[str, str]]:
    (folder / "site.toml").write_text(SITE.replace("{more}", more), encoding="utf-8")
    seen: list[Installed] = []

    def known(site: config.Site) -> config.Known:
        seen.append(look(system_env())(site))
        return seen[0].known()

    loaded = config.examine(system_env(), folder, known)
    found = list(loaded.problems)
    if loaded.partial is not None:
        found += seen[0].identity(system_env(), loaded.partial)
    return [(p.where, p.code) for p in found if p.code.startswith(("HG-65", "HG-11"))]


GOOD = """
[[control]]
device = "pump-1"
point = "pump1_run"
on_lease_end = "auto"
auto_point = "pump1_auto"
"""


def test_a_control_that_fits_is_not_spoken_of(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("pump1_run", "pump9_run", "HG-6551"),
        ('"pump-1"\npoint', '"pump-7"\npoint', "HG-6550"),
        ("pump1_run", "pump1_running", "HG-6552"),
        ("pump1_run", "gate_setpoint", "HG-6553"),
        ('on_lease_end = "auto"\n', "", "HG-1102"),
        ('"auto"', '"latch"', "HG-1104"),
        ("pump1_auto", "pump1_run", ""),
    ],
)
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, old: str, new: str, code: str) -> None:
    found = told(tmp_path, GOOD.replace(old, new))
    assert [each for _, each in found] == ([code] if code else [])
    assert all(where.startswith("site.toml:") for where, _ in found)


def test_missing_signatures_are_told_plainly(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD + "[controls]\nsigned = true\n") == [("controls", "HG-6561")]


def test_commands_over_a_plain_link_are_warned_of(tmp_path: Path) -> None:
    for more, url, warned in (
        (GOOD, "mqtt://", True),
        (GOOD, "mqtts://", False),
        ("", "mqtt://", False),
    ):
        text = SITE.replace("{more}", more).replace("mqtt://", url)
        (tmp_path / "site.toml").write_text(text, encoding="utf-8")
        codes = [p.code for p in config.examine(system_env(), tmp_path).problems]
        assert ("HG-1226" in codes) is warned, (url, bool(more))
