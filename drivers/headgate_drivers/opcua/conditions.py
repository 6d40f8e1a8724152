"""Events of a server as alarms: what they mean, and what was said of each condition before. Pure.

A condition (OPC 10000-9, section 5.5) has a state: it is told when that changes, and once after a
reconnection, when the server repeats all that matters. What stood before and is not repeated has
ended meanwhile. An event without a state is raised and ends in the same instant.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from headgate.sdk import Alarm


class Occurrence(NamedTuple):
    """One event as it came. `condition` names its condition at the server; None: it has no state."""

    name: str
    point: str
    severity: int
    message: str
    time_us: int | None = None
    condition: str | None = None
    retain: bool = False
    active: bool | None = None
    acked: bool | None = None
    detail: str = ""


class _State(NamedTuple):
    name: str
    point: str
    severity: int
    message: str
    active: bool
    acked: bool | None
    detail: str


class Conditions:
    """The conditions of one device, by their name at the server."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}
        #: Those that a refresh has not repeated yet; None: none is under way.
        self._missing: set[str] | None = None

    def knows(self, condition: str | None) -> bool:
        """Whether a condition stands, as far as was said."""
        return condition in self._states

    def begin(self) -> None:
        """A refresh begins: everything that matters is repeated."""
        self._missing = set(self._states)

    def end(self, device: int, at_us: int) -> list[Alarm]:
        """The refresh is over: what was not repeated is no more."""
        missing, self._missing = self._missing or set(), None
        gone = [(key, self._states.pop(key)) for key in sorted(missing)]
        return [
            _alarm(device, state._replace(active=False, message=""), at_us, None, "ended unseen")
            for _, state in gone
            if state.active
        ]

    def told(self, device: int, said: Occurrence, at_us: int) -> list[Alarm]:
        """What an event has to say that was not said yet."""
        severity = min(max(said.severity, 1), 1000)
        # A condition that is not an alarm has no active state: it stands as long as it is retained.
        active = said.retain if said.active is None else said.active
        state = _State(
            said.name, said.point, severity, said.message, active, said.acked, said.detail
        )
        if said.condition is None:
            raised = _alarm(device, state._replace(active=True), at_us, said.time_us)
            return [raised, _alarm(device, state._replace(active=False), at_us, said.time_us)]
        if self._missing is not None:
            self._missing.discard(said.condition)
        before = self._states.get(said.condition)
        if said.retain or active:
            self._states[said.condition] = state
        else:
            self._states.pop(said.condition, None)
        if state == before or (before is None and not active and not said.retain):
            return []
        return [_alarm(device, state, at_us, said.time_us)]


def _alarm(device: int, state: _State, at_us: int, time_us: int | None, remark: str = "") -> Alarm:
    words = [remark] if remark else []
    if state.detail:
        words.append(state.detail)
    if state.acked is not None:
        words.append("acknowledged" if state.acked else "not acknowledged")
    if time_us is not None:
        at = datetime.fromtimestamp(time_us / 1e6, UTC)
        words.append(f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z")
    text = f"{state.message} [{'; '.join(words)}]" if words else state.message
    return Alarm(
        device=device, point=state.point, code=state.name, severity=state.severity,
        active=state.active, at_us=at_us, text=text.strip(),
    )  # fmt: skip
