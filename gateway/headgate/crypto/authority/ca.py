"""Issuing, renewing and revoking, by the terms of each role (`headgate.crypto.policy`).

Everything that leaves here stands in the register first. An answer that was lost on its way is given
again, the same: a request with the same key, role and name brings the certificate of before, not a
second one. Source: GB/T 20518-2018 (names, the two certificates of a holder); RFC 5280.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from headgate.crypto.authority.folder import CaFolder
from headgate.crypto.authority.mint import Mint
from headgate.crypto.authority.register import Issued, Listed, Register, RevokedEntry, State
from headgate.crypto.authority.rules import Wanted, check_free, check_key
from headgate.crypto.crl import Reason, RevocationList
from headgate.crypto.enveloped import seal_enveloped
from headgate.crypto.issue import issue_crl
from headgate.crypto.provider import SM4_KEY_SIZE, CryptoProvider, Sm2PrivateKey
from headgate.crypto.requests import Request
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.env import Env
from headgate.errors import SecurityError

CRL_LIFE: Final = timedelta(days=30)

# A hold can be lifted, and a list that somebody plays back would lift it for him.
_REASONS: Final = frozenset(Reason) - {Reason.CERTIFICATE_HOLD, Reason.AA_COMPROMISE}


class Pair(msgspec.Struct, frozen=True):
    """The two certificates of a gateway, and the encryption key that only its signing key opens."""

    signing: Certificate
    encryption: Certificate
    enveloped: bytes
    """SM2EnvelopedKey, DER: see `headgate.crypto.enveloped`."""


class CertificateAuthority:
    """The CA in a folder. Without a key it tells and revokes; issuing and listing need it.

    Args:
        env: clock, randomness and files.
        folder: made by `found_root` or `install`.
        provider: the SM algorithms.
        key: the CA's private key, from `unlock` or from a module.

    Raises:
        SecurityError: no CA there, damaged, or the key is another one's.
    """

    def __init__(
        self, env: Env, folder: Path, provider: CryptoProvider, key: Sm2PrivateKey | None = None
    ) -> None:
        self._env = env
        self._folder = CaFolder(env.files, folder)
        self._provider = provider
        self.register = Register(env.files, folder)
        self.chain = self._folder.chain()
        """The CA's certificate, then those above it, up to the root."""
        if key is not None and key.public.spki != self.certificate.spki:
            raise SecurityError(
                "the key is not this CA's", code="HG-6214", name=self.certificate.subject_cn or "-"
            )
        self._key = key

    @property
    def certificate(self) -> Certificate:
        """The CA's own certificate."""
        return self.chain[0]

    def __repr__(self) -> str:
        return f"<CA {self.certificate.subject_cn!r}>"

    # ------------------------------------------------------------ issuing

    def issue(
        self,
        request: Request,
        role: Role,
        name: str,
        *,
        names: Names | None = None,
        life: timedelta | None = None,
        path_length: int = 0,
    ) -> Certificate:
        """A certificate for the key in `request`; nothing else in the request is heeded.

        Args:
            request: its signature was checked when it was loaded.
            role: decides key usage, purposes and life.
            name: the common name; a gateway's is its id.
            names: host names and addresses, for Role.PLATFORM_LINK and for no other.
            life: instead of the role's own.
            path_length: for Role.CA, how many CAs may follow below it.

        Raises:
            SecurityError: against the terms, or the name or key is taken.
        """
        wanted = Wanted(
            role=role, name=name, names=names or Names(), life=life, path_length=path_length
        )
        with self._writing():
            if (again := self._given_before(request, wanted)) is not None:
                return self._folder.certificate(again)
            if role is Role.GATEWAY_ENCRYPTION:
                raise SecurityError(
                    "encryption certificates of gateways are issued in pairs", code="HG-6231"
                )
            check_free(self.valid(name, role), self._digest(request.spki), wanted)
            return self._issue(request.spki, wanted)

    def issue_pair(self, request: Request, name: str, *, life: timedelta | None = None) -> Pair:
        """The two certificates of a gateway: for its own signing key, and for an encryption key made here.

        The encryption key is kept nowhere but in what is returned, sealed to the signing key.

        Raises:
            SecurityError: as `issue`.
        """
        wanted = Wanted(role=Role.GATEWAY, name=name, life=life)
        with self._writing():
            if (again := self._given_before(request, wanted)) is not None:
                return self._pair(again)
            check_free(self.valid(name, Role.GATEWAY), self._digest(request.spki), wanted)
            return self._issue_pair(request, wanted, None)

    def renew(self, serial: int, request: Request, *, life: timedelta | None = None) -> Certificate:
        """A successor with the role and names of a certificate that is still valid, which stays so.

        For a fresh key: with its own key a certificate is given again as it is, for that is an answer
        that was lost. Only a CA keeps its key, or all that it issued would go with it.

        Raises:
            SecurityError: not issued here, revoked or expired; or as `issue`.
        """
        with self._writing():
            old = self._renewable(serial)
            wanted = Wanted(
                role=old.role,
                name=old.name,
                names=old.names,
                life=life,
                path_length=self._folder.certificate(old).path_length or 0,
                replaces=old.serial,
            )
            again = self._own(old, request) or self._given_before(request, wanted)
            if again is not None:
                return self._folder.certificate(again)
            return self._issue(request.spki, wanted)

    def renew_pair(self, serial: int, request: Request, *, life: timedelta | None = None) -> Pair:
        """As `renew`, for the pair whose signing certificate has this serial number."""
        with self._writing():
            old = self._renewable(serial)
            if old.role is not Role.GATEWAY:
                raise SecurityError(
                    f"{old.serial} is no gateway's signing certificate",
                    code="HG-6215", serial=old.serial, role=old.role.value,
                )  # fmt: skip
            wanted = Wanted(role=old.role, name=old.name, life=life, replaces=old.serial)
            again = self._own(old, request) or self._given_before(request, wanted)
            if again is not None:
                return self._pair(again)
            return self._issue_pair(request, wanted, old.pair)

    # ------------------------------------------------------------ revoking

    def revoke(self, serial: int, reason: Reason) -> tuple[Issued, ...]:
        """Take a certificate back for good, and the other of its pair with it. The next list tells.

        Raises:
            SecurityError: not issued here, or revoked already.
        """
        if reason not in _REASONS:
            raise ValueError(f"this CA does not revoke for {reason.name}")
        with self._writing():
            issued = self._known(serial)
            if (before := self.register.revocation(issued)) is not None:
                raise SecurityError(
                    f"{issued.serial} is revoked since {before.at.isoformat()}",
                    code="HG-6216", serial=issued.serial, at=before.at.isoformat(),
                )  # fmt: skip
            taken = [issued]
            twin = self.register.find(issued.pair) if issued.pair is not None else None
            if twin is not None and self.register.revocation(twin) is None:
                taken.append(twin)
            now = self.now()
            self.register.append(
                *(RevokedEntry(at=now, serial=each.serial, reason=reason.name) for each in taken)
            )
            return tuple(taken)

    def crl(self, life: timedelta = CRL_LIFE) -> RevocationList:
        """A new list of everything ever revoked, on disk before it is returned.

        Expired certificates stay on it: a box without a trusted clock does not see that they expired.

        Raises:
            SecurityError: the key is not open, or the disk refuses.
        """
        with self._writing():
            key, now = self._signing_key(), self.now()
            number = self.register.crl_number + 1
            self.register.append(Listed(at=now, number=number, next_update=now + life))
            made = issue_crl(
                issuer=self.certificate,
                issuer_key=key,
                number=number,
                this_update=now,
                next_update=now + life,
                revoked=self.register.revoked(),
            )
            self._folder.keep_list(made)
            return made

    # ------------------------------------------------------------ telling

    def now(self) -> datetime:
        """The time that goes into certificates: whole seconds, UTC."""
        return datetime.fromtimestamp(self._env.clock.wall_us() // 1_000_000, UTC)

    def certificate_of(self, issued: Issued) -> Certificate:
        """A certificate of the register.

        Raises:
            SecurityError: its file is gone; the register alone remembers it.
        """
        return self._folder.certificate(issued)

    def valid(self, name: str, role: Role | None = None) -> tuple[Issued, ...]:
        """What somebody holds today: neither expired nor revoked, the oldest first."""
        now = self.now()
        return tuple(
            issued
            for issued in self.register.of_name(name, role)
            if self.register.state(issued, now) is State.VALID
        )

    # ------------------------------------------------------------ inside

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone with the register, and knowing what others wrote before."""
        with self._folder.alone():
            self.register.refresh()
            yield

    def _issue(self, spki: bytes, wanted: Wanted) -> Certificate:
        mint = self._mint()
        certificate = mint.certificate(spki, wanted)
        entry = mint.entry(certificate, wanted)
        self.register.append(entry)
        self._folder.keep(entry, certificate)
        return certificate

    def _issue_pair(self, request: Request, wanted: Wanted, old_pair: str | None) -> Pair:
        """`old_pair`: the encryption certificate that the new one follows."""
        key = self._provider.sm2_generate()
        also = Wanted(
            role=Role.GATEWAY_ENCRYPTION, name=wanted.name, life=wanted.life, replaces=old_pair
        )
        mint = self._mint()
        signing = mint.certificate(request.spki, wanted)
        encryption = mint.certificate(key.public.spki, also)
        holder = self._provider.sm2_load_public(request.spki)
        enveloped = seal_enveloped(holder, key, self._env.random.token(SM4_KEY_SIZE))
        first = mint.entry(signing, wanted, encryption)
        second = mint.entry(encryption, also, signing)
        self.register.append(first, second)
        self._folder.keep_enveloped(second, enveloped)
        self._folder.keep(second, encryption)
        # Last: where this file is, the whole pair is.
        self._folder.keep(first, signing)
        return Pair(signing, encryption, enveloped)

    def _mint(self) -> Mint:
        return Mint(
            ca=self.certificate,
            key=self._signing_key(),
            founded=self.register.founded,
            provider=self._provider,
            random=self._env.random,
            now=self.now(),
        )

    def _given_before(self, request: Request, wanted: Wanted) -> Issued | None:
        """The certificate of an earlier, equal request whose answer may have been lost.

        One that a power cut kept from its file does not count: nobody ever had it.

        Raises:
            SecurityError: the key serves, or served, something else.
        """
        key = self._digest(request.spki)
        check_key(self.register, self.certificate, request.spki, key, wanted)
        for issued in reversed(self.valid(wanted.name, wanted.role)):
            equal = (issued.key, issued.replaces) == (key, wanted.replaces)
            if equal and self._folder.kept(issued):
                return issued
        return None

    def _own(self, old: Issued, request: Request) -> Issued | None:
        """`old` where the request is for its own key."""
        same = old.key == self._digest(request.spki) and old.role is not Role.CA
        return old if same and self._folder.kept(old) else None

    def _pair(self, signing: Issued) -> Pair:
        encryption = self.register.find(signing.pair) if signing.pair is not None else None
        if encryption is None:
            raise SecurityError(
                f"certificate {signing.serial} was issued without an encryption certificate",
                code="HG-6229", serial=signing.serial,
            )  # fmt: skip
        return Pair(
            self._folder.certificate(signing),
            self._folder.certificate(encryption),
            self._folder.enveloped(encryption),
        )

    def _renewable(self, serial: int) -> Issued:
        old = self._known(serial)
        state = self.register.state(old, self.now())
        if state is not State.VALID or old.role is Role.GATEWAY_ENCRYPTION:
            raise SecurityError(
                f"certificate {old.serial} ({state.value}) cannot be renewed",
                code="HG-6226", serial=old.serial, state=state.value, role=old.role.value,
            )  # fmt: skip
        return old

    def _known(self, serial: int) -> Issued:
        issued = self.register.find(serial)
        if issued is None:
            raise SecurityError(
                f"no certificate {serial:x} was issued here", code="HG-6227", serial=f"{serial:x}"
            )
        return issued

    def _signing_key(self) -> Sm2PrivateKey:
        if self._key is None:
            raise SecurityError("the CA's key is not unlocked", code="HG-6228")
        return self._key

    def _digest(self, spki: bytes) -> str:
        return self._provider.sm3(spki).hex()
