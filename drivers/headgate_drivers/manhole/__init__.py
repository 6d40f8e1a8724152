"""Manhole covers by radio, behind a concentrator on a serial port: an example of what needs Python.

codec    frames of the concentrator (pure)
points   what a profile may say of a cover, and which conditions are alarms
driver   listens, tells alarms, acknowledges
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.manhole.driver import ManholeDriver

__all__ = ["ManholeDriver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The manhole driver."""
    return [ManholeDriver]
