"""Simple serial sensors by profile alone: frames of text or bytes, talking or asked.

checksum    sums, XOR, CRCs by polynomial (pure)
codec       frames out of a stream of bytes (pure)
rules       what a profile's `[frame]` says
values      where a point stands in a frame, and how it is written
plan        a device's points into requests, frames into columns (pure)
driver      `serial` listens, `serial-polled` asks
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.serial.driver import PolledSerialDriver, SerialDriver

__all__ = ["PolledSerialDriver", "SerialDriver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The drivers for serial sensors."""
    return [SerialDriver, PolledSerialDriver]
