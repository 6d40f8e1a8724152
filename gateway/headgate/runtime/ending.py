"""What an earlier run left unsaid: from its last sign of life until now, the gateway was off.

And where the machine was started anew, and the clock of the boot before was never trusted: that nobody
will ever know when exactly it measured what it did.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.model import Gap, GapReason
from headgate.runtime.walltrust import WallTrust
from headgate.spool import ALARMS, Spool, State
from headgate.spool.remembered import Epoch

_LAST_US = "last-sign-us"
#: A look may be under way for this long: asked or answered before the last commit, and not in it.
IN_HAND_US = 1_000_000


class LastSign(msgspec.Struct, frozen=True):
    """When an earlier run was last known to be alive: boottime of `boot`."""

    boot: bytes
    at_us: int


def last_sign(spool: Spool, state: State, boot: bytes) -> LastSign | None:
    """The last sign of life before this start; None on a new box.

    The newest committed record of readings tells it to the tick; where all were let go, the state does, to
    a second. An alarm tells only that the gateway was alive: it finds room on a disk that refuses readings.
    Where a damaged state was begun anew and nothing is stored, all that is known is that there was
    something: since the box was switched on.
    """
    epochs = state.epochs()
    noted, rank = None, -1
    if epochs and state.counter(_LAST_US):
        # A start that ended before it committed anything noted nothing either.
        committed = [at for at, known in enumerate(epochs) if known.last_n is not None]
        rank = committed[-1] if committed else len(epochs) - 1
        noted = LastSign(epochs[rank].boot, state.counter(_LAST_US))
    stored = _stored(spool, epochs, rank)
    if noted is None and stored is None:
        return LastSign(boot, 0) if state.rebuilt else None
    if noted is None or stored is None:
        return noted or stored
    if stored.boot != noted.boot:
        return stored  # of a later start, killed before it noted anything
    return max(noted, stored, key=lambda sign: sign.at_us)


def _stored(spool: Spool, epochs: Sequence[Epoch], rank: int) -> LastSign | None:
    """The newest record of the boot that ran last: that of start number `rank`, or of a later one."""
    ranks = {known.epoch: at for at, known in enumerate(epochs)}
    newest = rank, -1
    boot = epochs[rank].boot if rank >= 0 else None
    signs: list[LastSign] = []
    alive_only: list[LastSign] = []
    for rows in spool.segments():
        alive = [rows.last_us[row] for row in rows.alive()]
        if not alive or max(alive) < 0:
            continue
        # Where the memory was lost, the clear index of a segment knows its boot.
        at = ranks.get(rows.epoch(0), len(epochs))
        of = epochs[at].boot if at < len(epochs) else rows.boot
        if of is None:
            continue
        if rows.log == ALARMS:
            # Of readings before it nothing is sure, nor of any since the first that was known to be alive.
            alive_only.append(LastSign(of, min(us for us in alive if us >= 0)))
        else:
            signs.append(LastSign(of, max(alive)))
        if at > rank and (at, rows.number) > newest:
            newest, boot = (at, rows.number), of
    told = max((s for s in signs if s.boot == boot), key=lambda sign: sign.at_us, default=None)
    begun = min(
        (s for s in alive_only if s.boot == boot), key=lambda sign: sign.at_us, default=None
    )
    return told or begun


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
