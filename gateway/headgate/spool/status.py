"""What a spool says of itself: at its start, and whenever it is asked."""

from __future__ import annotations

import msgspec

from headgate.spool.records import Loss


class Recovered(msgspec.Struct, frozen=True):
    """What a start found: the records that are there, the newest epoch with its last n, losses to be said."""

    records: int
    size: int
    epoch: bytes | None
    last_n: int | None
    losses: tuple[Loss, ...]


class SpoolStatus(msgspec.Struct, frozen=True):
    """Size and wear. `written` is bytes written since the start, `payload` the sealed bytes among them.

    `ballast` is False while the disk is too full to keep room back. `held_*` lie in memory only,
    `dropped` records were given up there. `refused` says why the disk takes nothing (`full`, `read-only`,
    `failing`), None while it does; `write_errors` counts what it refused since the start.
    """

    segments: int
    bytes: int
    quota: int
    alarm_bytes: int
    alarm_quota: int
    free: int
    written: int
    payload: int
    ballast: bool
    held_records: int = 0
    held_bytes: int = 0
    dropped: int = 0
    refused: str | None = None
    refused_since_us: int | None = None
    error: str | None = None
    write_errors: int = 0
