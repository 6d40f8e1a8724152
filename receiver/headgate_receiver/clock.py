"""Wall time: which clock fix serves which times of a boot.

No reading is ever rewritten when a fix comes late: a fix serves a span of boottime, and the view
`readings` looks the span up. Source: docs/reference/uplink.md, section 8.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from headgate.envelope.walltime import agree, believed
from headgate.envelope.wire import MAX_INT
from headgate.model import ClockFix

_EARLIEST: Final = -MAX_INT


def add_fix(db: sqlite3.Connection, boot: int, fix: ClockFix) -> None:
    """Keep a fix, and give every time of the boot to the one that dates it. Twice is the same as once."""
    known = db.execute(
        "SELECT state FROM clock_fixes WHERE boot = ? AND at_us = ?", (boot, fix.at_us)
    ).fetchone()
    if known is not None and (known[0] == "synced" or fix.state != "synced"):
        return
    db.execute(
        "INSERT OR REPLACE INTO clock_fixes VALUES (?, ?, ?, ?, ?, 0, NULL, NULL)",
        (boot, fix.at_us, fix.wall_us, fix.error_us, fix.state),
    )
    if not _append(db, boot, fix):
        _divide(db, boot)


def _append(db: sqlite3.Connection, boot: int, fix: ClockFix) -> bool:
    """The quick way of what nearly always happens: the newest fix goes on as the one before it."""
    last = db.execute(
        "SELECT at_us, wall_us, state FROM clock_fixes WHERE boot = ? AND chosen = 1"
        " ORDER BY from_us DESC LIMIT 1",
        (boot,),
    ).fetchone()
    if last is None:
        return False
    at_us, wall_us, state = last
    if (
        at_us >= fix.at_us
        or (state == "synced") != (fix.state == "synced")
        or not agree(at_us, wall_us, fix.at_us, fix.wall_us)
    ):
        return False
    first = (at_us + fix.at_us) // 2 + 1
    update = (
        "UPDATE clock_fixes SET chosen = 1, from_us = ?, to_us = ? WHERE boot = ? AND at_us = ?"
    )
    db.execute(
        "UPDATE clock_fixes SET to_us = ? WHERE boot = ? AND at_us = ?", (first - 1, boot, at_us)
    )
    db.execute(update, (first, MAX_INT, boot, fix.at_us))
    return True


def _divide(db: sqlite3.Connection, boot: int) -> None:
    """Divide the time of a boot among the fixes that are believed."""
    rows = db.execute(
        "SELECT at_us, wall_us, state, chosen, from_us, to_us FROM clock_fixes WHERE boot = ?",
        (boot,),
    ).fetchall()
    kept = believed(_Fix(*row[:3]) for row in rows)
    spans: dict[int, tuple[int | None, ...]] = {}
    for before, fix, after in zip([None, *kept], kept, [*kept[1:], None], strict=False):
        first = _EARLIEST if before is None else (before.at_us + fix.at_us) // 2 + 1
        last = MAX_INT if after is None else (fix.at_us + after.at_us) // 2
        spans[fix.at_us] = 1, first, last
    none: tuple[int | None, ...] = (0, None, None)
    db.executemany(
        "UPDATE clock_fixes SET chosen = ?, from_us = ?, to_us = ? WHERE boot = ? AND at_us = ?",
        (
            (*spans.get(row[0], none), boot, row[0])
            for row in rows
            if row[3:] != spans.get(row[0], none)
        ),
    )


class _Fix(NamedTuple):
    at_us: int
    wall_us: int
    state: str
