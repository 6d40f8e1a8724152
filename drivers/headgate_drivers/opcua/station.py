"""One device in a server: its nodes, what of them is watched, and what was told of each point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.sdk import Device
from headgate_drivers.opcua.conditions import Conditions
from headgate_drivers.opcua.places import Layout
from headgate_drivers.opcua.subscription import Watched

#: Devices without an interval are read whole this often.
HEARTBEAT_US = 60_000_000
#: A node that is gone is looked for after this long, then ever more seldom: it may never come.
SEEK_S = 2.0

Said = tuple[int, object, int | None]


class Remembered:
    """What is known of a device beyond the life of one connection."""

    def __init__(self) -> None:
        #: By point: the newest source time that was told, by the server's clock, in unix microseconds.
        self.told: dict[str, int] = {}
        #: By point, in their order: what was told last.
        self.last: list[Said | None] = []
        #: When something was told last, in boottime.
        self.at_us: int | None = None
        self.conditions = Conditions()


class Station:
    """One device over one session. `last` is by point: status code, value, source time."""

    def __init__(
        self, device: Device, layout: Layout, first_handle: int, memory: Remembered | None = None
    ) -> None:
        self.device = device
        self.layout = layout
        self.first_handle = first_handle
        self.memory = memory or Remembered()
        #: What was told before this session began: where a look into the server's history begins.
        self.before: Mapping[str, int] = dict(self.memory.told)
        self.before_us = self.memory.at_us
        self.root: Any = None
        self.nodes: list[Any] = [None] * len(layout.places)
        #: Status code of watching each point, None: not watched; and the items that the server has.
        self.watched: list[int | None] = [None] * len(layout.places)
        self.items: dict[int, int] = {}
        #: Places of points whose node is not there, as far as was read or told.
        self.gone: set[int] = set()
        #: Points of which a look had news: the subscription must tell of them, too, or it is deaf.
        self.awaited: set[int] = set()
        #: When what is gone or deaf is looked for between two looks, and how long it then waits.
        self.seek_due = math.inf
        self.seek_s = SEEK_S
        if len(self.memory.last) != len(layout.places):
            self.memory.last = [None] * len(layout.places)
        self.last = self.memory.last
        #: What a look told before the subscription did, which may still come to it.
        self._ahead: list[Said | None] = [None] * len(layout.places)
        #: Source time of the look with which this session began, and from where on live values are told.
        self.read_at: list[int | None] = [None] * len(layout.places)
        self.resumed: list[int | None] = [None] * len(layout.places)
        self.due = 0.0
        self.skewed = False
        #: Whether it told anything since it was last read whole.
        self.heard = False

    @property
    def wakes(self) -> float:
        """When it wants something next."""
        return min(self.due, self.seek_due)

    def seek(self, now: float, patience_s: float) -> None:
        """After a look, or a word that a node is gone: have it looked into before the next look."""
        if self.awaited:
            self.seek_due = min(self.seek_due, now + patience_s)
        if self.gone:
            self.seek_due = min(self.seek_due, now + self.seek_s)

    def sought(self, now: float) -> None:
        """It was looked into: what is still gone is looked for again, later each time."""
        self.seek_s = min(self.seek_s * 2, self.interval_s) if self.gone else SEEK_S
        self.seek_due = now + self.seek_s if self.gone else math.inf

    @property
    def interval_s(self) -> float:
        """How often it is read whole."""
        return (self.device.interval_us or HEARTBEAT_US) / 1e6

    def begins_with(self, read_at: Sequence[int | None], first: Mapping[int, int | None]) -> None:
        """How this session began: source times of its first look, and of what was told first, by handle."""
        self.read_at = list(read_at)
        self.resumed = [
            first.get(self.first_handle + at) or stamp for at, stamp in enumerate(read_at)
        ]

    def read(self, at: int, said: Said) -> bool:
        """Take note of what was read of point `at`; False when it was told already."""
        before = self.last[at]
        fresh = self._news(at, said)
        if fresh:
            self._ahead[at] = said
            if self.watched[at] == 0 and self._must_be_told(at, before, said):
                self.awaited.add(at)
        return fresh

    def _must_be_told(self, at: int, before: Said | None, said: Said) -> bool:
        """Whether a subscription that hears tells of what was read, sooner or later."""
        place = self.layout.places[at]
        if before is None or place.every_sample:
            return before is not None
        return before[0] != said[0] or (place.deadband is None and before[1] != said[1])

    def told(self, at: int, said: Said) -> bool:
        """Take note of what the subscription told of point `at`; False when it was told already."""
        self.awaited.discard(at)
        if said == self._ahead[at]:
            self._ahead[at], self.last[at] = None, said
            return False
        return self._news(at, said)

    def _news(self, at: int, said: Said) -> bool:
        if said == self.last[at]:
            return False
        self.last[at] = said
        return True

    def reached(self, at: int, source_us: int | None) -> None:
        """Point `at` was handed on up to this instant of the server's clock."""
        if source_us is None:
            return
        told, name = self.memory.told, self.layout.places[at].name
        told[name] = max(told.get(name, 0), source_us)

    def unwatched(self) -> list[Watched]:
        """What is there and not yet watched."""
        return [
            Watched(self.first_handle + place.at, node, place)
            for place, node in zip(self.layout.places, self.nodes, strict=True)
            if node is not None and self.watched[place.at] != 0
        ]
