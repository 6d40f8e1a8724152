"""What is remembered of the wall clock through restarts: when it was last trusted, and so what is too early.

Kept in `state.db`. Losing it costs nothing but the label of a clock that nobody trusts anyway.
"""

from __future__ import annotations

import msgspec

from headgate.envelope.walltime import agree
from headgate.spool import State

_BOOT, _AT, _WALL = "clock-boot", "clock-at-us", "clock-wall-us"
_FLOOR = "clock-floor-us"
_BOOT_BYTES = 7  # of the boot id: what a counter of the database holds


class Trusted(msgspec.Struct, frozen=True):
    """The last instant at which the wall clock was synced. `boot` is the beginning of a boot id.

    `floor_us`: the latest wall time that was trusted, in holdover too. It cannot be earlier than that.
    """

    boot: bytes
    at_us: int
    wall_us: int
    floor_us: int

    def of(self, boot: bytes) -> bool:
        """Whether it was in this boot."""
        return boot.startswith(self.boot)

    def agrees(self, at_us: int, wall_us: int) -> bool:
        """Whether a clock of the same boot that says this was not set since."""
        return agree(at_us, wall_us, self.at_us, self.wall_us)


class WallTrust:
    """The last trusted instant."""

    def __init__(self, state: State) -> None:
        self._state = state

    def load(self) -> Trusted | None:
        """What is remembered; None on a box whose clock was never synced."""
        wall_us = self._state.counter(_WALL)
        if not wall_us:
            return None
        boot = self._state.counter(_BOOT).to_bytes(_BOOT_BYTES, "big")
        state = self._state
        return Trusted(boot, state.counter(_AT), wall_us, state.counter(_FLOOR))

    def keep(self, known: Trusted) -> None:
        """The wall clock is trusted now. That always wins, also over a later floor."""
        self._state.count(_BOOT, int.from_bytes(known.boot[:_BOOT_BYTES], "big"))
        self._state.count(_AT, known.at_us)
        self._state.count(_WALL, known.wall_us)
        self._state.count(_FLOOR, known.floor_us)

    def synced_in(self, boot: bytes) -> bool:
        """Whether the clock was ever trusted in this boot."""
        known = self.load()
        return known is not None and known.of(boot)
