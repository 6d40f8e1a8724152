"""Frames that wait for a second centre, in a database of their own: they outlive a restart and the power.

What is put is written with the next few, at once where somebody waits for it, else within a second; what
is done is taken out with the next write. So a frame whose answer came is not sent again after an orderly
end, and at most once more after a power cut. A disk that refuses leaves new frames in memory, under the
same bound.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from headgate.env import Env
from headgate.spool.database import Change, Database, damaged

log = logging.getLogger(__name__)

T = TypeVar("T")

VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY, station TEXT NOT NULL, answered INTEGER NOT NULL, crc INTEGER NOT NULL,
    frame BLOB NOT NULL);
"""
#: What one frame costs besides its own bytes, on disk and in memory.
OVERHEAD: Final = 64
#: Somebody waits: together with who comes meanwhile. Nobody waits: in one write a second.
_SOON_S, _LATER_S = 0.005, 1.0
_LONGEST_RETRY_S = 60.0
#: Frames of one station that are fetched at once, when it is its turn.
_AHEAD = 16
#: An id and a size in one number: sizes are below 1 MiB.
_SIZE_BITS = 20
_MOST_BYTES = (1 << _SIZE_BITS) - 1


class Waiting(NamedTuple):
    """One frame; `answered`: whether the protocol answers such a one."""

    id: int
    station: str
    data: bytes
    answered: bool


