"""A gateway in a few lines, for tests of whoever receives from it: it seals, grants, keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence

from kit.pki import Party, Pki

from headgate.envelope.chain import Chain
from headgate.envelope.grant import GrantCore, derive, make_core, sign_grant
from headgate.envelope.payload import PayloadBuilder, encode_table
from headgate.envelope.record import Sealer
from headgate.model import Block, EpochLink, Item, Linear, Point, PointTable

BOOT = b"boot-of-a-machin"


class Gauge:
    """One device with two points, its table and its blocks."""

    def __init__(self, pki: Pki, number: int = 1, unit: str = "m") -> None:
        self.number = number
        self.table = PointTable(
            number,
            f"gauge-{number}",
            (Point("level", "u16", unit, Linear(1.0, 1000.0, 3.5)), Point("battery", "u16", "V")),
            interval_us=1_000_000,
        )
        self.body = encode_table(self.table)
        self.name = pki.provider.sm3(self.body)

    def block(self, at_us: int, level: int = 1000, slot: int | None = None) -> Block:
        raw = level.to_bytes(2, "big") + (12).to_bytes(2, "big")
        return Block(self.number, self.name, at_us, slot, (raw,))


class Gateway:
    """Numbers, seals and grants as a gateway does; what becomes of the bytes is the test's affair."""

    def __init__(
        self,
        pki: Pki,
        *,
        epoch: bytes = b"epoch--1",
        key_id: bytes = b"key-id-1",
        salt: bytes = b"salt",
        identity: Party | None = None,
        boot: bytes = BOOT,
        signs: bool = False,
    ) -> None:
        self.signs = signs
        self.pki = pki
        self.identity = identity or pki.gateway
        self.id = self.identity.certificate.subject_cn or ""
        self.epoch = epoch
        self.boot = boot
        self.n = 0
        self._sealer = Sealer(pki.provider)
        self.chain = Chain(pki.provider)
        self.chain.signed_by(self.identity.key)
        self.new_key(key_id, salt)

    def new_key(self, key_id: bytes, salt: bytes, secret: bytes = bytes(range(32))) -> None:
        spki = self.identity.certificate.spki
        self.core: GrantCore = make_core(
            self.pki.provider, self.id, spki, self.epoch, key_id, salt, signed=self.signs
        )
        self.secret = secret
        self.key = derive(self.pki.provider, secret, self.core)

    def grant(self, *recipients: Party) -> bytes:
        to = [each.certificate for each in recipients or (self.pki.platform,)]
        chain = [self.identity.certificate]
        return sign_grant(self.pki.provider, self.core, to, self.secret, self.identity.key, chain)

    def payload(self, *items: Item, announce: Sequence[bytes] = ()) -> bytes:
        builder = PayloadBuilder(self.boot)
        for body in announce:
            builder.announce(body)
        for item in items:
            builder.add(item)
        return builder.close()

    def seal(self, payload: bytes) -> bytes:
        if self.signs:
            record = self._sealer.seal_signed(self.key, self.epoch, self.n, payload, self.chain)
        else:
            record = self._sealer.seal(self.key, self.epoch, self.n, payload)
        self.n += 1
        return record

    def record(self, *items: Item, announce: Sequence[bytes] = ()) -> bytes:
        return self.seal(self.payload(*items, announce=announce))

    def link(self, previous: bytes | None = None, last_n: int | None = None) -> bytes:
        """The first record of an epoch."""
        assert self.n == 0
        return self.record(EpochLink(previous, last_n, self.boot, 1))
