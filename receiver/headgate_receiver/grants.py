"""Grants: checked at once, opened wherever the platform's keys lie, kept with the readings.

A key in an HSM answers when it answers, so taking a grant has two halves: `check` needs no private key and
says what to unwrap; `opened` takes the secret, in a later turn if need be.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.envelope.grant import CheckedGrant, addressed, check_grant, open_grant, parse_core
from headgate.errors import CertificateRefused, SecurityError
from headgate_receiver.keys import PlatformKeys
from headgate_receiver.revoked import Revoked
from headgate_receiver.store import Batch, Refusal, Sink, StoredGrant

log = logging.getLogger(__name__)

_REMEMBERED: Final = 20_000


class Wrapped(msgspec.Struct, frozen=True):
    """A grant that holds, and what is to be unwrapped by the key of which certificate (SM3)."""

    checked: CheckedGrant
    certificate: bytes
    ciphertext: bytes
    sender: str

    @property
    def name(self) -> tuple[str, bytes, bytes]:
        """Whose key it is: gateway, epoch, key id."""
        core = self.checked.core
        return core.gateway, core.epoch, core.key_id


class Grants:
    """Every grant that is stored or will be with this turn.

    `batch` is set at the beginning of each turn.
    """

    def __init__(
        self,
        provider: CryptoProvider,
        sink: Sink,
        keys: PlatformKeys,
        anchors: Sequence[Certificate],
        now: Callable[[], datetime],
        batch: Batch,
    ) -> None:
        self._provider = provider
        self._sink = sink
        self._keys = keys
        self._anchors = anchors
        self._now = now
        self.batch = batch
        self._known: OrderedDict[tuple[bytes, bytes], list[StoredGrant]] = OrderedDict()

    def begin(self, batch: Batch) -> None:
        """A new turn: everything known is committed."""
        self.batch = batch
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """What is known may not be committed: look it up again."""
        self._known.clear()

    def of(self, epoch: bytes, key_id: bytes) -> list[StoredGrant]:
        """The grants of a key id: one, unless somebody imitates it."""
        key = (epoch, key_id)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = [self._bound(g) for g in self._sink.grants(epoch, key_id)]
        return found

    def _bound(self, grant: StoredGrant) -> StoredGrant:
        """What the core demands of records is not stored apart from it."""
        if not parse_core(grant.core).signed:
            return grant
        key = msgspec.structs.replace(grant.key, core=self._provider.sm3(grant.core))
        return msgspec.structs.replace(grant, key=key)

    def check(self, message: bytes, sender: str, revoked: Revoked) -> Wrapped | None:
        """What of a grant is to be unwrapped; None when it is known already, or refused."""
        try:
            checked = check_grant(self._provider, message, self._anchors, self._now())
            self._not_revoked(checked, revoked)
            own = addressed(checked, self._keys.recipients)
        except SecurityError as error:
            self.refuse(sender, error)
            return None
        core = checked.core
        known = self._of_gateway(core.gateway, core.epoch, core.key_id)
        # A renewed gateway vouches for what it sealed under a certificate that was revoked since.
        vouched = (
            known is not None
            and known.core == core.raw
            and revoked.covers(known.certificate, known.der)
        )
        if known is None or vouched:
            return Wrapped(checked, own, checked.recipients[own], sender)
        if known.core != core.raw:
            self._refuse_other_core(known, sender)
        return None

    def _not_revoked(self, checked: CheckedGrant, revoked: Revoked) -> None:
        """Neither who signs the grant nor who signed the records. Raises CertificateRefused."""
        for der in {checked.leaf, checked.der}:
            if revoked.covers(self._provider.sm3(der), der):
                whose = checked.core.gateway
                raise CertificateRefused(f"a certificate of {whose!r} is revoked")

    def opened(self, wrapped: Wrapped, secret: bytes) -> StoredGrant | None:
        """Keep a grant whose secret was unwrapped; None when that is none, or it is known already."""
        try:
            grant = open_grant(self._provider, wrapped.checked, secret)
        except SecurityError as error:
            self.refuse(wrapped.sender, error)
            return None
        known = self._of_gateway(grant.gateway, grant.epoch, grant.key.key_id)
        if known is not None and known.core != grant.core:
            self._refuse_other_core(known, wrapped.sender)
            return None
        if known is not None and known.certificate == grant.certificate:
            return None
        stored = StoredGrant(
            grant.gateway, grant.epoch, grant.key, grant.core, grant.certificate, grant.signer,
            grant.der,
        )  # fmt: skip
        grants = self.of(grant.epoch, grant.key.key_id)
        if known is not None:
            grants.remove(known)
        grants.append(stored)
        self.batch.grants.append(stored)
        log.info("grant", extra={"gateway": grant.gateway, "key": grant.key.key_id.hex()})
        if wrapped.certificate in self._keys.retired:
            # It opens, so nothing is lost; but whoever gets hold of the retired key reads new data.
            log.warning(
                "sealed for a certificate that is retired",
                extra={
                    "code": "HG-7027",
                    "gateway": grant.gateway,
                    "certificate": wrapped.certificate.hex(),
                },
            )
        return stored

    def refuse(self, sender: str, error: SecurityError) -> None:
        """Say and store that a grant was not taken."""
        self._refuse(Refusal("grant", sender, error.code, str(error)))

    def _of_gateway(self, gateway: str, epoch: bytes, key_id: bytes) -> StoredGrant | None:
        return next((each for each in self.of(epoch, key_id) if each.gateway == gateway), None)

    def _refuse_other_core(self, known: StoredGrant, sender: str) -> None:
        reason = "another core under a key id that is taken"
        self._refuse(Refusal("grant", sender, "HG-7020", reason, known.gateway, known.epoch))

    def _refuse(self, refusal: Refusal) -> None:
        log.warning(
            "grant refused: %s",
            refusal.reason,
            extra={"sender": refusal.sender, "code": refusal.code},
        )
        self.batch.refusals.append(refusal)
