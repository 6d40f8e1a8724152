"""A port that stations dial, watched as one line is: every byte of every call, with whose it is."""

from __future__ import annotations

from typing import Protocol

from headgate.channels import Direction
from headgate.env import Env
from headgate.runtime.listeners import Attendance


class Tap(Protocol):
    """Told each piece of bytes; `who` is the caller's address, and its name once it said it."""

    def __call__(self, direction: Direction, data: bytes, at_us: int, who: str = "") -> None:
        """Take note of it."""
        ...


class PortLine:
    """What a trace needs of a line, over a whole port."""

    def __init__(self, port: Attendance, env: Env) -> None:
        self._port, self._now_us = port, env.clock.boottime_us
        self.id, self.url = port.line.id, port.line.url
        self._tap: Tap | None = None

    @property
    def state(self) -> str:
        """Whether the port is open."""
        return self._port.state

    def add_tap(self, tap: Tap) -> None:
        """Show every byte from now on."""
        self._tap = tap
        self._port.port.watch(self._show)

    def remove_tap(self, tap: Tap) -> None:
        """No more."""
        self._port.port.unwatch(self._show)

    def _show(self, way: str, who: str, data: bytes) -> None:
        assert self._tap is not None
        self._tap("received" if way == "rx" else "sent", data, self._now_us(), who)
