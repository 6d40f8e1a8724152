"""Every record of a spool in place, for people and tools: reads only, takes no lock, bothers no gateway."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from headgate.env import Env
from headgate.model import Lane
from headgate.spool.records import ClearIndex
from headgate.spool.segment import (
    Damage,
    NewerFormat,
    SegmentHeader,
    decode_header,
    header_size,
    scan,
    sealed_intact,
    seed,
)

log = logging.getLogger(__name__)

#: In the order in which they are told.
LOGS = ("alarms", "data")
#: What is read to learn how long a header is.
_FIRST = 4096


class Lying(msgspec.Struct, frozen=True):
    """One record as it lies on disk. `data` is None where its sealed bytes are not what was written."""

    log: str
    segment: str
    offset: int
    lane: Lane
    epoch: bytes
    n: int
    key_id: bytes
    serial: int
    index: ClearIndex | None
    data: bytes | None


def browse(env: Env, folder: Path) -> Iterator[Lying]:
    """Every record of the spool in `folder`, alarms first, in the order of their commits, each once."""
    for name in LOGS:
        seen: set[tuple[bytes, int]] = set()
        for file in env.files.list(folder / name):
            if not file.endswith(".seg"):
                continue
            for record in _segment(env, folder / name / file, name):
                # An abandoned segment may end in copies of what was written again.
                if (record.epoch, record.n) not in seen:
                    seen.add((record.epoch, record.n))
                    yield record


def newest_indexes(env: Env, folder: Path, segments: int) -> Iterator[ClearIndex]:
    """The clear index of every record in the newest `segments` files of each log; reads no sealed byte."""
    for name in LOGS:
        files = [file for file in env.files.list(folder / name) if file.endswith(".seg")]
        for file in files[-segments:]:
            path = folder / name / file
            try:
                header = head(env, path)
                if header is None:
                    continue
                read = partial(env.files.read, path)
                start = seed(header.log_id, header.number)
                for found in scan(read, header.size, env.files.size(path) or 0, start):
                    if not isinstance(found, Damage) and found.index is not None:
                        yield found.index
            except (OSError, NewerFormat) as error:
                log.warning("segment left out", extra={"segment": file, "reason": str(error)})


def head(env: Env, path: Path) -> SegmentHeader | None:
    """The header of a segment file; None when it is damaged. Raises OSError, NewerFormat."""
    data = env.files.read(path, 0, _FIRST)
    if header_size(data) > len(data):
        data = env.files.read(path, 0, header_size(data))
    return decode_header(data)


def _segment(env: Env, path: Path, name: str) -> Iterator[Lying]:
    try:
        header = head(env, path)
        if header is None:
            log.warning("segment left out: its header is damaged", extra={"segment": path.name})
            return
        start = seed(header.log_id, header.number)

        def read(offset: int, size: int) -> bytes:
            return env.files.read(path, offset, size)

        for found in scan(read, header.size, env.files.size(path) or 0, start):
            if isinstance(found, Damage):
                continue
            data = read(found.sealed_offset, found.sealed_size)
            yield Lying(
                name, path.name, found.offset, found.lane, found.epoch, found.n, found.key_id,
                found.serial, found.index, data if sealed_intact(found, data, start) else None,
            )  # fmt: skip
    except (OSError, NewerFormat) as error:
        log.warning("segment left out", extra={"segment": path.name, "reason": str(error)})
