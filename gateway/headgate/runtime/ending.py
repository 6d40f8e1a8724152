"""What an earlier run left unsaid: from its last sign of life until now, the gateway was off.

And where the machine was started anew, and the clock of the boot before was never trusted: that nobody
will ever know when exactly it measured what it did.
"""

from __future__ import annotations

import msgspec

from headgate.model import Gap, GapReason
from headgate.runtime.walltrust import WallTrust
from headgate.spool import Spool, State

_LAST_US = "last-sign-us"
#: A look may be under way for this long: asked or answered before the last commit, and not in it.
IN_HAND_US = 1_000_000


class LastSign(msgspec.Struct, frozen=True):
    """When an earlier run was last known to be alive: boottime of `boot`."""

    boot: bytes
    at_us: int


def last_sign(spool: Spool, state: State, boot: bytes) -> LastSign | None:
    """The last sign of life before this start; None on a new box.

    The newest committed record tells it to the tick; where all were let go, the state does, to a second.
    Where a damaged state was begun anew and nothing is stored, all that is known is that there was
    something: since the box was switched on.
    """
    epochs = state.epochs()
    noted = None
    if epochs and state.counter(_LAST_US):
        # A start that ended before it committed anything noted nothing either.
        committed = [known for known in epochs if known.last_n is not None]
        noted = LastSign((committed or epochs)[-1].boot, state.counter(_LAST_US))
    signs = [sign for sign in (noted, _stored(spool, state, noted)) if sign is not None]
    if not signs and state.rebuilt:
        return LastSign(boot, 0)
    return max(signs, key=lambda sign: sign.at_us, default=None)


def _stored(spool: Spool, state: State, noted: LastSign | None) -> LastSign | None:
    """What the newest record of the boot that ran last tells."""
    boots = {known.epoch: known.boot for known in state.epochs()}
    segments = sorted((rows for rows in spool.segments() if len(rows)), key=lambda r: r.number)
    found = None
    for rows in reversed(segments):
        boot = boots.get(rows.epoch(0), rows.boot)
        wanted = noted.boot if noted is not None else found and found.boot
        if boot is None or (wanted is not None and boot != wanted):
            continue
        newest_us = max((rows.last_us[row] for row in rows.alive()), default=-1)
        if newest_us >= 0 and (found is None or newest_us > found.at_us):
            found = LastSign(boot, newest_us)
    return found


def note_sign(state: State, at_us: int) -> None:
    """Remember that all that was read until now is committed."""
    state.count(_LAST_US, at_us)


def off_gap(sign: LastSign | None, boot: bytes, now_us: int) -> Gap | None:
    """The gap between the last sign and now. Its counts follow from the plans of the devices.

    The plans that ran then end with it: what was due is known to whoever has them.
    """
    if sign is None:
        return None
    first_us = max(0, sign.at_us - IN_HAND_US)
    return Gap(
        0, GapReason.GATEWAY_OFF, first_us, now_us, None, None,
        boot=None if sign.boot == boot else sign.boot,
    )  # fmt: skip


def undated_gap(sign: LastSign | None, boot: bytes, trust: WallTrust) -> Gap | None:
    """The time of a boot that is over and whose clock was never synced; None where there is none.

    Its looks arrived, in order; only their wall time is unsure. So it counts none, and excuses none.
    """
    if sign is None or sign.boot == boot or trust.synced_in(sign.boot):
        return None
    return Gap(
        0, GapReason.CLOCK_UNKNOWN, 0, sign.at_us, None, None, boot=sign.boot, last_boot=sign.boot
    )
