"""What a refused record leaves behind: a dead letter, and the gaps that say what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.env import Env
from headgate.errors import SpoolError
from headgate.model import Gap, GapReason
from headgate.spool import Position, Spool, State
from headgate.spool.remembered import DeadLetter


def bury(
    env: Env,
    spool: Spool,
    state: State,
    uplink: str,
    position: Position,
    name: tuple[bytes, int],
    reason: str,
) -> Sequence[Gap]:
    """Keep a refused record as a dead letter; the gaps to be said, one for each device in it.

    Args:
        name: its (epoch, n).
    """
    rows = spool.rows(position.log, position.segment)
    key_id = rows.key_id(position.row) if rows is not None else b""
    try:
        data: bytes | None = spool.read(position)
    except SpoolError:
        data = None
    state.bury(DeadLetter(uplink, *name, key_id, reason, env.clock.wall_us(), data))
    index = spool.clear_index(position)
    text = f"{uplink}: {reason}"
    if index is None:
        at = rows.last_us[position.row] if rows is not None else env.clock.boottime_us()
        return [Gap(0, GapReason.REFUSED, at, at, None, None, text=text)]
    return [
        Gap(
            device, GapReason.REFUSED, index.first_us, index.last_us, None, readings,
            boot=index.boot, text=text, last_boot=index.boot,
        )
        for device, readings in index.devices or ((0, index.readings),)
    ]  # fmt: skip
