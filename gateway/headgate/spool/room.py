"""Who goes when there is no room: at the quota, and on a full file system."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from headgate.env import Env
from headgate.model import GapReason
from headgate.spool.ballast import NO_ROOM, PAGE, RESERVED, Ballast
from headgate.spool.log import Log
from headgate.spool.rows import Rows

log = logging.getLogger(__name__)

#: Records of one log that are looked after in memory, 46 bytes each and one more for each uplink. Beyond
#: it settled segments go early; what is not settled stays, and is bounded by the quota alone.
MOST_ROWS = 500_000


class Room:
    """Makes room by letting whole segments go: without loss where it can, saying what is lost where not.

    All of it in the writer's thread but `settle` and `unsettle`.
    """

    def __init__(
        self,
        env: Env,
        folder: Path,
        data: Log,
        alarms: Log,
        *,
        quota_bytes: int,
        alarm_bytes: int,
        ballast_bytes: int,
        most_segments: int,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._data = data
        self._alarms = alarms
        self.quota_bytes = quota_bytes
        self.alarm_bytes = alarm_bytes
        self._most_segments = most_segments
        self._most_rows = most_rows
        # Two files: data must not take what alarms and the state still need on a full disk.
        reserved = ballast_bytes // RESERVED // PAGE * PAGE
        self._ballast = Ballast(env, folder / "ballast", ballast_bytes - reserved)
        self._reserve = Ballast(env, folder / "reserve", reserved)
        self._settled: set[tuple[str, int]] = set()
        #: Whether any uplink still needs a row; eviction without loss asks this. Set by the delivery.
        self.needed: Callable[[Rows, int], bool] = lambda rows, row: True

    # ------------------------------------------------------------ what may go

    def settle(self, name: str, number: int) -> None:
        """Every uplink has passed this segment: it goes when room is wanted, not before."""
        self._settled.add((name, number))

    def unsettle(self, name: str, number: int) -> None:
        """Somebody wants something of this segment again."""
        self._settled.discard((name, number))

    def _oldest_settled(self, one: Log) -> int | None:
        for name, number in sorted(self._settled):
            rows = one.segments.get(number) if name == one.name else None
            if rows is None or number == one.open_segment:
                continue
            # Asked again: a platform restored from a backup may have changed its mind a moment ago.
            if not any(self.needed(rows, row) for row in rows.alive()):
                return number
        return None

    def _free(self, one: Log, number: int) -> int:
        """Let go of one segment; its bytes, 0 when it had to stay."""
        size = one.segments[number].file_size
        try:
            loss = one.let_go(number, self.needed, GapReason.QUOTA)
        except OSError as error:
            # What is given up must be on record first; the reserve is there for that, too.
            if error.errno in NO_ROOM and self._reserve.drop():
                return self._free(one, number)
            log.warning("segment kept", extra={"log": one.name, "error": str(error)})
            return 0
        self._settled.discard((one.name, number))
        # The next one to go has to be on record first, too.
        self._reserve.make(eager=True)
        if loss is not None:
            log.warning(
                "records given up for room", extra={"log": one.name, "records": loss.records}
            )
        return size

    # ------------------------------------------------------------ at the quota

    def make(self, one: Log, coming: int) -> None:
        """Keep a log within its quota, with so many bytes to come: settled segments go, then the oldest."""
        quota = self.alarm_bytes if one is self._alarms else self.quota_bytes
        while one.segments and (
            one.size + coming > quota
            or len(one.segments) > self._most_segments
            or sum(map(len, one.segments.values())) > self._most_rows
        ):
            number = self._oldest_settled(one)
            if number is None:
                if one.size + coming <= quota:
                    break
                number = min(one.segments)
            if not self._free(one, number):
                break

    # ------------------------------------------------------------ on a full disk

    @property
    def kept(self) -> bool:
        """Whether room is kept back as it should be."""
        return self._ballast.kept or not self._ballast.wanted

    def keep(self) -> None:
        """Keep room back where there is plenty."""
        self._reserve.make()
        self._ballast.make()

    def free_disk(self, one: Log) -> int:
        """The file system is full: let go of something; how many bytes, 0 when there was nothing.

        What is settled goes first, then the ballast, then the oldest data; neither what is still being
        written nor alarms. Data leaves the reserve to alarms and to what is remembered.
        """
        data = self._data
        if (number := self._oldest_settled(data)) is not None:
            return self._free(data, number)
        if freed := self.give(reserve=one is self._alarms):
            return freed
        number = next((n for n in sorted(data.segments) if n != data.open_segment), None)
        return 0 if number is None else self._free(data, number)

    def give(self, *, reserve: bool = True) -> int:
        """Something finds the disk full: what was kept back goes; how many bytes."""
        return self._ballast.drop() or (self._reserve.drop() if reserve else 0)
