"""What a store that was wiped or restored should ask for again.

Two things show that something is missing: a hole below what an epoch's records reach, and the first
record of an epoch (its epoch link), which names the epoch before it and the last n there. So a store
that met a gateway in its middle finds its way back, epoch by epoch, as far as the gateway still has it.

Most holes fill by themselves (records overtake each other while a backlog drains) and some never will
(a number is spent also when its record was never stored, and what was let go is gone), so a hole is
asked for after a while, a few times, ever later, and then let be until the receiver starts again. The
last ask comes a day after the first: a gateway may be away, or an ask be lost, for as long as a storm.
Nothing of this is stored: a restored store would bring back that it had stopped asking.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, Protocol

import msgspec

from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import MAX_RANGES
from headgate.envelope.wire import MAX_INT
from headgate_receiver.store import Before

FIRST_S: Final = 10.0
#: Times the first wait: how long a hole must stay before each ask.
PATIENCE: Final = (1, 6, 60, 360, 2160, 8640)
#: Epochs looked at in one call, so that a long past does not hold up the present.
MAX_LOOKS: Final = 500
_EPOCHS: Final = 10_000
_WAITING: Final = 100_000
_MOST: Final = 8 * MAX_RANGES

_Name = tuple[str, bytes]
_Ranges = tuple[tuple[int, int], ...]


class Known(Protocol):
    """What the store has."""

    def stored(self, gateway: str, epoch: bytes) -> RangeSet: ...
    def before(self, gateway: str, epoch: bytes) -> Before | None: ...


class Wish(msgspec.Struct, frozen=True):
    """At most `MAX_RANGES` ranges of n to ask a gateway for."""

    gateway: str
    epoch: bytes
    ranges: _Ranges


class _Epoch(msgspec.Struct):
    #: Every n that was missed once: it is not counted as newly missing again.
    seen: RangeSet
    #: The last n as the next epoch's link says; -1 while unknown.
    last: int = -1
    walked: bool = False


class Missing:
    """Remembers which holes were seen when. No clock, no I/O.

    Args:
        first_s: how long a hole must stay before it is asked for the first time.
    """

    def __init__(self, first_s: float = FIRST_S) -> None:
        self._waits_us = tuple(int(first_s * 1e6 * times) for times in PATIENCE)
        self.forget()

    def forget(self) -> None:
        """The store is another one now: everything may be asked for again."""
        self._epochs: OrderedDict[_Name, _Epoch] = OrderedDict()
        self._to_look: OrderedDict[_Name, None] = OrderedDict()
        # (when, for order, whose, the holes as first seen, how often asked)
        self._waiting: list[tuple[int, int, _Name, _Ranges, int]] = []
        self._count = 0

    def met(self, gateway: str, epoch: bytes) -> None:
        """A record that is proved to be this gateway's has come."""
        self._to_look[gateway, epoch] = None

    def wishes(self, known: Known, now_us: int) -> Iterator[Wish]:
        """What to ask for now; mostly nothing. `now_us` is boottime."""
        for _ in range(MAX_LOOKS):
            if not self._to_look:
                break
            name, _nothing = self._to_look.popitem(last=False)
            self._look(name, known, now_us)
        while self._waiting and self._waiting[0][0] <= now_us:
            _, _, name, holes, asked = heappop(self._waiting)
            stored = known.stored(*name)
            left = [part for hole in holes for part in stored.missing(*hole)]
            if not left:
                continue
            for at in range(0, min(len(left), _MOST), MAX_RANGES):
                yield Wish(*name, tuple(left[at : at + MAX_RANGES]))
            # While it fills, however slowly, it is worth asking on.
            asked = 0 if asked and _count(left) < _count(holes) else asked
            if asked + 1 < len(self._waits_us):
                self._wait(name, tuple(left), asked + 1, now_us)

    def _look(self, name: _Name, known: Known, now_us: int) -> None:
        epoch = self._epoch(name)
        before = None if epoch.walked else known.before(*name)
        if before is not None:
            epoch.walked = True
            earlier = (name[0], before.previous)
            of = self._epoch(earlier)
            # Where nobody knows how far it went, all of it is asked for: at least its first record leads on.
            of.last = max(of.last, MAX_INT if before.last_n is None else before.last_n)
            self._to_look[earlier] = None
        stored = known.stored(*name)
        last = max(epoch.last, -1 if stored.last is None else stored.last)
        holes = stored.missing(0, last)
        fresh = tuple(part for hole in holes for part in epoch.seen.missing(*hole))
        if fresh and len(self._waiting) < _WAITING:
            for part in fresh:
                epoch.seen.add(*part)
            self._wait(name, fresh, 0, now_us)

    def _wait(self, name: _Name, holes: _Ranges, asked: int, now_us: int) -> None:
        self._count += 1
        due_us = now_us + self._waits_us[asked]
        heappush(self._waiting, (due_us, self._count, name, holes, asked))

    def _epoch(self, name: _Name) -> _Epoch:
        found = self._epochs.get(name)
        if found is None:
            found = self._epochs[name] = _Epoch(RangeSet())
            if len(self._epochs) > _EPOCHS:
                self._epochs.popitem(last=False)
        self._epochs.move_to_end(name)
        return found


def _count(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)
