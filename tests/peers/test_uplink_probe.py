"""`headgate uplink test`: the first step that fails is named, in the reader's language."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from kit.links import trusting
from peers.mosquitto import Mosquitto, free_port

from headgate.cli import main
from headgate.messages import entries
from headgate.mqtt import Settings, connect
from headgate.sdk import ProbeStep, UplinkContext
from headgate_plugins.mqtt import MqttUplink
from headgate_plugins.mqtt_json import MqttJsonUplink

pytestmark = pytest.mark.peer("mosquitto")

ACL = "user gate-7\ntopic read headgate/v1/gate-7/down/#\ntopic write headgate/v1/gate-7/up/#\n"
USERS = {"gate-7": "secret"}


async def steps(broker: Mosquitto, **options: Any) -> list[ProbeStep]:
    given = {"url": broker.url, "ca_pem": broker.ca_pem, "username": "gate-7", "password": "secret"}
    uplink = MqttUplink(UplinkContext("city", "gate-7", {**given, **options}))
    found = list(await uplink.probe())
    for step in found:
        if not step.passed:
            assert entries()[step.code].placeholders("en") <= set(step.fields)
    return found


def outcome(found: list[ProbeStep]) -> tuple[str, str]:
    assert all(step.passed for step in found[:-1])
    return found[-1].name, found[-1].code


async def test_a_good_way_is_walked_to_its_end(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, tls=True) as broker:
        tls = trusting(broker.ca_pem)
        here = Settings(host="127.0.0.1", port=broker.port, tls=True)
        async with connect(here, tls=tls) as platform:
            await platform.subscribe("headgate/v1/+/up/#")
            found = await steps(broker)
    assert [step.name for step in found] == ["name", "tcp", "tls", "certificate", "login", "subscribe", "publish", "receiver"]  # fmt: skip # noqa: E501
    assert all(step.passed for step in found)


async def test_each_failure_is_named(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, tls=True, users=USERS, acl=ACL) as broker:
        stranger = trustme.CA().cert_pem.bytes().decode()
        nowhere = f"mqtts://127.0.0.1:{free_port()}"
        assert outcome(await steps(broker, url="mqtt://no.such.name.invalid")) == (
            "name",
            "HG-5050",
        )
        assert outcome(await steps(broker, url=nowhere)) == ("tcp", "HG-5010")
        assert outcome(await steps(broker, ca_pem=stranger)) == ("certificate", "HG-5060")
        assert outcome(await steps(broker, server_name="x.example")) == ("certificate", "HG-5061")
        assert outcome(await steps(broker, password="wrong")) == ("login", "HG-5014")
        assert outcome(await steps(broker)) == ("receiver", "HG-5023")
        (broker.folder / "acl").write_text("user gate-7\ntopic read headgate/#\n")
        await broker.reload()
        assert outcome(await steps(broker)) == ("publish", "HG-5019")


async def test_a_port_that_speaks_no_tls_is_named(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        ca = trustme.CA().cert_pem.bytes().decode()
        assert outcome(await steps(broker, url=url, ca_pem=ca)) == ("tls", "HG-5072")


async def test_the_connection_of_the_running_gateway_is_left_alone(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker:
        mine = Settings(host="127.0.0.1", port=broker.port, identifier="gate-7")
        async with connect(mine) as link:
            await steps(broker)
            await link.publish("still/here", b"")


async def test_a_foreign_platform_gets_no_test_message(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker:
        uplink = MqttJsonUplink(UplinkContext("json", "gate-7", {"url": broker.url}))
        assert [step.name for step in await uplink.probe()] == ["name", "tcp", "login"]
        assert "Received PUBLISH" not in broker.log.read_text()


# ---------------------------------------------------------------- the command


SITE = """
schema = 1
[gateway]
id = "gate-7"
[[uplink]]
id = "city"
type = "mqtt"
url = "{url}"
"""


@pytest.fixture
def headgate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADGATE_LANG", "HEADGATE_SITE", "HEADGATE_TRACEBACK", "HEADGATE_SOCKET"):
        monkeypatch.setenv(name, "")

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out + captured.err

    return run


async def test_the_command_says_where_it_ends_in_both_languages(
    tmp_path: Path, headgate: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "site.toml").write_text(SITE.format(url=f"mqtt://127.0.0.1:{free_port()}"))
    status, said = await asyncio.to_thread(headgate, "uplink", "test", "--lang", "en")
    assert status == 1
    assert "FAILED TCP connection" in said
    assert "cannot be reached" in said
    status, said = await asyncio.to_thread(headgate, "uplink", "test", "city", "--lang", "zh")
    assert status == 1
    assert "无法连接 MQTT 服务器" in said


async def test_a_free_way_is_exit_status_0_and_receipts_are_not_claimed(
    tmp_path: Path, headgate: Callable[..., tuple[int, str]]
) -> None:
    async with Mosquitto(tmp_path) as broker:
        here = Settings(host="127.0.0.1", port=broker.port)
        async with connect(here) as platform:
            await platform.subscribe("headgate/v1/+/up/#")
            (tmp_path / "site.toml").write_text(SITE.format(url=broker.url))
            status, said = await asyncio.to_thread(headgate, "uplink", "test", "--lang", "en")
    assert status == 0, said
    assert "a receiver listens" in said
    assert "not tested" in said


async def test_an_uplink_that_is_not_there_is_named(
    tmp_path: Path, headgate: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "site.toml").write_text(SITE.format(url="mqtt://127.0.0.1"))
    status, said = await asyncio.to_thread(headgate, "uplink", "test", "cty", "--lang", "en")
    assert status == 1
    assert "city" in said
