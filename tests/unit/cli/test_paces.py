"""`headgate check` on catching up: what is asked for, and a backlog that would never end."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate import config
from headgate.cli.paces import paces
from headgate.env import system_env
from headgate.messages import say

UPLINK = '[[uplink]]\nid = "{id}"\ntype = "mqtt"\nurl = "mqtts://platform.example:8883"\n{more}\n'


def site(folder: Path, state: str, *uplinks: str) -> config.Site:
    (folder / "site.toml").write_text(
        f'schema = 1\n[gateway]\nid = "g"\n[state]\n{state}\n' + "".join(uplinks)
    )
    return config.load(system_env(), folder)


def test_each_uplink_has_its_own_pace(tmp_path: Path) -> None:
    loaded = site(
        tmp_path,
        'history_rate = "32KiB"',
        UPLINK.format(id="a", more=""),
        UPLINK.format(id="b", more='history_share = 0.1\nhistory_rate = "1MiB"'),
        UPLINK.format(id="c", more="enabled = false"),
    )
    said = [say(code, "en", **fields) for code, fields in paces(loaded, 10.0)]
    assert [line[:2] for line in said] == ["a:", "b:"]
    assert "50% of the link, 32KiB/s" in said[0]
    assert "10% of the link, 1MiB/s" in said[1]


@pytest.mark.parametrize(("points_s", "warned"), [(100.0, False), (10_000.0, True)])
def test_a_backlog_that_grows_faster_than_it_drains_is_a_warning(
    tmp_path: Path, points_s: float, warned: bool
) -> None:
    loaded = site(tmp_path, 'history_rate = "4KiB"', UPLINK.format(id="a", more=""))
    codes = [code for code, _ in paces(loaded, points_s)]
    assert ("HG-4031" in codes) is warned
