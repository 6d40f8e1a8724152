"""What the gateway of a rig is told of its field."""

from __future__ import annotations

from pathlib import Path

THERMOMETER, SEALED, TAG = "F0:00:00:00:00:01", "F0:00:00:00:00:02", "F0:00:00:00:00:03"
PROBE = "F0:00:00:00:00:04"
#: The sealed thermometer's. Made up for this street.
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")


def ble_street(folder: Path) -> str:
    """The street's devices on hci0."""
    devices = (
        ("thermometer", THERMOMETER, "temperature-humidity-ble"),
        ("sealed", SEALED, "temperature-humidity-ble"),
        ("tag", "FDA50693-A4E2-4FB1-AFCF-C6EB07647825/10001/7", "personnel-tag"),
        ("probe", PROBE, "probe-thermometer-ble"),
    )
    return f"""
[[channel]]
id = "air"
url = "ble://hci0"
[channel.options]
watchdog = "20s"
[channel.options.bindkeys]
sealed = {{ secret = "file:{folder}/bindkey" }}
""" + "".join(
        f"""
[[device]]
id = "{name}"
channel = "air"
address = "{address}"
profile = "generic/{profile}"
interval = "4s"
"""
        for name, address, profile in devices
    )
