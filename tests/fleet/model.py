"""A fleet of boxes and one broker as a list of events: only the pauses are the product's own.

    crowd = Crowd(boxes=10_000, seed=7)
    tries = crowd.play(broker=away(300.0), lost=together)
    tries.busiest()      # the most connection attempts in any one second

A second is any window of a second, not one of the clock's: the window slides over every attempt.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable

import msgspec

from headgate_plugins.mqtt.pauses import Pauses

#: The defaults of a site file, in seconds.
LOW_S, HIGH_S = 1.0, 90.0

#: What the broker does with an attempt at a time: seconds until the box knows, and whether it is in.
Broker = Callable[[float], tuple[float, bool]]


class Tries(msgspec.Struct, frozen=True):
    """When attempts were made, in order, and when each box was in; seconds from the loss."""

    at: list[float]
    back: list[float]

    def busiest(self) -> int:
        """The most attempts in any window of one second."""
        return max(
            (bisect_left(self.at, begin + 1.0) - index for index, begin in enumerate(self.at)),
            default=0,
        )


class Crowd:
    """Boxes with a chance of their own each; the same seed, the same afternoon."""

    def __init__(self, boxes: int, seed: int) -> None:
        self._chance = random.Random(seed)
        self.boxes = [
            Pauses(LOW_S, HIGH_S, random.Random(self._chance.random())) for _ in range(boxes)
        ]

    def play(
        self,
        broker: Broker,
        lost: Callable[[random.Random], float],
        *,
        booted: bool = False,
        end_s: float = 36_000.0,
    ) -> Tries:
        """Let every box lose its link at `lost`, or boot then, and try until it is in."""
        waiting = []
        for number, pauses in enumerate(self.boxes):
            at = lost(self._chance)
            # A box needs about 20 s from the mains to its first try; the link of the others stood for long.
            pause = pauses.first(20.0) if booted else pauses.next(86_400.0)
            waiting.append((at + pause, number))
        heapq.heapify(waiting)
        tries, back = [], []
        while waiting:
            at, number = heapq.heappop(waiting)
            assert at < end_s, "a box never came back"
            tries.append(at)
            took, is_in = broker(at)
            if is_in:
                back.append(at + took)
            else:
                heapq.heappush(waiting, (at + took + self.boxes[number].next(0.0), number))
        return Tries(tries, back)


def together(chance: random.Random) -> float:
    """Everybody at once: the broker was restarted, every connection reset."""
    return 0.0


def within(seconds: float) -> Callable[[random.Random], float]:
    """Anywhere in a span: cellular cells fall one by one, or a keepalive runs out."""
    return lambda chance: chance.uniform(0.0, seconds)


def away(seconds: float, notice_s: float = 0.05) -> Broker:
    """Nothing for `seconds`, then everybody is welcome. `notice_s`: how long a try in vain lasts."""
    return lambda at: (0.2, True) if at >= seconds else (notice_s, False)


def narrow(per_second: int, away_s: float = 0.0) -> Broker:
    """Takes so many in a second and refuses the rest, as brokers with a connection rate limit do."""
    taken: dict[int, int] = {}

    def serve(at: float) -> tuple[float, bool]:
        second = int(at)
        if at < away_s or taken.get(second, 0) >= per_second:
            return 0.05, False
        taken[second] = taken.get(second, 0) + 1
        return 0.2, True

    return serve


def staggering(up_s: float, down_s: float, times: int) -> Broker:
    """Comes up, and falls over again before anybody is in; at last it stays."""
    period = up_s + down_s
    return lambda at: (
        (0.2, True) if at >= period * times else (up_s if at % period < up_s else 0.05, False)
    )
