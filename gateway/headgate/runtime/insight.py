"""Looking into our own records, for uplinks that convert: keys by the local wrap, tables, wall times."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.crypto.provider import CryptoProvider
from headgate.envelope.payload import Unknown, decode_payload, decode_table
from headgate.envelope.record import open_record
from headgate.model import ClockFix, Item, PointTable
from headgate.runtime.keyring import Keyring
from headgate.runtime.timekeeper import Timekeeper
from headgate.sdk import StoredRecord
from headgate.spool import State

#: Tables and clock fixes kept decoded.
_MOST = 4096


class Insight:
    """Opens what this box stored. One for all uplinks."""

    def __init__(
        self, provider: CryptoProvider, keyring: Keyring, state: State, timekeeper: Timekeeper
    ) -> None:
        self._provider = provider
        self._keyring = keyring
        self._state = state
        self._timekeeper = timekeeper
        self._tables: dict[bytes, PointTable] = {}
        self._fixes: dict[bytes, ClockFix] = {}
        # One epoch is one start of the process, and so lies in one boot.
        self._boots: dict[bytes, bytes] = {}

    def open(self, record: StoredRecord) -> Sequence[Item]:
        """The items of a record; blocks name their table by SM3.

        Raises:
            SecurityError: this box keeps no local wrap of that key, or the record is not what it was.
        """
        payload = decode_payload(
            open_record(self._provider, self._keyring.key(record.key_id), record.data)
        )
        self._boots[record.epoch] = payload.boot
        while len(self._boots) > _MOST:
            del self._boots[next(iter(self._boots))]
        items: list[Item] = [item for item in payload.named() if not isinstance(item, Unknown)]
        for data in payload.announced:
            self._keep(self._provider.sm3(data), decode_table(data))
        for item in items:
            # A fix of an earlier boot rides in that boot's own records.
            if isinstance(item, ClockFix):
                known = self._fixes.get(item.boot)
                if known is None or item.state == "synced" or known.state != "synced":
                    self._fixes[item.boot] = item
        while len(self._fixes) > _MOST:
            del self._fixes[next(iter(self._fixes))]
        return items

    def boot(self, epoch: bytes) -> bytes | None:
        """The boot of an epoch, once one of its records was opened."""
        return self._boots.get(epoch)

    def table(self, digest: bytes) -> PointTable | None:
        """The announced table of this SM3."""
        known = self._tables.get(digest)
        if known is None and (data := self._state.table(digest)) is not None:
            known = decode_table(data)
            self._keep(digest, known)
        return known

    def _keep(self, digest: bytes, table: PointTable) -> None:
        if len(self._tables) >= _MOST:
            del self._tables[next(iter(self._tables))]
        self._tables[digest] = table

    def wall_us(self, at_us: int, boot: bytes | None = None) -> int | None:
        """Wall time of a boottime; None while no trusted fix of that boot is known."""
        keeper = self._timekeeper
        if boot is None or boot == keeper.fix.boot:
            return keeper.trusted_us(at_us)
        older = self._fixes.get(boot)
        if older is None or older.state == "unsynced":
            return None
        return older.wall_us + at_us - older.at_us
