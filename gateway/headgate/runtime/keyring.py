"""Record keys and their grants: a new key at start, after 2^20 records or a day, and when one is asked for.

Used in the writer's thread to seal, and on the loop to open what this box stored, where it keeps a local
wrap. Secrets of the current epoch live in memory; older ones only behind the wrap.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.env import Env
from headgate.envelope.chain import Chain
from headgate.envelope.grant import (
    SECRET_SIZE,
    GrantCore,
    derive,
    granted_to,
    make_core,
    parse_core,
    sign_again,
    sign_grant,
    unwrap_local,
    wrap_local,
)
from headgate.envelope.record import RecordKey
from headgate.errors import SecurityError, SpoolError
from headgate.runtime.identity import Identity, save_made
from headgate.spool import State
from headgate.spool.remembered import Grant

RECORDS_PER_KEY: Final = 1 << 20
KEY_AGE_US: Final = 24 * 3600 * 1_000_000
#: Asks to retire a key are remembered for the keys that could be current when they come.
_RETIRED: Final = 256


class Keyring:
    """The current key, and the way back to older ones.

    `chain` signs the records of a key whose `core` is not None; the grant of the current key names the
    signer.
    """

    def __init__(
        self, env: Env, provider: CryptoProvider, identity: Identity, state: State, epoch: bytes
    ) -> None:
        self._env = env
        self._provider = provider
        self._identity = identity
        self._state = state
        self._epoch = epoch
        self._current: RecordKey | None = None
        # Made, but its grant is not on disk yet. A full disk must not make a new key with every try.
        self._coming: RecordKey | None = None
        self._retired: OrderedDict[bytes, None] = OrderedDict()
        self._unwritten = bool(identity.unsaved)
        self._sealed = 0
        self._since_us = 0
        self._open = functools.lru_cache(maxsize=64)(self._unwrap)
        self.chain = Chain(provider)

    # ------------------------------------------------------------ sealing, in the writer's thread

    def current(self, *, unwritten: bool = False) -> RecordKey:
        """The key to seal the next record with, its grant durable. Counts the record.

        Args:
            unwritten: while the disk refuses, a key will do whose grant is not on it yet: for records
                that are not to be there either before `written`.

        Raises:
            SpoolError: the grant of a new key cannot be written.
        """
        now = self._env.clock.boottime_us()
        key = self._current
        if (
            key is None
            or self._sealed >= RECORDS_PER_KEY
            or now - self._since_us >= KEY_AGE_US
            or key.key_id in self._retired
        ):
            key = self._change(now, unwritten=unwritten)
        self._sealed += 1
        return key

    def _change(self, now: int, *, unwritten: bool) -> RecordKey:
        if self._coming is None:
            self._coming = self._new()
        # On disk before the first record of its key can be: without it nobody could open the record.
        if not self._state.flush():
            if not unwritten:
                raise SpoolError("the grant of a new key could not be written")
            self._unwritten = True
        self._current = key = self._coming
        self._coming = None
        self._sealed = 0
        self._since_us = now
        self.chain.signed_by(self._identity.signing_key)
        return key

    def renew(self, *, unwritten: bool = False) -> bytes:
        """Change to a new key now, whatever the old one has sealed; the new key's id.

        Raises:
            SpoolError: its grant cannot be written. The old key is retired all the same: the next
                record waits for a new one.
        """
        if self._current is not None:
            self.retire((self._current.key_id,))
        return self._change(self._env.clock.boottime_us(), unwritten=unwritten).key_id

    def obey(self) -> bytes | None:
        """Change to a new key now if the current one was retired; its id, or None where none was needed.

        Raises:
            SpoolError: its grant cannot be written; the next record waits for it.
        """
        if self._current is None or self._current.key_id not in self._retired:
            return None
        return self._change(self._env.clock.boottime_us(), unwritten=False).key_id

    def written(self) -> bool:
        """Whether every grant is on disk, so that records of its key may be. Tries once more."""
        if self._unwritten:
            saved = save_made(self._env, self._identity)
            self._unwritten = not (saved and self._state.flush())
        return not self._unwritten

    def adopt(self, identity: Identity) -> int:
        """Be this identity from the next record on; how many older keys were granted anew.

        A change of whom to seal for, of the signing key or of the wish for signatures retires the current
        key. Older keys are granted to the new recipients, as far as a local wrap of them is kept.
        """
        old, self._identity = self._identity, identity
        self._unwritten = self._unwritten or bool(identity.unsaved)
        if _terms(old) != _terms(identity):
            self._coming = None
            if self._current is not None:
                self.retire((self._current.key_id,))
        return self.grant_again()

    def _new(self) -> RecordKey:
        random, identity, provider = self._env.random, self._identity, self._provider
        secret = random.token(SECRET_SIZE)
        core = make_core(
            provider,
            identity.gateway,
            identity.signing_key.public.spki,
            self._epoch,
            random.token(8),
            random.token(4),
            signed=identity.signs_records,
        )
        wrap = message = None
        if identity.kek is not None:
            wrap = wrap_local(provider, identity.kek, secret, core, random.token(12))
        if identity.enrolled or (identity.kek is None and identity.recipients):
            # Where no local wrap is kept, the secret is gone after this: a certificate that no longer
            # counts signs it, and the next one will sign it again.
            message = self._grant(core, secret)
        now = self._env.clock.wall_us()
        self._state.keep_grant(Grant(core.key_id, self._epoch, core.raw, wrap, message, now))
        return derive(provider, secret, core)

    def _grant(self, core: GrantCore, secret: bytes, former: Certificate | None = None) -> bytes:
        identity = self._identity
        return sign_grant(
            self._provider,
            core,
            self._to(core),
            secret,
            identity.signing_key,
            identity.chain,
            former,
        )

    # ------------------------------------------------------------ from any thread

    def retire(self, key_ids: Iterable[bytes]) -> bool:
        """Seal nothing more under these keys; whether one of them is the current one."""
        wanted = set(key_ids)
        for key_id in wanted:
            self._retired[key_id] = None
        while len(self._retired) > _RETIRED:
            self._retired.popitem(last=False)
        return self._current is not None and self._current.key_id in wanted

    def key(self, key_id: bytes) -> RecordKey:
        """The key of a stored record, by the local wrap.

        Raises:
            SecurityError: this box keeps no local wrap of it.
        """
        current = self._current
        if current is not None and current.key_id == key_id:
            return current
        return self._open(key_id)

    def _unwrap(self, key_id: bytes) -> RecordKey:
        grant = self._state.grant(key_id)
        if grant is None or grant.wrap is None or self._identity.kek is None:
            raise SecurityError(
                "this box keeps no local wrap of that key", code="HG-6108", key=key_id.hex()
            )
        core = parse_core(grant.core)
        return derive(
            self._provider, unwrap_local(self._provider, self._identity.kek, grant.wrap, core), core
        )

    def grant_again(self) -> int:
        """Make the grants that are not what they should be; how many were made.

        Those that could not be made before enrolment, those for a certificate that a platform has
        replaced, and those under a certificate of this gateway that was renewed. A key stays the same:
        only its wrapping for the platform is new.
        """
        if not self._identity.enrolled:
            return 0
        made = 0
        for grant in self._state.grants():
            core = parse_core(grant.core)
            if core.gateway != self._identity.gateway:
                continue  # sealed under another id: only this box can open it now
            if grant.message is not None and self._serves(grant.message, core):
                continue
            message = self._granted_anew(grant, core)
            if message is not None:
                self._state.keep_grant(msgspec.structs.replace(grant, message=message))
                made += 1
        return made

    def _granted_anew(self, grant: Grant, core: GrantCore) -> bytes | None:
        """A grant of an older key by who we are today; None where nobody can make it any more."""
        identity = self._identity
        former = None
        if core.signer != self._provider.sm3(identity.signing_key.public.spki):
            former = self._earlier(core.signer)
            if former is None:
                return None  # a key that was never certified: nobody would believe it
        if identity.kek is not None and grant.wrap is not None:
            secret = unwrap_local(self._provider, identity.kek, grant.wrap, core)
            return self._grant(core, secret, former)
        if grant.message is None or not self._for_today(grant.message, core):
            return None
        return sign_again(grant.message, identity.signing_key, identity.chain, former)

    def _earlier(self, signer: bytes) -> Certificate | None:
        """Our certificate of a key (SM3 of its SPKI) that we have renewed since."""
        retired = self._identity.certified.retired
        return next((c for c in retired if self._provider.sm3(c.spki) == signer), None)

    def _for_today(self, message: bytes, core: GrantCore) -> bool:
        return granted_to(message)[0] == {each.fingerprint for each in self._to(core)}

    def _to(self, core: GrantCore) -> tuple[Certificate, ...]:
        # Of a key whose records are not signed, one platform: it could forge for any other.
        recipients = self._identity.recipients
        return recipients if core.signed else recipients[:1]

    def _serves(self, message: bytes, core: GrantCore) -> bool:
        """Whether a grant names the recipients of today and a certificate that still counts.

        One under an earlier certificate of ours serves until that one has run out or is revoked: a
        platform that knows it needs no other.
        """
        identity = self._identity
        _, certificate = granted_to(message)
        counts = certificate == identity.chain[0].der or certificate in identity.certified.standing
        return counts and self._for_today(message, core)


def _terms(identity: Identity) -> tuple[object, ...]:
    """What a key is made for: when it changes, so does the key."""
    to = tuple(each.fingerprint for each in identity.recipients)
    return to, identity.signing_key.public.spki, identity.signs_records, identity.gateway
