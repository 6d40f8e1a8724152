"""SZY 206-2016 and SL/T 427-2021, water resources stations, at a centre that they dial.

driver       a centre for them: what it asks, what it moves
talk         one call: what is reported is on disk before it is confirmed
errands      what a station can be asked
switching    pumps, valves, gates and quota as points that are written
points       what a profile may name of a station

crc          the check of a frame
frames       one frame: its head, its end, how it is written
items        what the data of a frame says
values       BCD numbers and times
quality      parameters of water quality
readings     values of each kind
body         data of frames, read and written
parameters   data of settings, controls and answers: `layouts`, `particulars`
codec        frames out of a stream of bytes, whatever comes
parts        messages that come in parts
replies      what a centre says: confirmations, questions, commands
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.szy206.driver import Szy206Driver

__all__ = ["Szy206Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The centre for water resources stations."""
    return [Szy206Driver]
