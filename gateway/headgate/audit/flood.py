"""A flood of one kind of event is counted, not written: nobody outside may fill the log.

Each kind that a stranger can cause has a bucket: the first entries pass, later ones at the pace of
`EVERY_US`. What was held back is told as one entry, `log-suppressed`, with its count, when the next of
its kind passes or an hour is over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from headgate.audit.entry import Entry
from headgate.audit.kinds import KINDS

#: So many of a kind pass at once, and then one in this time.
BURST: Final = 30
EVERY_US: Final = 600 * 1_000_000


class _Bucket:
    def __init__(self, now_us: int) -> None:
        self.tokens = float(BURST)
        self.filled_us = now_us
        self.held_back = 0
        self.last: Entry | None = None


class Flood:
    """Decides which entries pass."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        #: Entries held back since the start.
        self.held_back = 0

    def passes(self, entry: Entry, now_us: int) -> bool:
        """Whether an entry is written; if not, it is counted."""
        kind = KINDS.get(entry.kind)
        # What is not in the table is a step that one of our rooms must not take unwritten.
        if kind is None or not kind.limited:
            return True
        bucket = self._buckets.get(entry.kind)
        if bucket is None:
            bucket = self._buckets[entry.kind] = _Bucket(now_us)
        passed = (now_us - bucket.filled_us) / EVERY_US
        bucket.tokens = min(float(BURST), bucket.tokens + passed)
        bucket.filled_us = now_us
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return True
        bucket.held_back += 1
        bucket.last = entry
        self.held_back += 1
        return False

    def told(self) -> Iterator[Entry]:
        """What was held back since it was last told, one entry per kind."""
        for bucket in self._buckets.values():
            last = bucket.last
            if last is None:
                continue
            yield Entry(
                kind="log-suppressed", who="gateway", what=last.kind, result="ok",
                fields={"count": bucket.held_back, "last_who": last.who, "last_what": last.what},
            )  # fmt: skip
            bucket.held_back, bucket.last = 0, None
