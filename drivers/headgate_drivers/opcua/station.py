"""One device in a server: its nodes, what of them is watched, and what was told of each point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.sdk import Device
from headgate_drivers.opcua.conditions import Conditions
from headgate_drivers.opcua.places import Layout
from headgate_drivers.opcua.subscription import Watched

#: Devices without an interval are read whole this often.
HEARTBEAT_US = 60_000_000

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
        #: Status code of watching each point; None: not watched.
        self.watched: list[int | None] = [None] * len(layout.places)
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
        fresh = self._news(at, said)
        if fresh:
            self._ahead[at] = said
        return fresh

    def told(self, at: int, said: Said) -> bool:
        """Take note of what the subscription told of point `at`; False when it was told already."""
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
