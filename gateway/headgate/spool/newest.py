"""Which start of the gateway committed last, by what lies in the spool and what its ledgers know. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class End(NamedTuple):
    """How far a start came in one segment: a segment holds records of one start only."""

    number: int
    epoch: bytes
    n: int


def newest(logs: Iterable[Sequence[End]]) -> tuple[bytes | None, int | None]:
    """The epoch that committed last, and its highest n; (None, None) where there is none.

    Args:
        logs: the ends of each log's segments, in rising order of numbers.
    """
    logs = [ends for ends in logs if ends]
    last = {ends[-1].epoch for ends in logs}
    # Whoever another one follows in either log is not it: numbers of segments order the two logs as well,
    # but one that was abandoned, and that a power cut brought back, may bear any.
    for ends in logs:
        if len(last) > 1:
            last -= {end.epoch for end in ends} - {ends[-1].epoch}
    every = [end for ends in logs for end in ends]
    latest = max((end for end in every if end.epoch in last), default=None)
    if latest is None:
        return None, None
    return latest.epoch, max(end.n for end in every if end.epoch == latest.epoch)
