"""Links for tests: whom they trust, and servers to meet at the other end."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from headgate.env import ClockState, Env, SystemClock
from headgate.link import Context, Terms, open_context
from headgate.testing.env import fake_env


def trusting(
    ca_pem: str | None, *, certificate: Path | None = None, key: Path | None = None
) -> Context:
    """TLS that trusts one authority."""
    terms = Terms(ca_pem=ca_pem, certificate=certificate, key=key)
    return open_context(terms, where="test")


class SetClock(SystemClock):
    """Time passes as it does; somebody has set the wall clock."""

    def __init__(self, wall: datetime, state: ClockState = "synced") -> None:
        super().__init__()
        self.shift_us = round(wall.timestamp() * 1_000_000) - super().wall_us()
        self.state: ClockState = state

    def wall_us(self) -> int:
        return super().wall_us() + self.shift_us

    def wall_state(self) -> tuple[ClockState, int | None]:
        return self.state, 1000 if self.state == "synced" else None


def at(wall: datetime, state: ClockState = "synced") -> Env:
    """A world in which it is another time."""
    return fake_env(SetClock(wall, state))
