"""SL 651-2014, the hydrological stations' protocol, at a centre that they dial.

driver      the stations of a port: checked, asked, commanded
talk        one call: what a station reports is on disk before it is confirmed
points      what a profile may name of a station

crc         the check of a frame
frames      one frame: its head, its ends, how it is written
codec       frames out of a stream of bytes, whatever comes
values      BCD numbers and times
items       what stands in a body, as data
fields      which body a function has
body        bodies in HEX/BCD coding, read and written
text        bodies in ASCII coding, read
spelling    bodies in ASCII coding, written
control     pumps, valves, gates, quota, version, event counters
packets     bodies sent in several packets (mode M3)
switching   pumps, valves, gates, quota as points that are written
errands     what a station can be asked besides its values
answers     what it answered, for a person
settings    what its parameters say, for a person
replies     what a centre says: confirmations, questions, settings, commands
elements    the table of elements (annex C)
parameters  the tables of parameters (annex D)
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.sl651.driver import Sl651Driver

__all__ = ["Sl651Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The centre for stations of SL 651."""
    return [Sl651Driver]
