"""World time: real time, or real time run faster so that a storm fits into a demonstration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorldClock:
    """What the world's clock shows when the wall clock shows `now`.

    Both clocks agree at `start`; from there `speed` world seconds pass in each real one.
    """

    start: float
    speed: float = 1.0

    def __post_init__(self) -> None:
        if self.speed <= 0:
            raise ValueError(f"speed {self.speed}: the world runs forward only; give more than 0")

    def world_time(self, now: float) -> float:
        """World time (unix seconds) at the wall-clock instant `now` (unix seconds)."""
        return self.start + (now - self.start) * self.speed
