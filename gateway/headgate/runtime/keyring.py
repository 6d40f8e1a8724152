"""Record keys and their grants: a fresh key per start, per 2^20 records and per day.

Used in the writer's thread to seal, and on the loop to open what this box stored, where it keeps a local
wrap. Secrets of the current epoch live in memory; older ones only behind the wrap.
"""

from __future__ import annotations

import functools

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.envelope.grant import (
    SECRET_SIZE,
    derive,
    make_core,
    parse_core,
    sign_grant,
    unwrap_local,
    wrap_local,
)
from headgate.envelope.record import RecordKey
from headgate.errors import SecurityError, SpoolError
from headgate.runtime.identity import Identity, save_made
from headgate.spool import State
from headgate.spool.remembered import Grant

RECORDS_PER_KEY = 1 << 20
KEY_AGE_US = 24 * 3600 * 1_000_000


class Keyring:
    """The current key, and the way back to older ones."""

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
        self._unwritten = bool(identity.unsaved)
        self._sealed = 0
        self._since_us = 0
        self._open = functools.lru_cache(maxsize=64)(self._unwrap)

    def current(self, *, unwritten: bool = False) -> RecordKey:
        """The key to seal the next record with, its grant durable. Counts the record.

        Args:
            unwritten: while the disk refuses, a key will do whose grant is not on it yet: for records
                that are not to be there either before `written`.

        Raises:
            SpoolError: the grant of a new key cannot be written.
        """
        now = self._env.clock.boottime_us()
        if (
            self._current is None
            or self._sealed >= RECORDS_PER_KEY
            or now - self._since_us >= KEY_AGE_US
        ):
            if self._coming is None:
                self._coming = self._new()
            # On disk before the first record of its key can be: without it nobody could open the record.
            if not self._state.flush():
                if not unwritten:
                    raise SpoolError("the grant of a new key could not be written")
                self._unwritten = True
            self._current, self._coming = self._coming, None
            self._sealed = 0
            self._since_us = now
        self._sealed += 1
        return self._current

    def written(self) -> bool:
        """Whether every grant is on disk, so that records of its key may be. Tries once more."""
        if self._unwritten:
            saved = save_made(self._env, self._identity)
            self._unwritten = not (saved and self._state.flush())
        return not self._unwritten

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
        )
        wrap = message = None
        if identity.kek is not None:
            wrap = wrap_local(provider, identity.kek, secret, core, random.token(12))
        if identity.enrolled:
            message = sign_grant(
                provider, core, identity.recipients, secret, identity.signing_key, identity.chain
            )
        now = self._env.clock.wall_us()
        self._state.keep_grant(Grant(core.key_id, self._epoch, core.raw, wrap, message, now))
        return derive(provider, secret, core)

    def key(self, key_id: bytes) -> RecordKey:
        """The key of a stored record, by the local wrap.

        Raises:
            SecurityError: this box keeps no local wrap of it.
        """
        if self._current is not None and self._current.key_id == key_id:
            return self._current
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
        """Make the grants that could not be made before enrolment; how many were made.

        A key stays the same: only its wrapping for the platform is new.
        """
        identity = self._identity
        if not identity.enrolled or identity.kek is None:
            return 0
        made = 0
        signer = self._provider.sm3(identity.signing_key.public.spki)
        for grant in self._state.grants():
            if grant.message is not None or grant.wrap is None:
                continue
            core = parse_core(grant.core)
            if core.signer != signer or core.gateway != identity.gateway:
                continue  # sealed under another identity: only this box can open it now
            secret = unwrap_local(self._provider, identity.kek, grant.wrap, core)
            message = sign_grant(
                self._provider,
                core,
                identity.recipients,
                secret,
                identity.signing_key,
                identity.chain,
            )
            self._state.keep_grant(msgspec.structs.replace(grant, message=message))
            made += 1
        return made
