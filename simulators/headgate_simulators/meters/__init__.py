"""A stairwell of meters on one RS-485 pair: DL/T 645-2007 and -1997, CJ/T 188, one Modbus unit.

Written from the standards; nothing of it is shared with the drivers that ask.

wire      frames as each standard has them
meters    what each kind of meter answers, and its truth
line      the pair: who hears whom, echo, faults
"""

from headgate_simulators.meters.line import MeterLine, Wrong
from headgate_simulators.meters.meters import Kind, Meter, stairwell

__all__ = ["Kind", "Meter", "MeterLine", "Wrong", "stairwell"]
