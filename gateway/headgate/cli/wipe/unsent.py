"""What lies in the spool of a stopped gateway and is not known to have arrived."""

from __future__ import annotations

from typing import NamedTuple

from headgate.config import Site
from headgate.env import Env
from headgate.spool import State
from headgate.spool.browse import browse


class Unsent(NamedTuple):
    """Records, and the readings in them, as far as their clear index tells."""

    records: int
    readings: int


def unsent(env: Env, site: Site) -> Unsent:
    """Count what any enabled uplink still has to deliver; without an uplink, everything."""
    state = State(env, site.state_folder / "state.db")
    state.look()
    try:
        uplinks = [entry.id for entry in site.uplink if entry.enabled]
        settled = [state.settled(uplink) for uplink in uplinks]
        records = readings = 0
        for record in browse(env, site.state_folder / "spool"):
            arrived = [
                ranges is not None and record.n in ranges
                for ranges in (each.get(record.epoch) for each in settled)
            ]
            if not arrived or not all(arrived):
                records += 1
                readings += record.index.readings if record.index is not None else 0
        return Unsent(records, readings)
    finally:
        state.release()
