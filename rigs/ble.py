"""The BLE driver on the kernel's Bluetooth and real BlueZ, from the air to the platform's store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from rigs.kernel import BUILD, Missing, need, prepared
from rigs.machine import Machine
from rigs.verdict import Verdict

MODULES = (
    "bluetooth", "hci_vhci", "uhid", "algif_skcipher", "algif_hash", "cmac", "ecb", "ctr", "ccm",
    "aes_generic",
)  # fmt: skip
CHECKS = (
    "versions", "up", "plain", "sealed", "beacon", "connected", "strangers", "reconnected", "adapter-off",
    "adapter-on", "bluetoothd-killed", "bluetoothd-again", "watchdog", "heard-again",
)  # fmt: skip
#: Not a dependency of ours: a Bluetooth stack that is neither BlueZ's nor bleak's, for this rig alone.
PEER = "bumble==0.0.236"
LIMIT_S = 900.0


def fetch_peer() -> None:
    """Put bumble beside the kernel, once.

    Raises:
        Missing: pip could not have it.
    """
    folder = BUILD / "peers"
    if (folder / "ready").exists():
        return
    print(f"fetching {PEER} (once)", flush=True)
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    with (BUILD / "peers.log").open("wb") as log:
        done = subprocess.run(
            [*command, "--target", str(folder), "--upgrade", PEER],
            check=False, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    if done.returncode:
        raise Missing(f"pip install {PEER}: {BUILD / 'peers.log'}")
    (folder / "ready").touch()


async def run(only: str = "") -> bool:
    """One boot, all checks; or `only` one group of them, to look into it."""
    need({"dbus-daemon": "dbus", "bluetoothctl": "bluez", "mosquitto": "mosquitto"})
    if not Path("/usr/libexec/bluetooth/bluetoothd").exists():
        raise Missing("apt install bluez")
    kernel = prepared()
    fetch_peer()
    told = {"RIG_ONLY": only} if only else {}
    return await drive(Machine(kernel, "ble", MODULES, told=told), Verdict(CHECKS), LIMIT_S)


async def drive(machine: Machine, verdict: Verdict, limit_s: float) -> bool:
    """Listen to a machine until it is off or the time is up."""
    machine.log.unlink(missing_ok=True)
    reason = f"the console is in {machine.log}"
    try:
        async with asyncio.timeout(limit_s), machine:
            async for line in machine.lines():
                verdict.hear(line)
    except TimeoutError:
        reason = f"not done in {limit_s:.0f} s; {reason}"
    return verdict.close(reason)
