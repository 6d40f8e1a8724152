"""Water, heat and gas meters of CJ/T 188 (2004, 2018) on RS-485 or M-Bus: a code driver that asks.

A declared frame could not say it: the unit stands beside each value and decides what it is worth, the
identifier comes in either byte order, and a meter may refuse.

frames    one frame: its fields, how it is read and written
codec     frames out of a stream of bytes, whatever comes
messages  what the data of a frame say
units     the table of units, and what a value is in another
points    what a profile may name of a meter
answers   answers out of whatever comes
driver    asks, opens and closes valves, looks for addresses
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.cjt188.driver import Cjt188Driver

__all__ = ["Cjt188Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The CJ/T 188 driver."""
    return [Cjt188Driver]
