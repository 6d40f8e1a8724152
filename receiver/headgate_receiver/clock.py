"""Wall time: which clock fix serves which times of a boot.

No reading is ever rewritten when a fix comes late: a fix serves a span of boottime, and the view
`readings` looks the span up. Source: docs/reference/uplink.md, section 8.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from headgate.envelope.wire import MAX_INT
from headgate.model import ClockFix

_EARLIEST: Final = -MAX_INT


def add_fix(db: sqlite3.Connection, boot: int, fix: ClockFix) -> None:
    """Keep a fix, and give every time of the boot to its nearest one (synced ones alone, if any)."""
    known = db.execute(
        "SELECT state FROM clock_fixes WHERE boot = ? AND at_us = ?", (boot, fix.at_us)
    ).fetchone()
    if known is not None and (known[0] == "synced" or fix.state != "synced"):
        return
    synced_before = _one(
        db,
        "SELECT 1 FROM clock_fixes WHERE boot = ? AND chosen = 1 AND state = 'synced' LIMIT 1",
        boot,
    )
    chosen = fix.state == "synced" or synced_before is None
    db.execute(
        "INSERT OR REPLACE INTO clock_fixes VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
        (boot, fix.at_us, fix.wall_us, fix.error_us, fix.state, int(chosen)),
    )
    if not chosen:
        return
    if fix.state == "synced" and synced_before is None:
        db.execute(
            "UPDATE clock_fixes SET chosen = 0, from_us = NULL, to_us = NULL "
            "WHERE boot = ? AND state != 'synced'",
            (boot,),
        )
    neighbour = "SELECT {} (at_us) FROM clock_fixes WHERE boot = ? AND chosen = 1 AND at_us {} ?"
    before = _one(db, neighbour.format("max", "<"), boot, fix.at_us)
    after = _one(db, neighbour.format("min", ">"), boot, fix.at_us)
    first = _EARLIEST if before is None else (before + fix.at_us) // 2 + 1
    last = MAX_INT if after is None else (fix.at_us + after) // 2
    update = (
        "UPDATE clock_fixes SET from_us = coalesce(?, from_us), to_us = coalesce(?, to_us) "
        "WHERE boot = ? AND at_us = ?"
    )
    db.execute(update, (first, last, boot, fix.at_us))
    if before is not None:
        db.execute(update, (None, first - 1, boot, before))
    if after is not None:
        db.execute(update, (last + 1, None, boot, after))


def _one(db: sqlite3.Connection, query: str, *parameters: Any) -> Any:
    row = db.execute(query, parameters).fetchone()
    return None if row is None else row[0]
