"""The samples beside the plugins are site files that work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trustme
from kit.site import GATEWAY

from headgate import config
from headgate.env import system_env
from headgate.sdk import UplinkContext
from headgate_plugins.deadband import DeadbandStage
from headgate_plugins.mqtt import MqttUplink
from headgate_plugins.mqtt_json import MqttJsonUplink

PLUGINS = Path(__file__).parents[3] / "plugins" / "headgate_plugins"
#: Keys of the site file that reach an uplink under another name or form.
SITE = ("id", "type", "ca", "password")


def sample(folder: str, *, all_keys: bool) -> dict[str, Any]:
    text = (PLUGINS / folder / "sample.toml").read_text(encoding="utf-8")
    if all_keys:
        # A key that is shown as a comment must be right too.
        text = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    ((_, (entry,)),) = tomllib.loads(text).items()
    return {key: value for key, value in entry.items() if key not in SITE}


@pytest.mark.parametrize("all_keys", [False, True])
def test_the_native_sample(all_keys: bool) -> None:
    given = sample("mqtt", all_keys=all_keys)
    given["ca_pem"] = trustme.CA().cert_pem.bytes().decode()
    MqttUplink(UplinkContext("city", "gate-7", given))


def test_the_json_sample() -> None:
    MqttJsonUplink(UplinkContext("json", "gate-7", sample("mqtt_json", all_keys=False)))
    given = sample("mqtt_json", all_keys=True)
    # These stand in a template or beside the default payload, never both.
    for keys in (("template",), ("fields", "units")):
        rest = {key: value for key, value in given.items() if key not in keys}
        if "template" in rest:
            rest.pop("fields", None)
            rest.pop("units", None)
        MqttJsonUplink(UplinkContext("json", "gate-7", rest))


@pytest.mark.parametrize("all_keys", [False, True])
def test_the_deadband_sample(all_keys: bool) -> None:
    DeadbandStage(sample("deadband", all_keys=all_keys))


@pytest.mark.parametrize("folder", ["mqtt", "mqtt_json", "deadband"])
def test_a_site_file_takes_every_sample_as_it_stands(folder: str, tmp_path: Path) -> None:
    text = (PLUGINS / folder / "sample.toml").read_text(encoding="utf-8")
    (tmp_path / "site.toml").write_text(GATEWAY + text, encoding="utf-8")
    # Whether the files it names are there is another question.
    site = config.load(system_env(), tmp_path / "site.toml")
    assert len(site.uplink) + len(site.stage) == 1
