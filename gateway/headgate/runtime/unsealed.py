"""A look into stored records without a running gateway, where this box keeps a local wrap."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from headgate.columns import readings
from headgate.config import Site
from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.envelope.grant import derive, parse_core, unwrap_local
from headgate.envelope.payload import Unknown, decode_payload, decode_table
from headgate.envelope.record import RecordKey, open_record
from headgate.errors import EnvelopeError, SecurityError
from headgate.model import Block, ClockFix, Item, PointTable, Reading
from headgate.runtime.identity import stored_kek
from headgate.spool import State
from headgate.spool.browse import Lying


class Unsealed:
    """Opens records one after the other; tables and clock fixes are learnt on the way.

    Args:
        state: opened, if only to be read.
    """

    def __init__(self, env: Env, site: Site, provider: CryptoProvider, state: State) -> None:
        self._provider = provider
        self._state = state
        self._kek = stored_kek(env, site)
        self._tables: dict[bytes, PointTable] = {}
        self._fixes: dict[bytes, ClockFix] = {}
        self._key = functools.lru_cache(maxsize=256)(self._unwrap)

    def _unwrap(self, key_id: bytes) -> RecordKey:
        grant = self._state.grant(key_id)
        if grant is None or grant.wrap is None or self._kek is None:
            raise SecurityError(
                "this box keeps no local wrap of that key", code="HG-6108", key=key_id.hex()
            )
        core = parse_core(grant.core)
        return derive(
            self._provider, unwrap_local(self._provider, self._kek, grant.wrap, core), core
        )

    def open(self, record: Lying) -> tuple[Sequence[Item], bytes] | None:
        """The items of a record and the boot of their times; None where this box cannot open it."""
        if record.data is None:
            return None
        try:
            opened = open_record(self._provider, self._key(record.key_id), record.data)
            payload = decode_payload(opened)
            for data in payload.announced:
                self._tables[self._provider.sm3(data)] = decode_table(data)
        except (SecurityError, EnvelopeError):
            return None
        items = [item for item in payload.named() if not isinstance(item, Unknown)]
        for item in items:
            if isinstance(item, ClockFix) and item.state != "unsynced":
                self._fixes[item.boot] = item
        return items, payload.boot

    def readings(self, items: Sequence[Item]) -> Iterator[Reading]:
        """Every reading of these items whose table is known."""
        for item in items:
            if isinstance(item, Block) and isinstance(item.table, bytes):
                table = self._table(item.table)
                if table is not None and item.columns is not None:
                    yield from readings(item, table)

    def _table(self, digest: bytes) -> PointTable | None:
        known = self._tables.get(digest)
        if known is None and (data := self._state.table(digest)) is not None:
            known = self._tables[digest] = decode_table(data)
        return known

    def wall_us(self, at_us: int, boot: bytes) -> int | None:
        """Wall time of a boottime, by the newest trusted fix of that boot met so far."""
        fix = self._fixes.get(boot)
        return None if fix is None else fix.wall_us + at_us - fix.at_us
