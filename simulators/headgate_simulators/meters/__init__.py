"""A stairwell of meters on one RS-485 pair: DL/T 645-2007 and -1997, CJ/T 188, and Modbus units.

Written from the standards; nothing of it is shared with the drivers that ask.

wire         frames as each standard has them
meter        what all meters have, and what may be wrong with them
electricity  DL/T 645: registers, freezes, clock, switch
metered      CJ/T 188: water, heat, gas, valves
air          a Modbus unit of another speed
line         the pair: who hears whom, when, echo
looks        the truth, look by look
stairs       all of it running, and commands
"""

from headgate_simulators.meters.line import MeterLine
from headgate_simulators.meters.meter import Meter
from headgate_simulators.meters.stairs import KINDS, Stairs, StairsPlan, stairwell

__all__ = ["KINDS", "Meter", "MeterLine", "Stairs", "StairsPlan", "stairwell"]
