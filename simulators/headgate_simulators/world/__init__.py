"""One small world of river and rain, from which every simulator draws its values.

Pure and seeded: the same seed, start and storms give the same value at the same instant, in any
order of asking and on any machine. Times are unix seconds (UTC) and may be fractional.
"""

from headgate_simulators.world.clock import WorldClock
from headgate_simulators.world.model import World
from headgate_simulators.world.places import Place
from headgate_simulators.world.rain import Storm

__all__ = ["Place", "Storm", "World", "WorldClock"]
