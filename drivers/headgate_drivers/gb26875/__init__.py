"""GB/T 26875.3-2011, fire alarm transmitters, at a centre that they dial.

driver   a centre: which devices it may serve, what they can be asked
talk     one call: what is said is stored and confirmed, or denied
errands  what a transmitter can be asked, from words and into words
points   what a profile may name of a transmitter, and which states are alarms

frames   one frame: its head, its end, how it is written
items    what an application data unit holds, as data
layouts  which bytes the objects of each type have, how many a unit may hold
tables   what types of systems and components are called
objects  one object, read and written
adu      application data units, read and written
codec    frames out of a stream of bytes, whatever comes
replies  what a centre says: confirmations, denials, questions, its clock
"""

from __future__ import annotations

from headgate.sdk import Driver, hookimpl
from headgate_drivers.gb26875.driver import Gb26875Driver

__all__ = ["Gb26875Driver", "headgate_drivers"]


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    """The centre for fire alarm transmitters."""
    return [Gb26875Driver]
