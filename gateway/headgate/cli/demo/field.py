"""The demo's field: five kinds of hardware, as far as this machine can simulate them."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from headgate.cli.demo.broker import free_port
from headgate.cli.demo.simulator import Simulator

#: World seconds in a real second: a storm of half an hour passes while one watches.
SPEED = 60
#: One world, one seed.
_WORLD = ["--seed", "7", "--speed", str(SPEED)]
_COVERS = 3
#: The name of the simulator that obeys.
PUMPS = "pumps"
_SILENT = {"fault": "silent", "device": "*", "on": True}
STORM = {"storm": {"peak_mm_h": 80.0, "duration_s": 1200.0}}


def gauges(folder: Path, count: int) -> Simulator:
    """Water gauges on Modbus TCP."""
    command = ["water-gauge", "--count", str(count), "--bind", "127.0.0.1:0", "--interval", "500ms"]
    return Simulator("gauges", [*command, *_WORLD], folder)


def manholes(folder: Path) -> Simulator:
    """Covers behind a concentrator, a level probe, a gas head, a weather stick on serial lines."""
    command = ["manhole-street", "--covers", str(_COVERS), "--heartbeat", "1", "--interval", "2s"]
    # Those that talk by themselves; whoever is asked may answer to the end.
    hush = [{**_SILENT, "device": f"cover-{number:03d}"} for number in range(1, _COVERS + 1)]
    return Simulator("covers", [*command, *_WORLD], folder, hush=hush)


def stations(folder: Path) -> Simulator:
    """Hydrological stations that dial in by SL 651 and keep each report until it is confirmed."""
    command = ["sl651", "--count", "3", "--to", f"127.0.0.1:{free_port()}", "--interval", "30s"]
    command += ["--every", "120", "--hourly", "900", "--answer", "2", "--redial", "0.5"]
    hush = [{"fault": "hush", "device": "*", "on": True}]
    return Simulator("stations", [*command, *_WORLD], folder, hush=hush)


#: What an operator may do with the pump station: see `operator.py`.
_CONTROLS = """
[[control]]
device = "ps-001"
point = "pump2_run"
on_lease_end = "auto"
auto_point = "pump2_auto"
feedback = "pump2_running"
remote_when = "{ps-001/remote} == 1"
"""


def pumps(folder: Path) -> Simulator:
    """A pump station on OPC UA, with a pump that may be commanded."""
    command = ["pump-station", "--count", "1", "--bind", "127.0.0.1:0", "--cycle", "1"]
    return Simulator(PUMPS, [*command, *_WORLD], folder, hush=[{"hold": True}], controls=_CONTROLS)


def tags(folder: Path) -> Simulator:
    """Tags and sensors by BLE, on a D-Bus of their own."""
    command = ["ble-street", "--count", "4", "--strangers", "20", "--interval", "4s"]
    return Simulator("tags", [*command, *_WORLD], folder, hush=[_SILENT])


def all_kinds(folder: Path) -> tuple[list[Simulator], list[tuple[str, str]]]:
    """Every kind that this machine can show, and (message code, what is missing) of the others."""
    found, missing = [gauges(folder, 4), manholes(folder), stations(folder)], []
    if _has("asyncua"):
        found.append(pumps(folder))
    else:
        missing.append(("HG-9527", "asyncua"))
    lacks = [name for name in ("bleak", "dbus_fast") if not _has(name)]
    lacks += [] if shutil.which("dbus-daemon") else ["dbus-daemon"]
    if lacks:
        missing.append(("HG-9528", ", ".join(lacks)))
    else:
        found.append(tags(folder))
    return found, missing


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
