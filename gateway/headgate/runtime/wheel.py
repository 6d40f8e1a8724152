"""One wheel for the whole gateway: who is due, and when.

A slot is an absolute instant: the next is the last plus the interval, in whole microseconds of
boottime, whatever the loop was doing meanwhile. So nothing drifts, a late wake-up shortens the next
wait, and slots that passed while the machine slept or the loop was busy are told, not forgotten.
One timer handle serves everybody.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable
from itertools import count

from headgate.env import Clock

log = logging.getLogger(__name__)

#: Slots first..last have come; the times are when the first and the last of them were due.
Due = Callable[[int, int, int, int], None]

#: Loops wake up to a millisecond early (uvloop counts in milliseconds).
_EARLY_US = 1000
#: Never sleep longer: boottime runs on while the loop's clock stands still in a suspended machine.
_LONGEST_S = 60.0


class Turn:
    """One place on the wheel."""

    __slots__ = ("alive", "due", "interval_us", "last_us", "next_slot", "next_us", "second_us")

    def __init__(
        self, due: Due, first_us: int, interval_us: int, slot: int, second_us: int | None
    ) -> None:
        self.due = due
        self.next_us = first_us
        self.last_us = first_us - 1
        self.interval_us = interval_us
        self.next_slot = slot
        self.second_us = second_us
        self.alive = True


class Wheel:
    """Calls everybody when their slots come. Needs a running loop from the first `add` on."""

    def __init__(self, clock: Clock) -> None:
        self._now_us = clock.boottime_us
        self._heap: list[tuple[int, int, Turn]] = []
        self._serial = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_us = 0

    def add(
        self,
        due: Due,
        first_us: int,
        interval_us: int,
        *,
        slot: int = 0,
        second_us: int | None = None,
    ) -> Turn:
        """Call `due` for slot `slot` at `first_us`, and for each later one every `interval_us`.

        `second_us`, when given, is when slot `slot + 1` is due: a device may be looked at at once
        and still take its own phase afterwards. It lies within one interval of `first_us`.
        """
        if interval_us <= 0:
            raise ValueError(f"an interval of {interval_us} us has no slots")
        turn = Turn(due, first_us, interval_us, slot, second_us)
        heapq.heappush(self._heap, (first_us, next(self._serial), turn))
        self._arm()
        return turn

    def remove(self, turn: Turn) -> None:
        """Never call this turn again."""
        turn.alive = False

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def _arm(self) -> None:
        if not self._heap:
            return
        next_us = self._heap[0][0]
        if self._timer is not None:
            if self._timer_us <= next_us:
                return
            self._timer.cancel()
        self._timer_us = next_us
        wait_s = min(max(next_us - self._now_us(), 0) / 1_000_000, _LONGEST_S)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        heap = self._heap
        now_us = self._now_us() + _EARLY_US
        while heap and heap[0][0] <= now_us:
            due_us, serial, turn = heap[0]
            if not turn.alive:
                heapq.heappop(heap)
                continue
            first = last = turn.next_slot
            if turn.second_us is not None:
                next_us, turn.second_us = turn.second_us, None
            else:
                next_us = due_us + turn.interval_us
            turn.last_us = due_us
            if next_us <= now_us:
                passed = (now_us - next_us) // turn.interval_us + 1
                last += passed
                next_us += passed * turn.interval_us
                turn.last_us = next_us - turn.interval_us
            turn.next_slot = last + 1
            turn.next_us = next_us
            heapq.heapreplace(heap, (next_us, serial, turn))
            try:
                turn.due(first, last, due_us, turn.last_us)
            except Exception:
                # The wheel turns for everybody: one that breaks must not stop the others.
                log.exception("a slot could not be taken", extra={"slot": last})
        self._arm()


def phase_us(number: int, interval_us: int) -> int:
    """Where in its interval device `number` is due: the same on every start, and evenly spread.

    Multiples of the golden ratio leave no two of any run of numbers close together.
    """
    return (number * 2_654_435_769 % (1 << 32)) * interval_us >> 32
