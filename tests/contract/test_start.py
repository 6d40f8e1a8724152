"""What a start imports: what the site names, and nothing that waits for another day.

A module that is imported at each start costs a small box time and memory for years. No time is measured here:
whoever needs one of these at the start moves it out of this list, and says why in the commit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

#: Runs a command, and says at its end what was imported.
PROBE = """
import atexit, json, sys
from headgate.cli import main
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
main(sys.argv[1:])
"""
SITE = """schema = 1
[gateway]
id = "g"
[state]
folder = "state"
ballast = "0B"
[api]
socket = "api.sock"
[metrics]
listen = "off"
[[channel]]
id = "bus"
url = "modbus+tcp://127.0.0.1:1"
[[device]]
id = "air"
channel = "bus"
address = 1
profile = "generic/temperature-humidity"
[[uplink]]
id = "city"
type = "mqtt"
url = "mqtt://127.0.0.1:1"
"""
OTHER_DRIVERS = (
    "ble", "cjt188", "dlt645", "dlt698", "gb26875", "hj212", "manhole", "opcua", "serial", "sl651", "szy206",
)  # fmt: skip
#: What a gateway with Modbus devices and MQTT does without until somebody asks for it.
NOT_AT_START = (
    *(f"headgate_drivers.{name}" for name in OTHER_DRIVERS),
    "headgate_plugins.mqtt_json", "headgate_plugins.hj212", "headgate_plugins.deadband",
    "headgate_receiver", "headgate_simulators",
    # the terminal's
    "typer", "click", "rich", "headgate.cli.root", "headgate.cli.terminal",
    # other lines than TCP
    "headgate.channels.bus", "headgate.channels.dialin", "headgate.channels.rfc2217",
    "headgate.channels.serial", "headgate.channels.telnet", "headgate.channels.udp",
    "serialx", "asyncua", "bleak", "pymodbus", "dbus_fast",
    # the technician's day
    "headgate.runtime.discover", "headgate.runtime.discover_sensors", "headgate.profiles.cases",
    "headgate.profiles.recording", "headgate.profiles.template", "headgate.config.schema",
    # enrolment and packages of others
    "headgate.runtime.enrolment.online", "headgate.runtime.enrolment.http",
    "headgate.runtime.enrolment.judge", "headgate.packages.importer", "headgate.crypto.authority",
    "cryptography.x509", "OpenSSL", "prometheus_client", "tinydb", "openpyxl", "segno",
)  # fmt: skip


def imported(out: str) -> set[str]:
    return set(json.loads(out.rstrip().rpartition("\n")[2]))


def told(modules: set[str], unwanted: Sequence[str]) -> list[str]:
    return [name for name in unwanted if name in modules]


def command(*words: str, folder: Path) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, imported(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.toml").write_text(SITE)
    return tmp_path


def test_a_modbus_gateway_imports_nothing_that_its_site_does_not_name(site: Path) -> None:
    ready = site / "ready"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(ready))
        line.settimeout(1)
        with subprocess.Popen(
            [sys.executable, "-c", PROBE, "run", str(site)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "NOTIFY_SOCKET": str(ready)},
        ) as process:  # fmt: skip
            try:
                said = b""
                while b"READY=1" not in said and process.poll() is None:
                    with contextlib.suppress(TimeoutError):
                        said = line.recv(4096)
            finally:
                process.send_signal(signal.SIGTERM)
            out = process.communicate(timeout=120)[0]
    modules = imported(out)
    assert process.returncode == 0
    assert "headgate_drivers.modbus.driver" in modules
    assert "headgate_plugins.mqtt.uplink" in modules
    assert told(modules, NOT_AT_START) == []


def test_a_check_imports_the_drivers_of_its_site_alone(site: Path) -> None:
    code, modules = command("check", str(site), folder=site)
    assert code == 0
    assert "headgate_drivers.modbus.driver" in modules
    drivers = [f"headgate_drivers.{name}" for name in OTHER_DRIVERS]
    assert told(modules, drivers) == []
    assert told(modules, ["headgate.app", "rich"]) == []


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["explain", "HG-1203"]])
def test_what_asks_no_gateway_imports_none_of_it(site: Path, words: Sequence[str]) -> None:
    _, modules = command(*words, folder=site)
    assert (
        told(modules, ["asyncio", "headgate.env", "headgate.config", "headgate.runtime", "rich"])
        == []
    )


def test_a_question_to_the_gateway_imports_the_site_file_and_no_driver(site: Path) -> None:
    code, modules = command("status", str(site), folder=site)
    assert code == 1  # nobody there
    assert [name for name in modules if name.startswith("headgate_")] == []
    assert told(modules, ["headgate.runtime", "headgate.spool", "headgate.crypto"]) == []
