"""The receiver's judgement: what each message is, what becomes of it, what is answered.

It does no I/O but through the sink's lookups and the platform's keys. Messages go in; a `Batch` and
`Answer`s come out. Whoever runs it commits the batch first and sends the answers afterwards, or, when
the commit fails, calls `forget` and sends nothing. Source: uplink.md, sections 2, 4, 9 and 10.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.envelope.payload import Payload, decode_payload
from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import MAX_RANGES, MAX_VERDICTS, Receipt, Verdict, VerdictCode
from headgate.envelope.record import Header, Opened, open_proven, parse_header
from headgate.errors import EnvelopeError, SealBroken, SecurityError, SignatureInvalid
from headgate_receiver.forks import Forks, links, text
from headgate_receiver.grants import Grants, Wrapped
from headgate_receiver.keys import KeysUnavailable, PlatformKeys
from headgate_receiver.links import Links
from headgate_receiver.revoked import Revoked
from headgate_receiver.store import (
    Batch,
    Before,
    Fork,
    OpenRecord,
    Refusal,
    SignedRecord,
    Sink,
    StoredGrant,
)
from headgate_receiver.tables import Tables, Wants
from headgate_receiver.waiting import MAX_HELD, Waiting

log = logging.getLogger(__name__)

#: More keys than this under one (epoch, key id) are somebody playing; the rest is not tried.
MAX_CANDIDATES: Final = 4
_REMEMBERED: Final = 20_000


class Answer(msgspec.Struct):
    """What a gateway is to be told of one epoch."""

    gateway: str
    epoch: bytes
    settled: set[int] = msgspec.field(default_factory=set)
    verdicts: dict[int, Verdict] = msgspec.field(default_factory=dict)


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
        revoked: Collection[bytes] | Revoked = (),
        max_held: int = MAX_HELD,
    ) -> None:
        self._provider = provider
        self._sink = sink
        self._keys = keys
        self._anchors = anchors
        self._now = now
        self._public = functools.lru_cache(maxsize=4096)(provider.sm2_load_public)
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
        self._grants = Grants(
            self._provider, self._sink, self._keys, self._anchors, self._now, self._batch
        )
        self._tables = Tables(self._provider, self._sink, self._batch)
        self._links = Links(self._sink)
        self._stored: OrderedDict[tuple[str, bytes], RangeSet] = OrderedDict()
        self._waiting = Waiting(self._provider, self._sink, self._batch, self._max_held)

    @property
    def revoked(self) -> Revoked:
        """Gateway certificates that are believed no more; may be replaced between turns."""
        return self._revoked

    @revoked.setter
    def revoked(self, revoked: Collection[bytes] | Revoked) -> None:
        self._revoked = revoked if isinstance(revoked, Revoked) else Revoked(revoked)
        self._is_revoked = functools.lru_cache(maxsize=4096)(self._revoked.covers)

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
        while len(self._stored) > _REMEMBERED:
            self._stored.popitem(last=False)
        self.told = []
        self._batch = Batch(self._now_us())
        self._waiting.batch = self._batch
        self._forks.begin()
        self._links.begin()
        self._grants.begin(self._batch)
        self._tables.begin(self._batch)
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
        """Take a grant: check it, keep it, and open what waited for it. Waits for the platform's keys."""
        wrapped = self.check_grant(message, sender)
        if wrapped is None:
            return
        try:
            secret = await self._keys.unwrap(wrapped.certificate, wrapped.ciphertext)
        except SecurityError as error:
            self._grants.refuse(sender, error)
        except KeysUnavailable as error:
            log.error("%s", error, extra={"code": error.code})
        else:
            self.granted(wrapped, secret)

    def check_grant(self, message: bytes, sender: str) -> Wrapped | None:
        """The first half of `grant`, for who does not wait: what is to be unwrapped, if anything."""
        return self._grants.check(message, sender, self.revoked)

    def granted(self, wrapped: Wrapped, secret: bytes) -> None:
        """The second half of `grant`: its secret has come, in this turn or an earlier one."""
        stored = self._grants.opened(wrapped, secret)
        if stored is not None:
            self._release(stored.epoch + stored.key.key_id)

    def not_granted(self, wrapped: Wrapped, error: SecurityError) -> None:
        """Or: it does not open."""
        self._grants.refuse(wrapped.sender, error)

    # ------------------------------------------------------------ records

    def record(self, data: bytes, sender: str) -> None:
        """Take a record: store it, hold it, drop it as known, or refuse it."""
        try:
            header = parse_header(data)
        except SecurityError as error:
            self._refuse(Refusal("record", sender, error.code, str(error)))
            return
        candidates = self._grants.of(header.epoch, header.key_id)[:MAX_CANDIDATES]
        if not candidates:
            self._waiting.hold(data, sender, header.epoch + header.key_id)
            verdict = Verdict(header.n, VerdictCode.NEED_GRANT, header.key_id)
            self._answer(sender, header.epoch).verdicts[header.n] = verdict
            return
        candidates = [g for g in candidates if not self._is_revoked(g.certificate, g.der)]
        if not candidates:
            # No answer: it may have been sealed in good time, and the gateway keeps it.
            self._refuse(
                Refusal("record", sender, "HG-7022", "the certificate behind its key is revoked")
            )
            return
        failure: SecurityError = SealBroken("no key opens it")
        for grant in candidates:
            try:
                opened = self._open(grant, header, data, alone=len(candidates) == 1)
                payload = None if opened is None else decode_payload(opened.payload)
            except (SealBroken, SignatureInvalid) as error:
                failure = error
            except EnvelopeError as error:
                # The tag was right: this is the gateway's own word, and it will not get better.
                self._refuse_for_good(grant.gateway, header, sender, error)
                return
            else:
                if opened is not None and payload is not None:
                    self._take(grant, header, opened, payload, data, sender)
                return
        self._not_proved(candidates[0].gateway, header, sender, failure)

    def _not_proved(
        self, gateway: str, header: Header, sender: str, failure: SecurityError
    ) -> None:
        """Nothing proves that the gateway sent this: it must not cost the gateway its record."""
        code, said = failure.code, "the seal is broken"
        if isinstance(failure, SignatureInvalid):
            code, said = "HG-7025", "the origin is not proved"
        self._refuse(Refusal("record", sender, code, str(failure)))
        verdict = Verdict(header.n, VerdictCode.NOT_OPENED, said)
        self._answer(gateway, header.epoch).verdicts.setdefault(header.n, verdict)

    def _open(
        self, grant: StoredGrant, header: Header, data: bytes, *, alone: bool
    ) -> Opened | None:
        """The record; None when it is settled already and was answered so."""
        settled = header.n in self._stored_of(grant.gateway, header.epoch)
        opened = None
        if not (settled and alone):
            # A known n needs no opening, unless a second gateway claims the same key id.
            signer = self._public(grant.signer) if grant.key.core is not None else None
            opened = open_proven(self._provider, grant.key, data, signer)
        answer = self._answer(grant.gateway, header.epoch)
        if settled:
            answer.settled.add(header.n)
            return None
        refused = self._sink.refusal(grant.gateway, header.epoch, header.n)
        if refused is not None:
            answer.verdicts[header.n] = Verdict(header.n, VerdictCode.REFUSED, refused[:120])
            return None
        return opened

    def _take(
        self,
        grant: StoredGrant,
        header: Header,
        opened: Opened,
        payload: Payload,
        data: bytes,
        sender: str,
    ) -> None:
        gateway = grant.gateway
        try:
            for learnt in self._tables.learn(payload):
                self._release(learnt)
            looks, items, unknown = self._tables.read(payload)
        except Wants as wants:
            self._waiting.hold(data, sender, wants.table)
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
            _signed(opened),
        )
        self._batch.records.append(record)
        self._look_for_forks(record)
        self._stored_of(gateway, header.epoch).add(header.n)
        answer = self._answer(gateway, header.epoch)
        answer.settled.add(header.n)
        answer.verdicts.pop(header.n, None)

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
        if not self._links.fit(record):
            found.append(Fork(gateway, record.epoch, (), "chain-fork", record.n))
        for fork in found:
            code = "HG-7026" if fork.code == "chain-fork" else "HG-7023"
            log.error("%s: %s", fork.code, text(fork), extra={"gateway": gateway, "code": code})
        self._batch.forks += found

    def _release(self, key: bytes) -> None:
        """Judge again what waited for this grant or table."""
        for held in self._waiting.release(key):
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


def _signed(opened: Opened) -> SignedRecord | None:
    if opened.proof is None or opened.link is None:
        return None
    sealed, proof = opened.sealed, opened.proof
    return SignedRecord(
        opened.link, proof.previous, proof.signature, sealed.header, sealed.lengths, sealed.frame
    )
