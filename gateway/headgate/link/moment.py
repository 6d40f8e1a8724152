"""What the time is, for a certificate, on a box whose clock may be wrong.

A street box without a battery-backed clock starts in 1970, or where it was switched off. Refusing its
platform then would keep it silent until somebody sets its clock, often through that very link; taking
any date would let a certificate live for ever. A clock that nobody sets is behind, hardly ever ahead.
So while it is not synchronised, `notBefore` is not judged, and `notAfter` is, against the latest
instant that cannot be in the future: the box's own certificate was issued before now, and so was this
release. A synchronised clock judges both ends.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from headgate.env import Clock

#: No box can run this release before it was made.
_MADE: Final = datetime(2026, 7, 1, tzinfo=UTC)


class Moment(msgspec.Struct, frozen=True):
    """An instant, and whether it may be taken for the time."""

    now: datetime
    trusted: bool


def moment(clock: Clock, *known: datetime) -> Moment:
    """The time as far as it is known; `known` are instants that are certainly past."""
    state, _ = clock.wall_state()
    now = datetime.fromtimestamp(clock.wall_us() / 1_000_000, UTC)
    trusted = state != "unsynced"
    return Moment(now, True) if trusted else Moment(max(now, _MADE, *known), False)
