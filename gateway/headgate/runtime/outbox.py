"""An uplink's window into the spool: alarms, then live, then paced history; freed by receipts alone.

Each uplink has its own over the one stored copy. Everything runs on the event loop. `outboxes.py` lets
a segment go when all of them have passed it.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from headgate.env import Env
from headgate.envelope.ranges import RangeSet
from headgate.errors import SpoolCorrupt, SpoolError
from headgate.model import Item, PointTable
from headgate.runtime.asks import Asks
from headgate.runtime.burial import bury
from headgate.runtime.cursor import Cursor, Turn
from headgate.runtime.pacing import HistoryPace
from headgate.runtime.terms import Commanding, Insight, OutboxStatus, Pace, ReceiptLike
from headgate.sdk import Acknowledged, Outbox, StoredRecord
from headgate.spool import Position, Rows, Spool, State

log = logging.getLogger(__name__)

REFUSED, NEED_GRANT, NEED_TABLE = 1, 2, 3
#: A record that the disk does not give is asked for again this much later.
READ_AGAIN_US: Final = 60_000_000
#: Settled records that an uplink may look back on; more than two days of one each second.
_MOST_EARLIER: Final = 200_000


class _Flight(msgspec.Struct):
    position: Position
    turn: Turn
    due_us: int
    #: The how-manieth record sent: what was sent before a settled one should be settled too.
    order: int
    #: When it was handed to the uplink; 0 once the link has taken it.
    taken_us: int
    hurried: bool = False


class SpoolOutbox(Outbox):
    """The SDK's `Outbox` over spool and state."""

    def __init__(
        self,
        env: Env,
        spool: Spool,
        state: State,
        uplink: str,
        epoch: bytes,
        *,
        insight: Insight,
        verify_receipt: Callable[[bytes], ReceiptLike],
        say: Callable[[Item], None],
        need_table: Callable[[bytes], object] = lambda digest: None,
        retire: Callable[[Sequence[bytes]], object] = lambda key_ids: None,
        passed: Callable[[str, int], None] = lambda log, number: None,
        pace: Pace | None = None,
        commanding: Commanding | None = None,
    ) -> None:
        self._env = env
        self._spool = spool
        self._state = state
        self.uplink = uplink
        self._insight = insight
        self._verify_receipt = verify_receipt
        self._say = say
        self._need_table = need_table
        self._retire = retire
        self._commanding = commanding
        self._pace = pace or Pace()
        self.cursor = Cursor(state.settled(uplink), epoch, passed)
        self.cursor.load(spool.segments())
        self._flights: dict[tuple[bytes, int], _Flight] = {}
        self._receipt_s = self._pace.receipt_s
        self._order = 0
        self._window = 1
        self._history_on_link: set[tuple[bytes, int]] = set()
        self._history = HistoryPace(
            self._pace.history_share, self._pace.history_bytes_s, env.clock.boottime_us()
        )
        self._waiter: asyncio.Future[None] | None = None
        # Refused records whose gap is not durable yet: (commits left to wait for, epoch, n). Two, because
        # one may be under way that does not hold it.
        self._unsaid: list[tuple[int, bytes, int]] = []
        self._asks = Asks(env, spool, state, uplink, self.cursor, say)
        # Records that the disk did not give: when they are asked for again.
        self._unread: deque[tuple[int, Position, Turn]] = deque()
        self._settled = self._refused = self._corrupt = 0

    # ------------------------------------------------------------ taking

    async def take(self, limit: int) -> Sequence[StoredRecord]:
        """The next records to send, at least one; waits while there is none."""
        self._window = max(self._window, limit)
        while True:
            self._offer_overdue()
            records = self._ready(limit)
            if records:
                return records
            await self._wait()

    def _ready(self, limit: int) -> list[StoredRecord]:
        limit = min(limit, self._pace.ahead - len(self._flights))
        records: list[StoredRecord] = []
        for turn in (Turn.ALARM, Turn.LIVE):
            while len(records) < limit and (record := self._take_one(turn)):
                records.append(record)
        # The rest of the window is for what happens now: on a thin link a history record takes long.
        while (
            len(records) < limit
            and self._may_send_history()
            and (record := self._take_one(Turn.HISTORY)) is not None
        ):
            self._history.took(len(record.data))
            self._history_on_link.add((record.epoch, record.n))
            records.append(record)
        return records

    def _take_one(self, turn: Turn) -> StoredRecord | None:
        while (position := self.cursor.take(turn, self._old)) is not None:
            rows = self._spool.rows(position.log, position.segment)
            if rows is None:
                self.cursor.forget(position.log, position.segment)
                continue
            try:
                data = self._spool.read(position)
            except SpoolCorrupt as error:
                log.error(
                    "stored record is damaged", extra={"uplink": self.uplink, "error": str(error)}
                )
                self._corrupt += 1
                self.cursor.lose(position)
                continue
            except SpoolError as error:
                # The disk may be away as a whole: what it does not give now is asked for again later,
                # and nothing else of it meanwhile in this turn.
                log.warning("record not read", extra={"uplink": self.uplink, "error": str(error)})
                again_us = self._env.clock.boottime_us() + READ_AGAIN_US
                self._unread.append((again_us, position, turn))
                return None
            row = position.row
            record = StoredRecord(
                rows.epoch(row),
                rows.ns[row],
                rows.key_id(row),
                rows.lane(row),
                data,
                rows.readings[row],
            )
            now = self._env.clock.boottime_us()
            due = now + int(self._receipt_s * 1e6)
            self._order += 1
            self._flights[record.epoch, record.n] = _Flight(position, turn, due, self._order, now)
            return record
        return None

    def _old(self, rows: Rows, row: int) -> bool:
        if self.cursor.of_earlier_start(rows, row):
            return True
        return self._env.clock.boottime_us() - rows.last_us[row] > self._pace.history_after_s * 1e6

    def _may_send_history(self) -> bool:
        now = self._env.clock.boottime_us()
        return self._history.allows(len(self._history_on_link), self._window, now)

    def _offer_overdue(self) -> None:
        """A broker that took a record and forgot it sends no receipt: offer it again."""
        now = self._env.clock.boottime_us()
        late = False
        while self._unread and self._unread[0][0] <= now:
            _, position, turn = self._unread.popleft()
            self.cursor.give_back(position, turn)
        while self._flights:
            name = next(iter(self._flights))
            if self._flights[name].due_us > now:
                break
            flight = self._flights[name]
            self._landed(*name)
            self.cursor.give_back(flight.position, self._turn_again(flight.turn))
            late = late or not flight.hurried
        if late:
            self._receipt_s = min(self._receipt_s * 2, self._pace.receipt_longest_s)

    @staticmethod
    def _turn_again(turn: Turn) -> Turn:
        return Turn.ALARM if turn is Turn.ALARM else Turn.HISTORY

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        # Nothing tells us that a deadline or a credit has come: look again each second while any is open.
        timer = loop.call_later(1.0, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ what became of it

    def sent(self, records: Sequence[StoredRecord]) -> None:
        """The link has taken these: their place in the window is free, their receipt is still to come."""
        for record in records:
            self._history_on_link.discard((record.epoch, record.n))
            self._taken_by_link(self._flights.get((record.epoch, record.n)))
        self._wake()

    def _taken_by_link(self, flight: _Flight | None) -> None:
        """How long live records take over the link tells how much history it bears beside them."""
        if flight is not None and flight.taken_us and flight.turn is not Turn.HISTORY:
            now = self._env.clock.boottime_us()
            self._history.live_arrived(now - flight.taken_us, self._window, now)
            flight.taken_us = 0

    def _landed(self, epoch: bytes, n: int) -> _Flight | None:
        """Out of flight, whatever became of it."""
        self._history_on_link.discard((epoch, n))
        return self._flights.pop((epoch, n), None)

    def settle(self, records: Sequence[StoredRecord]) -> None:
        """The platform has these for good (`ack = "broker"`, or a foreign platform said so)."""
        for record in records:
            self._taken_by_link(self._landed(record.epoch, record.n))
            self._settled += len(self.cursor.settle(record.epoch, record.n, record.n))
        self._receipt_s = self._pace.receipt_s
        self._wake()

    def give_back(self, records: Sequence[StoredRecord]) -> None:
        """These were not delivered: offer them again."""
        for record in records:
            flight = self._landed(record.epoch, record.n)
            if flight is not None:
                self.cursor.give_back(flight.position, flight.turn)
        self._wake()

    def refuse(self, record: StoredRecord, reason: str) -> None:
        """The platform will never take this one: dead letter and gap."""
        self._refuse(record.epoch, record.n, reason)
        self._wake()

    def _refuse(self, epoch: bytes, n: int, reason: str) -> bool:
        position = self.cursor.find(epoch, n)
        self._landed(epoch, n)
        if position is None:
            return False
        for gap in bury(
            self._env, self._spool, self._state, self.uplink, position, (epoch, n), reason
        ):
            self._say(gap)
        self.cursor.settle(epoch, n, n)
        self._unsaid.append((2, epoch, n))
        self._refused += 1
        log.warning("record refused", extra={"uplink": self.uplink, "n": n, "reason": reason})
        return True

    def command(self, message: bytes, *, how: Literal["live", "retained"]) -> None:
        """A command came down this uplink."""
        if self._commanding is not None:
            self._commanding.receive(self.uplink, message, how)

    async def answer(self) -> bytes:
        """The next answer to a command of this uplink; waits while there is none."""
        if self._commanding is None:
            return await super().answer()
        return await self._commanding.answer(self.uplink)

    def receipt(self, message: bytes) -> Acknowledged:
        """Check a platform receipt and free what it names.

        Raises:
            SecurityError: not signed by the pinned receipt key, or for another gateway.
        """
        receipt = self._verify_receipt(message)
        epoch = receipt.epoch
        freed: list[Position] = []
        newest = 0
        if self.cursor.knows(epoch):
            freed += self.cursor.settle(epoch, 0, receipt.floor - 1)
            for first, last in receipt.stored:
                freed += self.cursor.settle(epoch, first, last)
        for position in freed:
            rows = self._spool.rows(position.log, position.segment)
            if rows is not None:
                landed = self._landed(epoch, rows.ns[position.row])
                newest = max(newest, landed.order if landed else 0)
        self._hurry(newest)
        grants: list[bytes] = []
        refused: list[tuple[bytes, int, str]] = []
        for verdict in receipt.verdicts:
            detail = verdict.detail
            if verdict.code == REFUSED:
                reason = detail if isinstance(detail, str) else detail.hex()
                if self._refuse(epoch, verdict.n, reason):
                    refused.append((epoch, verdict.n, reason))
            elif verdict.code == NEED_GRANT and isinstance(detail, bytes):
                grants.append(detail)
            elif verdict.code == NEED_TABLE and isinstance(detail, bytes):
                self._need_table(detail)
        if receipt.retire:
            self._retire(receipt.retire)
        again = self._asks.follow(receipt)
        self._settled += len(freed)
        self._receipt_s = self._pace.receipt_s
        self._wake()
        return Acknowledged(len(freed), tuple(dict.fromkeys(grants)), tuple(again), tuple(refused))

    def _hurry(self, order: int) -> None:
        """What was sent before a record that is settled has been forgotten on the way, most likely.

        It is offered again after a short wait, once: a broker that lost its queue costs seconds then,
        not the whole patience for a receipt.
        """
        due_us = self._env.clock.boottime_us() + int(self._pace.hurry_s * 1e6)
        for flight in self._flights.values():
            if flight.order < order and not flight.hurried:
                flight.hurried = True
                flight.due_us = min(flight.due_us, due_us)

    # ------------------------------------------------------------ looking inside

    def grants(self) -> Sequence[tuple[bytes, bytes]]:
        """(key id, message) of every grant that unsettled records of this uplink need, oldest first."""
        needed = self.cursor.keys_needed()
        found = ((key_id, self.grant(key_id)) for key_id in needed)
        return [(key_id, message) for key_id, message in found if message is not None]

    def grant(self, key_id: bytes) -> bytes | None:
        """One grant message by key id."""
        grant = self._state.grant(key_id)
        return None if grant is None else grant.message

    def open(self, record: StoredRecord) -> Sequence[Item]:
        """The items of a record, for uplinks that convert. Blocks name their table by SM3."""
        return self._insight.open(record)

    def earlier(self, since_us: int) -> Iterator[StoredRecord]:
        """What this uplink had settled when this is called and the spool still keeps, newest first."""
        left = _MOST_EARLIER
        found: dict[str, list[tuple[Rows, array[int]]]] = {}
        for rows in reversed(self._spool.segments()):
            of_log = found.setdefault(rows.log, [])
            if left <= 0 or (of_log and not of_log[-1][1]):
                continue  # this log has come to what is older
            settled = array("I")
            if not self._before(rows, len(rows) - 1, since_us):
                settled.extend(row for row in rows.alive() if not self.cursor.needs(rows, row))
                left -= len(settled)
                if not settled:
                    continue
            of_log.append((rows, settled))
        return self._read_earlier(found, since_us)

    def _before(self, rows: Rows, row: int, since_us: int) -> bool:
        """Whether what a row tells of is known to be older than this wall time."""
        if row < 0 or rows.last_us[row] < 0:
            return False
        wall_us = self._insight.wall_us(rows.last_us[row], rows.boot)
        return wall_us is not None and wall_us < since_us

    def _read_earlier(
        self, found: dict[str, list[tuple[Rows, array[int]]]], since_us: int
    ) -> Iterator[StoredRecord]:
        for log_name, segments in found.items():
            for rows, settled in segments:
                for row in reversed(settled):
                    if self._before(rows, row, since_us):
                        break
                    if self._spool.rows(log_name, rows.number) is not rows or row in rows.dead:
                        continue
                    try:
                        position = Position(log_name, rows.number, row)
                        data = self._spool.read(position, needed=False)
                    except SpoolError:
                        continue
                    yield StoredRecord(
                        rows.epoch(row), rows.ns[row], rows.key_id(row), rows.lane(row), data,
                        rows.readings[row],
                    )  # fmt: skip

    def boot(self, epoch: bytes) -> bytes | None:
        """The boot that the times of an epoch's records belong to, once one of them was opened."""
        return self._insight.boot(epoch)

    def table(self, digest: bytes) -> PointTable | None:
        """The announced table of this SM3."""
        return self._insight.table(digest)

    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        """Wall time of a boottime, by the best clock fix known; None while there is none."""
        return self._insight.wall_us(at_us, boot)

    # ------------------------------------------------------------ the core's side

    def committed(self) -> None:
        """A commit has happened; `cursor` has been told of its rows."""
        if not self._spool.holding:  # what lies in memory only is not said for good
            self._unsaid = [(left - 1, epoch, n) for left, epoch, n in self._unsaid if left > 1]
        self._wake()

    def note(self) -> None:
        """Hand what changed to the state; durable at its next flush."""
        unsaid = {(epoch, n) for _, epoch, n in self._unsaid}
        changed, self.cursor.changed = self.cursor.changed, {epoch for epoch, _ in unsaid}
        for epoch in changed:
            ranges = self.cursor.settled.get(epoch, RangeSet()).copy()
            for of, n in unsaid:
                if of == epoch:
                    # Its gap is not durable yet. After a power cut now it is sent, and refused, again.
                    ranges.discard(n, n)
            self._state.settle(self.uplink, epoch, ranges)

    def status(self) -> OutboxStatus:
        """This uplink's backlog."""
        depth = self.cursor.depth(self._old)
        oldest = self.cursor.oldest()
        oldest_s = None
        if oldest is not None and not self.cursor.of_earlier_start(*oldest):
            oldest_s = (self._env.clock.boottime_us() - oldest[0].last_us[oldest[1]]) / 1e6
        return OutboxStatus(
            self.uplink, depth[Turn.ALARM], depth[Turn.LIVE], depth[Turn.HISTORY],
            len(self._flights), oldest_s,
            self._settled, self._refused, self._corrupt,
        )  # fmt: skip
