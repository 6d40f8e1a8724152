"""Water and gas meters of CJ/T 188 on RS-485 or M-Bus: an example of a code driver that asks.

A declared frame could not say it: the unit stands beside each value and decides what it is worth, the
identifier comes in either byte order, and a meter may refuse.

codec    frames and values (pure)
driver   asks
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.cjt188.driver import Cjt188Driver

__all__ = ["Cjt188Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The CJ/T 188 driver."""
    return [Cjt188Driver]
