"""When to connect again: so spread that a city coming back does not knock its own broker down.

The law: of boxes that lost their broker together, at most 2 % try to connect in any one second, from
the loss until all are back, whatever the broker does meanwhile (`tests/fleet`).
"""

from __future__ import annotations

import random

#: How far beyond `reconnect_max` the pauses of a broker that stays away may grow.
STRETCH = 5.0


class Pauses:
    """How long to wait before the next connection.

    The first pause falls anywhere from `low_s` to `high_s`. Each later one lies in the upper half of a
    ceiling that doubles up to five times `high_s`, so that second tries begin where first ones end: pauses
    drawn from zero again would lay one wave over the other. A link that stood longer than `high_s`
    starts afresh; one that is lost as soon as it stands (two boxes with one identifier) does not.
    """

    def __init__(self, low_s: float, high_s: float, chance: random.Random | None = None) -> None:
        self._low_s, self._high_s = low_s, high_s
        self._chance = chance or random.SystemRandom()
        self._tries = 0

    def next(self, stood_s: float) -> float:
        """The pause, in seconds, after a connection that stood `stood_s` (0: it never did)."""
        if stood_s > self._high_s:
            self._tries = 0
        ceiling = self._high_s * min(STRETCH, 2.0**self._tries)
        floor = ceiling / 2 if self._tries else 0.0
        self._tries = min(self._tries + 1, 8)
        # From the lower end, never clipped to it: what is clipped arrives together.
        return self._chance.uniform(max(self._low_s, floor), ceiling)

    def first(self, up_s: float) -> float:
        """The pause before the first connection of a box that was switched on `up_s` seconds ago.

        Zero for a service that is restarted on a running box. When mains return to a district its
        boxes boot within seconds of each other, which is the same storm as a broker's return.
        """
        return self.next(0.0) if up_s < self._high_s else 0.0
