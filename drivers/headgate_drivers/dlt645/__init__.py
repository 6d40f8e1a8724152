"""DL/T 645-2007 and -1997, electricity meters on RS-485.

requests     what a master asks and tells
points       what a profile may name of a meter
driver       asks, tells who is there, trips and closes
look         one look: what was told, and why the rest is bad
days         what midnight froze, asked once; clocks, told the time
talk         a question and its answer
answers      answers out of whatever comes

frames       one frame: its fields, how it is read and written
codec        frames out of a stream of bytes, whatever comes
messages     what the data of a frame say
identifiers  what stands behind an identifier: names, sizes, decimals, units (items, parameters, events,
             edition_1997)
values       BCD, signs, times
neighbours   frames of DL/T 698.45 on the same pair, told apart
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.dlt645.driver import Dlt645Driver

__all__ = ["Dlt645Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The DL/T 645 driver."""
    return [Dlt645Driver]
