"""Looking at a spool without touching it: what lies in each segment, and whether it is sound.

Reads only, takes no lock, and may therefore run beside a gateway; the newest segment then grows while it
is looked at, which shows as nothing worse than an end that is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from headgate.env import Env
from headgate.model import Lane
from headgate.spool.browse import LOGS, head
from headgate.spool.segment import Damage, NewerFormat, scan, sealed_intact, seed


class SegmentReport(msgspec.Struct, frozen=True):
    """One segment file. `damaged` are bytes without a readable record; `broken` records whose bytes changed.

    `end_torn` says that all damage lies at the very end, as a power cut leaves it.
    """

    log: str
    name: str
    size: int
    records: int
    readings: int
    by_lane: dict[str, int]
    first_us: int | None
    last_us: int | None
    damaged: int
    broken: int
    end_torn: bool
    problem: str = ""

    @property
    def sound(self) -> bool:
        """Whether everything that was committed here can be read."""
        return not self.problem and not self.broken and (not self.damaged or self.end_torn)


def survey(env: Env, folder: Path) -> Iterator[SegmentReport]:
    """Every segment of the spool in `folder`, alarms first, oldest first."""
    for log in LOGS:
        for name in env.files.list(folder / log):
            if name.endswith(".seg"):
                yield _look(env, folder / log / name, log)


def _look(env: Env, path: Path, log: str) -> SegmentReport:
    try:
        size = env.files.size(path) or 0
        header = head(env, path)
    except NewerFormat as newer:
        return _unread(path, log, f"format {newer.version} is newer than this runtime")
    except OSError as error:
        return _unread(path, log, str(error))
    if header is None:
        return _unread(path, log, "the header is damaged", size)

    def read(offset: int, length: int) -> bytes:
        return env.files.read(path, offset, length)

    start = seed(header.log_id, header.number)
    records = readings = damaged = broken = 0
    by_lane: dict[str, int] = {}
    first_us: int | None = None
    last_us: int | None = None
    last_damage = 0
    try:
        for found in scan(read, header.size, size, start):
            if isinstance(found, Damage):
                damaged += found.end - found.offset
                last_damage = found.end - found.offset if found.end == size else 0
                continue
            records += 1
            lane = Lane(found.lane).name.lower()
            by_lane[lane] = by_lane.get(lane, 0) + 1
            if not sealed_intact(found, read(found.sealed_offset, found.sealed_size), start):
                broken += 1
            if found.index is not None:
                readings += found.index.readings
                first = found.index.first_us
                first_us = first if first_us is None else min(first_us, first)
                last_us = max(last_us or 0, found.index.last_us)
    except OSError as error:
        return _unread(path, log, str(error), size)
    return SegmentReport(
        log, path.name, size, records, readings, by_lane, first_us, last_us,
        damaged, broken, end_torn=damaged == last_damage,
    )  # fmt: skip


def _unread(path: Path, log: str, problem: str, size: int = 0) -> SegmentReport:
    return SegmentReport(log, path.name, size, 0, 0, {}, None, None, 0, 0, False, problem)
