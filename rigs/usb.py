"""Modbus RTU on a real USB serial port of the kernel, from the bus to the platform's store."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rigs.ble import drive
from rigs.kernel import BUILD, ROOT, Missing, need, prepared
from rigs.machine import Machine
from rigs.verdict import Verdict

MODULES = ("libcomposite", "u_serial", "usb_f_acm", "usbmon", "dummy_hcd", "cdc-acm")
CHECKS = (
    "versions", "by-id", "values", "line-8E1", "exclusive", "pulled", "plugged", "line-8N2",
    "values-again", "loose-plug",
)  # fmt: skip
LIMIT_S = 600.0
#: The unit of the tests: libmodbus, not ours.
_UNIT = ROOT / "tests/peers/modbus/slave.c"


async def run() -> bool:
    """One boot, all checks."""
    need({"gcc": "gcc", "mosquitto": "mosquitto", "udevadm": "udev"})
    if not Path("/lib/systemd/systemd-udevd").exists():
        raise Missing("apt install udev")
    kernel = prepared()
    unit = BUILD / "unit"
    built = subprocess.run(["gcc", "-O1", "-o", unit, _UNIT, "-lmodbus"], check=False)
    if built.returncode:
        raise Missing("apt install libmodbus-dev")
    machine = Machine(kernel, "usb", MODULES, told={"RIG_UNIT": str(unit)})
    return await drive(machine, Verdict(CHECKS), LIMIT_S)