class RelayQueue:
    """All stations' frames of one port, each station's in order. `lost` is told: station, how many.

    Args:
        path: the database; its folder is made.
        keep_bytes: what may wait altogether. The oldest that is not under way goes first.
    """

    def __init__(
        self, env: Env, path: Path, keep_bytes: int, lost: Callable[[str, int], None]
    ) -> None:
        self._env, self._path, self._keep_bytes, self._lost = env, path, keep_bytes, lost
        self._database = Database(env.files, path, _SCHEMA, VERSION)
        self._thread = env.single("headgate-relay")
        self._lines: dict[str, deque[int]] = {}
        self._busy: set[str] = set()
        self._next = 1
        self._bytes = 0
        #: Not written yet; being written; fetched again.
        self._fresh: dict[int, Waiting] = {}
        self._writing: dict[int, Waiting] = {}
        self._ahead: dict[int, Waiting] = {}
        self._gone: list[int] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._running: asyncio.Future[None] | None = None
        self._retry_s = 0.0
        self._complaint = ""

    # ------------------------------------------------------------ start and end

    async def open(self) -> Sequence[str]:
        """Find what waited before; the stations that it is of. A file that is damaged is set aside."""
        rows = await self._aside(self._load)
        for number, station, size in rows:
            self._lines.setdefault(station, deque()).append(number << _SIZE_BITS | size)
            self._bytes += size + OVERHEAD
            self._next = number + 1
        self._make_room()
        return list(self._lines)

    def _load(self) -> list[tuple[int, str, int]]:
        try:
            folder = self._path.parent
            self._env.files.make_folder(folder, 0o750)
            self._env.files.sync_folder(folder.parent)  # else a power cut takes it, with all in it
            return self._rows()
        except (sqlite3.Error, OSError) as error:
            log.error("relay: frames kept cannot be read", extra={"error": str(error)})
            if not damaged(error):
                self._database.close()
                return []
        self._database.set_aside()
        try:
            return self._rows()
        except (sqlite3.Error, OSError) as error:
            log.error("relay: no frame can be kept", extra={"error": str(error)})
            self._database.close()
            return []

    def _rows(self) -> list[tuple[int, str, int]]:
        select = "SELECT id, station, length(frame) FROM waiting ORDER BY id"
        return self._database.open().execute(select).fetchall()

    async def close(self) -> Counter[str]:
        """Write what is to be written; how many frames of whom the disk refused: they are lost."""
        await self._settled()
        self._start()
        await self._settled()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown(wait=True)
        self._database.close()
        return Counter(each.station for each in self._fresh.values())

    async def _settled(self) -> None:
        if (running := self._running) is not None:
            await asyncio.wait([running])

    # ------------------------------------------------------------ what waits

    def put(self, station: str, frame: bytes, answered: bool) -> None:
        """Take one frame; at once."""
        if len(frame) > _MOST_BYTES:
            self._lost(station, 1)
            return
        number, self._next = self._next, self._next + 1
        self._fresh[number] = Waiting(number, station, frame, answered)
        self._lines.setdefault(station, deque()).append(number << _SIZE_BITS | len(frame))
        self._bytes += len(frame) + OVERHEAD
        self._make_room()
        self._arm(_LATER_S)

    def waiting(self, station: str) -> int:
        """How many frames of a station wait."""
        return len(self._lines.get(station, ()))

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def unsaved(self) -> int:
        """Frames that lie in memory only because the disk refuses them."""
        return len(self._fresh) if self._retry_s else 0

    async def next(self, station: str, behind: int = 0) -> Waiting | None:
        """A station's oldest frame, or the one `behind` it; None: none is there, or the disk refuses.

        The oldest is under way from then on: it is not given up for room.
        """
        while (line := self._lines.get(station)) and len(line) > behind:
            self._busy.add(station)
            number = line[behind] >> _SIZE_BITS
            for place in (self._fresh, self._writing, self._ahead):
                if (found := place.get(number)) is not None:
                    return found
            ids = [line[at] >> _SIZE_BITS for at in range(behind, min(behind + _AHEAD, len(line)))]
            try:
                read = await self._aside(partial(self._read, ids))
            except (sqlite3.Error, OSError) as error:
                self._complain(error)
                return None
            self._ahead.update(read)
            if number not in read and len(line) > behind and line[behind] >> _SIZE_BITS == number:
                self._take_out(station, behind)  # it rotted
                self._lost(station, 1)
        return None

    def _read(self, ids: Sequence[int]) -> Mapping[int, Waiting]:
        db = self._database.reader
        if db is None:
            raise OSError("no file")
        marks = ",".join("?" * len(ids))
        query = f"SELECT id, station, answered, crc, frame FROM waiting WHERE id IN ({marks})"  # noqa: S608
        return {
            number: Waiting(number, station, data, bool(answered))
            for number, station, answered, crc, data in db.execute(query, ids)
            if crc == zlib.crc32(data)
        }

    def done(self, station: str, number: int) -> None:
        """A frame of a station waits no more; it may have been given up for room meanwhile."""
        for at, packed in enumerate(self._lines.get(station, ())):
            if packed >> _SIZE_BITS == number:
                self._take_out(station, at)
                self._arm(_LATER_S)
                return
            if packed >> _SIZE_BITS > number:
                return

    def _take_out(self, station: str, at: int) -> None:
        line = self._lines[station]
        packed = line[at]
        del line[at]
        if not at:
            self._busy.discard(station)
        self._bytes -= (packed & _MOST_BYTES) + OVERHEAD
        number = packed >> _SIZE_BITS
        self._ahead.pop(number, None)
        if self._fresh.pop(number, None) is None:
            self._gone.append(number)

    def _make_room(self) -> None:
        if self._bytes <= self._keep_bytes:
            return
        # The oldest of each station that is not under way: a start may have very many to give up.
        oldest = [
            (line[at], station)
            for station, line in self._lines.items()
            if len(line) > (at := int(station in self._busy))
        ]
        heapify(oldest)
        while oldest and self._bytes > self._keep_bytes:
            station = oldest[0][1]
            at = int(station in self._busy)
            self._take_out(station, at)
            self._lost(station, 1)
            if len(line := self._lines[station]) > at:
                heapreplace(oldest, (line[at], station))
            else:
                heappop(oldest)

    # ------------------------------------------------------------ to the disk

    def durable(self) -> asyncio.Future[None] | None:
        """Done when everything put so far is on disk, or the disk refused; None when it is."""
        if self._retry_s or not (self._fresh or self._writing):
            return None
        if not self._fresh and self._running is not None:
            return self._running
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._arm(_SOON_S)
        return waiter

    def _arm(self, delay_s: float) -> None:
        if self._running is not None:
            return  # its end looks again
        loop = asyncio.get_running_loop()
        when = loop.time() + max(delay_s, self._retry_s)
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = loop.call_at(when, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running is not None:
            return
        waiters, self._waiters = self._waiters, []
        if not (self._fresh or self._gone):
            _wake(waiters)  # what they waited for has arrived already
            return
        loop = asyncio.get_running_loop()
        self._running = loop.create_future()
        self._writing, self._fresh = self._fresh, {}
        gone, self._gone = self._gone, []
        work = loop.run_in_executor(self._thread, self._write, self._writing, gone)
        work.add_done_callback(lambda done: self._written(done, gone, waiters))

    def _write(self, fresh: Mapping[int, Waiting], gone: Sequence[int]) -> None:
        changes: list[Change] = [("DELETE FROM waiting WHERE id = ?", (number,)) for number in gone]
        changes += [
            (
                "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)",
                (number, each.station, each.answered, zlib.crc32(each.data), each.data),
            )
            for number, each in fresh.items()
        ]
        try:
            self._database.write(changes)
        except sqlite3.Error as error:
            if damaged(error):
                self._database.set_aside()  # the next write begins a new one
            raise

    def _written(
        self, work: asyncio.Future[None], gone: list[int], waiters: list[asyncio.Future[None]]
    ) -> None:
        running, self._running = self._running, None
        written, self._writing = self._writing, {}
        error = work.exception()
        if error is None:
            self._retry_s, self._complaint = 0.0, ""
        else:
            if not isinstance(error, sqlite3.Error | OSError):
                log.error("relay: frames not written", exc_info=error)
            self._complain(error)
            left = set(self._gone)  # done with meanwhile: never written at all
            self._fresh = {n: each for n, each in written.items() if n not in left} | self._fresh
            self._gone = gone + [number for number in self._gone if number not in written]
            if damaged(error):
                self._only_fresh()
            self._retry_s = min(max(2 * self._retry_s, _LATER_S), _LONGEST_RETRY_S)
            # Nobody's confirmation waits for a disk that has no room for a second centre's frames.
            waiters = waiters + self._waiters
            self._waiters = []
        _wake(waiters)
        if running is not None:
            running.set_result(None)
        if self._fresh or self._gone or self._waiters:
            self._arm(_SOON_S if self._waiters else _LATER_S)

    def _only_fresh(self) -> None:
        """What lay in the file is gone with it."""
        self._gone.clear()
        for station, line in self._lines.items():
            for at in reversed(range(len(line))):
                if line[at] >> _SIZE_BITS not in self._fresh:
                    self._take_out(station, at)
                    self._lost(station, 1)
        self._gone.clear()

    def _complain(self, error: BaseException) -> None:
        # Once: a disk that is full stays so for days.
        if str(error) != self._complaint:
            self._complaint = str(error)
            log.error("relay: the disk refuses", extra={"error": self._complaint})

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _wake(waiters: Sequence[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
