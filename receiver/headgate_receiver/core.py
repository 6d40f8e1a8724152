"""The receiver's judgement: what each message is, what becomes of it, what is answered.

It does no I/O but through the sink's lookups and the platform's keys. Messages go in; a `Batch` and
`Answer`s come out. Whoever runs it commits the batch first and sends the answers afterwards, or, when
the commit fails, calls `forget` and sends nothing. Source: uplink.md, sections 2, 4, 9 and 10.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.envelope.grant import verify_grant
from headgate.envelope.payload import Payload, Unknown, decode_payload, decode_table
from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import MAX_RANGES, MAX_VERDICTS, Receipt, Verdict, VerdictCode
from headgate.envelope.record import Header, open_record, parse_header
from headgate.errors import EnvelopeError, SealBroken, SecurityError
from headgate.model import Block, Item
from headgate_receiver.forks import Forks, links, text
from headgate_receiver.keys import PlatformKeys
from headgate_receiver.looks import TableReader
from headgate_receiver.store import (
    Batch,
    Before,
    Held,
    Look,
    NewTable,
    OpenRecord,
    Refusal,
    Sink,
    StoredGrant,
)

log = logging.getLogger(__name__)

#: What waits for grants and tables is a convenience (the gateway keeps it too), so it is bounded.
MAX_HELD: Final = 64 * 1024 * 1024
#: More keys than this under one (epoch, key id) are somebody playing; the rest is not tried.
MAX_CANDIDATES: Final = 4
_REMEMBERED: Final = 20_000


class Answer(msgspec.Struct):
    """What a gateway is to be told of one epoch."""

    gateway: str
    epoch: bytes
    settled: set[int] = msgspec.field(default_factory=set)
    verdicts: dict[int, Verdict] = msgspec.field(default_factory=dict)


class _Wants(Exception):
    """A record needs a table that is not here."""

    def __init__(self, table: bytes) -> None:
        super().__init__(table.hex())
        self.table = table


class Core:
    """One platform's receiver, but for its sockets. Not for two tasks at once."""

    def __init__(
        self,
        provider: CryptoProvider,
        sink: Sink,
        keys: PlatformKeys,
        anchors: Sequence[Certificate],
        now: Callable[[], datetime],
        *,
        revoked: Collection[bytes] = (),
        max_held: int = MAX_HELD,
    ) -> None:
        self._provider = provider
        self._sink = sink
        self._keys = keys
        self._anchors = anchors
        self._now = now
        #: SM3 of gateway certificates that are believed no more; may be replaced between turns.
        self.revoked = revoked
        self._max_held = max_held
        self.forget()

    def forget(self) -> None:
        """Drop all that is not committed, and read again what is."""
        self._sink.changed()
        self._batch = Batch(self._now_us())
        self._forks = Forks(self._sink)
        #: Epochs whose link was told in this turn by a record of another one.
        self.told: list[tuple[str, bytes]] = []
        self._answers: dict[tuple[str, bytes], Answer] = {}
        self._grants: OrderedDict[tuple[bytes, bytes], list[StoredGrant]] = OrderedDict()
        self._tables: OrderedDict[bytes, TableReader] = OrderedDict()
        self._stored: OrderedDict[tuple[str, bytes], RangeSet] = OrderedDict()
        self._held = {each.digest: each for each in self._sink.held()}
        self._held_size = sum(len(each.data) for each in self._held.values())

    def _now_us(self) -> int:
        return int(self._now().timestamp() * 1_000_000)

    # ------------------------------------------------------------ a turn

    def begin(self) -> bool:
        """Start a turn. True: the store was wiped, restored or written to by others since the last."""
        changed = self._sink.changed()
        if changed:
            log.warning("the store changed outside the receiver: starting from what it holds now")
            self.forget()
        # Only here, where all that is remembered is committed too.
        for memory in (self._grants, self._tables, self._stored):
            while len(memory) > _REMEMBERED:
                memory.popitem(last=False)
        self._forks.begin()
        self.told = []
        self._batch = Batch(self._now_us())
        self._answers = {}
        return changed

    def end(self) -> tuple[Batch, Sequence[Answer]]:
        """What to commit, and what to answer once it is committed."""
        return self._batch, tuple(self._answers.values())

    def receipts(self, answer: Answer, serial: int) -> list[Receipt]:
        """The receipts of one answer, after its commit: what is settled, with all its neighbours."""
        stored = self._stored_of(answer.gateway, answer.epoch)
        floor = stored.floor
        around = {stored.around(n) for n in answer.settled if n >= floor}
        ranges = sorted(each for each in around if each is not None)
        verdicts = [answer.verdicts[n] for n in sorted(answer.verdicts)]
        receipts: list[Receipt] = []
        while True:
            receipts.append(
                Receipt(
                    answer.gateway,
                    answer.epoch,
                    serial + len(receipts),
                    floor,
                    tuple(ranges[:MAX_RANGES]),
                    tuple(verdicts[:MAX_VERDICTS]),
                )
            )
            ranges, verdicts = ranges[MAX_RANGES:], verdicts[MAX_VERDICTS:]
            if not ranges and not verdicts:
                return receipts

    def stored(self, gateway: str, epoch: bytes) -> RangeSet:
        """Which n of an epoch need not come any more; ask between turns.

        A record that was refused for good is settled, too: asked for again it would be refused, and its
        gap said, once more.
        """
        stored = self._stored_of(gateway, epoch)
        refused = self._sink.refused(gateway, epoch)
        if refused:
            stored = stored.copy()
            for n in refused:
                stored.add(n)
        return stored

    def before(self, gateway: str, epoch: bytes) -> Before | None:
        """What the epoch link of this epoch says; ask between turns."""
        return self._sink.before(gateway, epoch)

    # ------------------------------------------------------------ grants

    async def grant(self, message: bytes, sender: str) -> None:
        """Take a grant: check it, keep it, and open what waited for it."""
        try:
            grant = await verify_grant(
                self._provider,
                message,
                anchors=self._anchors,
                recipients=self._keys.recipients,
                unwrap=self._keys.unwrap,
                at=self._now(),
                revoked=self.revoked,
            )
        except SecurityError as error:
            self._refuse(Refusal("grant", sender, error.code, str(error)))
            return
        known = self._grants_of(grant.epoch, grant.key.key_id)
        same = [each for each in known if each.gateway == grant.gateway]
        if same:
            if same[0].core != grant.core:
                self._refuse(
                    Refusal(
                        "grant",
                        sender,
                        "HG-7020",
                        "another core under a key id that is taken",
                        grant.gateway,
                        grant.epoch,
                    )
                )
            return
        stored = StoredGrant(grant.gateway, grant.epoch, grant.key, grant.core, grant.certificate)
        known.append(stored)
        self._batch.grants.append(stored)
        log.info("grant", extra={"gateway": grant.gateway, "key": grant.key.key_id.hex()})
        self._release(grant.epoch + grant.key.key_id)

    def _grants_of(self, epoch: bytes, key_id: bytes) -> list[StoredGrant]:
        key = (epoch, key_id)
        found = self._grants.get(key)
        if found is None:
            found = self._grants[key] = list(self._sink.grants(epoch, key_id))
        return found

    # ------------------------------------------------------------ records

    def record(self, data: bytes, sender: str) -> None:
        """Take a record: store it, hold it, drop it as known, or refuse it."""
        try:
            header = parse_header(data)
        except SecurityError as error:
            self._refuse(Refusal("record", sender, error.code, str(error)))
            return
        candidates = self._grants_of(header.epoch, header.key_id)[:MAX_CANDIDATES]
        if not candidates:
            self._hold(data, sender, header.epoch + header.key_id)
            verdict = Verdict(header.n, VerdictCode.NEED_GRANT, header.key_id)
            self._answer(sender, header.epoch).verdicts[header.n] = verdict
            return
        candidates = [each for each in candidates if each.certificate not in self.revoked]
        if not candidates:
            # No answer: it may have been sealed in good time, and the gateway keeps it.
            self._refuse(
                Refusal("record", sender, "HG-7022", "the certificate behind its key is revoked")
            )
            return
        failure: SecurityError = SealBroken("no key opens it")
        for grant in candidates:
            try:
                payload = self._open(grant, header, data, alone=len(candidates) == 1)
            except SealBroken as error:
                failure = error
            except EnvelopeError as error:
                # The tag was right: this is the gateway's own word, and it will not get better.
                self._refuse_for_good(grant.gateway, header, sender, error)
                return
            else:
                if payload is not None:
                    self._take(grant.gateway, header, payload, data, sender)
                return
        # Nothing proves that the gateway sent this: it must not cost the gateway its record.
        self._refuse(Refusal("record", sender, failure.code, str(failure)))
        answer = self._answer(candidates[0].gateway, header.epoch)
        answer.verdicts.setdefault(
            header.n, Verdict(header.n, VerdictCode.NOT_OPENED, "the seal is broken")
        )

    def _open(
        self, grant: StoredGrant, header: Header, data: bytes, *, alone: bool
    ) -> Payload | None:
        """The payload; None when the record is settled already and was answered so."""
        settled = header.n in self._stored_of(grant.gateway, header.epoch)
        # A known n needs no opening, unless a second gateway claims the same key id.
        opened = b"" if settled and alone else open_record(self._provider, grant.key, data)
        answer = self._answer(grant.gateway, header.epoch)
        if settled:
            answer.settled.add(header.n)
            return None
        refused = self._sink.refusal(grant.gateway, header.epoch, header.n)
        if refused is not None:
            answer.verdicts[header.n] = Verdict(header.n, VerdictCode.REFUSED, refused[:120])
            return None
        return decode_payload(opened)

    def _take(
        self, gateway: str, header: Header, payload: Payload, data: bytes, sender: str
    ) -> None:
        try:
            self._learn_tables(payload)
            looks, items, unknown = self._read(payload)
        except _Wants as wants:
            self._hold(data, sender, wants.table)
            verdict = Verdict(header.n, VerdictCode.NEED_TABLE, wants.table)
            self._answer(gateway, header.epoch).verdicts[header.n] = verdict
            return
        except EnvelopeError as error:
            self._refuse_for_good(gateway, header, sender, error)
            return
        record = OpenRecord(
            gateway,
            header.epoch,
            header.n,
            payload.boot,
            self._batch.received_us,
            looks,
            items,
            unknown,
        )
        self._batch.records.append(record)
        self._look_for_forks(record)
        self._stored_of(gateway, header.epoch).add(header.n)
        answer = self._answer(gateway, header.epoch)
        answer.settled.add(header.n)
        answer.verdicts.pop(header.n, None)

    def _read(self, payload: Payload) -> tuple[list[Look], list[Item], list[Unknown]]:
        looks: list[Look] = []
        items: list[Item] = []
        unknown: list[Unknown] = []
        readers: dict[int, TableReader] = {}
        for item in payload.items:
            if type(item) is Block:
                index = item.table
                assert type(index) is int
                reader = readers.get(index)
                if reader is None:
                    reader = readers[index] = self._table(payload.tables[index])
                looks.append(reader.read(item))
            elif isinstance(item, Unknown):
                unknown.append(item)
            else:
                items.append(item)
        return looks, items, unknown

    def _look_for_forks(self, record: OpenRecord) -> None:
        gateway = record.gateway
        found = []
        for link in links(record.epoch, record.n, record.items):
            before = link.previous
            stored = None if before is None else self._stored_of(gateway, before)
            found += self._forks.linked(gateway, link, stored)
            if link.epoch != record.epoch:
                self.told.append((gateway, link.epoch))
        beyond = self._forks.came(gateway, record.epoch, record.n)
        if beyond is not None:
            found.append(beyond)
        for fork in found:
            log.error(
                "%s: %s", fork.code, text(fork), extra={"gateway": gateway, "code": "HG-7023"}
            )
        self._batch.forks += found

    # ------------------------------------------------------------ tables

    def _learn_tables(self, payload: Payload) -> None:
        """Keep every table announced, also when the record itself must wait for another."""
        for body in payload.announced:
            digest = self._provider.sm3(body)
            if digest in self._tables or self._sink.table(digest) is not None:
                continue
            table = decode_table(body)
            self._tables[digest] = TableReader(digest, table)
            self._batch.tables.append(NewTable(digest, body, table))
            self._release(digest)

    def _table(self, digest: bytes) -> TableReader:
        reader = self._tables.get(digest)
        if reader is None:
            body = self._sink.table(digest)
            if body is None:
                raise _Wants(digest)
            reader = self._tables[digest] = TableReader(digest, decode_table(body))
        return reader

    # ------------------------------------------------------------ what waits

    def _hold(self, data: bytes, sender: str, waits_for: bytes) -> None:
        digest = self._provider.sm3(data)
        if digest in self._held or self._held_size + len(data) > self._max_held:
            return
        held = Held(digest, sender, waits_for, data)
        self._held[digest] = held
        self._held_size += len(data)
        self._batch.held.append(held)

    def _release(self, key: bytes) -> None:
        """Judge again what waited for this grant or table."""
        waiting = [each for each in self._held.values() if each.waits_for == key]
        for held in waiting:
            del self._held[held.digest]
            self._held_size -= len(held.data)
            if held in self._batch.held:
                self._batch.held.remove(held)
            else:
                self._batch.released.append(held.digest)
        for held in waiting:
            self.record(held.data, held.sender)

    # ------------------------------------------------------------ words

    def _answer(self, gateway: str, epoch: bytes) -> Answer:
        answer = self._answers.get((gateway, epoch))
        if answer is None:
            answer = self._answers[gateway, epoch] = Answer(gateway, epoch)
        return answer

    def _stored_of(self, gateway: str, epoch: bytes) -> RangeSet:
        key = (gateway, epoch)
        found = self._stored.get(key)
        if found is None:
            found = self._stored[key] = self._sink.stored(gateway, epoch)
        return found

    def _refuse(self, refusal: Refusal) -> None:
        log.warning(
            "%s refused: %s",
            refusal.kind,
            refusal.reason,
            extra={"sender": refusal.sender, "code": refusal.code},
        )
        self._batch.refusals.append(refusal)

    def _refuse_for_good(
        self, gateway: str, header: Header, sender: str, error: SecurityError
    ) -> None:
        reason = str(error)
        self._refuse(Refusal("record", sender, "HG-7021", reason, gateway, header.epoch, header.n))
        verdict = Verdict(header.n, VerdictCode.REFUSED, reason[:120])
        self._answer(gateway, header.epoch).verdicts[header.n] = verdict
