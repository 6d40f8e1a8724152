"""Whether a certificate proves what it is used for.

Source: RFC 5280, section 6 (path validation), cut to what an SM2 gateway PKI needs: names matched
byte for byte, no policy or name constraints (a certificate that carries them is not read at all).
Signatures are checked with SM2 ID 1234567812345678, so one made with an empty ID is refused.
docs/reference/certificates.md has every refusal with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from enum import Enum
from typing import Final

from headgate.crypto.crl import RevocationList
from headgate.crypto.names import describe_name, same_text
from headgate.crypto.policy import TERMS
from headgate.crypto.provider import CryptoProvider, Sm2PublicKey
from headgate.crypto.refusal import refused
from headgate.crypto.revocation import Freshness, Lists
from headgate.crypto.x509 import Certificate, KeyUsage, Purpose, Role
from headgate.errors import CertificateRefused, SecurityError

#: Certificates in a chain, leaf and anchor included.
MAX_CHAIN: Final = 5
MAX_INTERMEDIATES: Final = 8
MAX_ANCHORS: Final = 32
MAX_CHECKS: Final = 32


class Usage(Enum):
    """What the leaf's key is about to be used for."""

    SIGN = "sign"
    ENCRYPT = "encrypt"


_WANTED: Final = {
    Usage.SIGN: frozenset({KeyUsage.DIGITAL_SIGNATURE}),
    Usage.ENCRYPT: frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT}),
}
# A certificate for either of these and for signing serves two purposes.
_ENCRYPTS: Final = _WANTED[Usage.ENCRYPT] | {KeyUsage.KEY_AGREEMENT}
_SAID: Final = {
    Usage.SIGN: "digitalSignature",
    Usage.ENCRYPT: "keyEncipherment / dataEncipherment",
}


def verify_chain(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    usage: Usage,
    at: datetime | None,
    provider: CryptoProvider,
    role: Role | None = None,
    crls: Sequence[RevocationList] = (),
    freshness: Freshness = Freshness.BEST_KNOWN,
) -> tuple[Certificate, ...]:
    """The proved chain, leaf first, anchor last.

    Args:
        leaf: the certificate whose key is about to be used.
        intermediates: CA certificates that came along; trusted for nothing by themselves.
        anchors: CA certificates trusted because they were installed.
        usage: what the leaf's key is for; its key usage must allow it.
        at: the instant all certificates must be valid at, with a time zone. `None` skips the
            check, for a caller without a trusted clock; it should check again once it has one.
        provider: verifies the signatures.
        role: when given, the leaf's OU must name it.
        crls: revocation lists, in any order and of any CA; those that no CA of the chain signed
            count for nothing. What they revoke is refused, leaf or CA, however old the list is.
        freshness: whether a CA without a list that is in force is accepted.

    Raises:
        CertificateRefused: says which certificate and why.
    """
    if at is not None and at.tzinfo is None:
        raise ValueError("`at` needs a time zone")
    if len(intermediates) > MAX_INTERMEDIATES or len(anchors) > MAX_ANCHORS:
        raise CertificateRefused(
            f"more than {MAX_INTERMEDIATES} intermediates or {MAX_ANCHORS} anchors"
        )
    _check_leaf(leaf, usage, role)
    _check_validity(leaf, at)
    _load_key(leaf, provider)
    # Anchors first: the shortest way to something trusted wins.
    lists = Lists(crls, freshness, at, provider)
    pool = [*anchors, *intermediates]
    climb = _Climb(pool, {anchor.der for anchor in anchors}, at, provider, lists)
    return climb.from_(leaf)


def verify_ca(
    ca: Certificate,
    intermediates: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    at: datetime | None,
    provider: CryptoProvider,
    crls: Sequence[RevocationList] = (),
    freshness: Freshness = Freshness.BEST_KNOWN,
) -> tuple[Certificate, ...]:
    """As `verify_chain`, for a certificate that itself issues; an anchor proves itself.

    Raises:
        CertificateRefused: says which certificate and why.
    """
    if len(intermediates) > MAX_INTERMEDIATES or len(anchors) > MAX_ANCHORS:
        raise CertificateRefused(
            f"more than {MAX_INTERMEDIATES} intermediates or {MAX_ANCHORS} anchors"
        )
    _check_ca(ca, below=0)
    _check_validity(ca, at)
    _load_key(ca, provider)
    trusted = {anchor.der for anchor in anchors}
    if ca.der in trusted:
        return (ca,)
    lists = Lists(crls, freshness, at, provider)
    return _Climb([*anchors, *intermediates], trusted, at, provider, lists, below=1).from_(ca)


class _Climb:
    """The search from a leaf to an anchor; it turns back at a refusal and tries the next issuer.

    A renewed CA has two certificates with one name and one key, and one of them has expired.
    """

    def __init__(
        self,
        pool: Sequence[Certificate],
        trusted: Set[bytes],
        at: datetime | None,
        provider: CryptoProvider,
        lists: Lists,
        below: int = 0,
    ) -> None:
        """`below`: how many CA certificates the chain begins with, which count for path lengths."""
        self._below = below
        self._pool = pool
        self._trusted = trusted
        self._at = at
        self._provider = provider
        self._lists = lists
        # Certificates from outside can be woven so that every path must be tried.
        self._checks_left = MAX_CHECKS

    def from_(self, *chain: Certificate) -> tuple[Certificate, ...]:
        """`chain` extended to an anchor; the first refusal met when there is no way."""
        child, first_refusal = chain[-1], None
        for issuer in self._pool:
            if issuer.subject != child.issuer or any(issuer.der == c.der for c in chain):
                continue
            try:
                self._check(child, issuer, below=len(chain) - 1 + self._below)
                if not chain[0].is_ca:
                    _check_purposes(issuer, chain[0].role)
                if issuer.der in self._trusted:
                    return (*chain, issuer)
                if len(chain) + 1 >= MAX_CHAIN:
                    raise refused(
                        chain[0],
                        "HG-6315",
                        f"its chain is longer than {MAX_CHAIN} certificates",
                        limit=MAX_CHAIN,
                    )
                return self.from_(*chain, issuer)
            except CertificateRefused as refusal:
                first_refusal = first_refusal or refusal
        raise first_refusal or self._no_issuer(child)

    def _no_issuer(self, child: Certificate) -> CertificateRefused:
        if any(same_text(issuer.subject, child.issuer) for issuer in self._pool):
            return refused(
                child,
                "HG-6312",
                "its issuer's name is the CA's in another string type (PrintableString, UTF8String); "
                "names are compared byte for byte: have the certificate issued again, with the "
                "subject of the CA's own certificate copied",
            )
        if child.self_issued:
            return refused(
                child, "HG-6311", "it vouches for itself, and is not among the trusted CAs"
            )
        return refused(
            child,
            "HG-6310",
            "its issuer is not among the trusted certificates; install that CA's certificate",
            issuer=describe_name(child.issuer)[0] or "-",
        )

    def _check(self, child: Certificate, issuer: Certificate, *, below: int) -> None:
        _check_ca(issuer, below=below)
        _check_validity(issuer, self._at)
        if None not in (child.issuer_key_id, issuer.key_id) and (
            child.issuer_key_id != issuer.key_id
        ):
            raise refused(
                child,
                "HG-6313",
                "it names another key than its issuer's (authority and subject key identifier): "
                "issued by a namesake, or under a key that CA no longer uses",
            )
        if self._checks_left == 0:
            raise refused(
                child, "HG-6315", f"more than {MAX_CHECKS} signatures to check", limit=MAX_CHECKS
            )
        self._checks_left -= 1
        if not _load_key(issuer, self._provider).verify(child.signature, child.tbs):
            raise refused(
                child,
                "HG-6314",
                "its signature does not verify with the issuer's key and SM2 ID 1234567812345678 "
                "(altered, a namesake of the issuer, or issued with an empty SM2 ID: openssl wants "
                "-sigopt distid:1234567812345678)",
            )
        self._lists.check(child, issuer)


def _load_key(certificate: Certificate, provider: CryptoProvider) -> Sm2PublicKey:
    try:
        return provider.sm2_load_public(certificate.spki)
    except SecurityError as error:
        raise refused(
            certificate, "HG-6316", f"its key is not on the SM2 curve ({error})"
        ) from None


def _check_leaf(leaf: Certificate, usage: Usage, role: Role | None) -> None:
    if leaf.is_ca:
        raise refused(leaf, "HG-6304", "it is a CA certificate and signs nothing but certificates")
    if leaf.key_usage is None or not leaf.key_usage & _WANTED[usage]:
        wanted = " or ".join(sorted(u.name.lower() for u in _WANTED[usage]))
        raise refused(
            leaf, "HG-6300", f"its key usage does not allow {wanted}", wanted=_SAID[usage]
        )
    if leaf.key_usage & _WANTED[Usage.SIGN] and leaf.key_usage & _ENCRYPTS:
        raise refused(
            leaf,
            "HG-6301",
            "its key usage allows signing and encryption with one key; have two certificates issued "
            "(GB/T 20518)",
        )
    if role is not None and leaf.role is not role:
        raise refused(
            leaf,
            "HG-6302",
            f"its OU is {leaf.subject_ou!r}, not {role.value!r}",
            found=leaf.subject_ou or "-",
            role=role.value,
        )
    _check_purposes(leaf, leaf.role)


def _check_purposes(certificate: Certificate, role: Role | None) -> None:
    """An extended key usage limits: it must be absent, name any purpose, or the role's own."""
    wanted = TERMS[role].purposes if role else frozenset()
    allowed = {purpose.value for purpose in (Purpose.ANY, *wanted)}
    if certificate.purposes is not None and not certificate.purposes & allowed:
        found, wanted_oids = ", ".join(sorted(certificate.purposes)), ", ".join(sorted(allowed))
        raise refused(
            certificate,
            "HG-6303",
            f"its extended key usage allows only {found}; have it issued without, or with one of "
            f"{wanted_oids}",
            found=found,
            allowed=wanted_oids,
        )


def _check_ca(issuer: Certificate, *, below: int) -> None:
    """`below`: how many CA certificates stand between this one and the leaf."""
    if not issuer.is_ca:
        raise refused(issuer, "HG-6305", "it issued a certificate and is no CA (basicConstraints)")
    if issuer.key_usage is None or KeyUsage.KEY_CERT_SIGN not in issuer.key_usage:
        raise refused(issuer, "HG-6306", "its key usage does not allow it to sign certificates")
    if issuer.path_length is not None and below > issuer.path_length:
        raise refused(
            issuer,
            "HG-6307",
            f"its path length is {issuer.path_length}, and {below} CAs follow",
            limit=issuer.path_length,
            below=below,
        )


def _check_validity(certificate: Certificate, at: datetime | None) -> None:
    if at is None:
        return
    if at < certificate.not_before:
        start = certificate.not_before.isoformat()
        raise refused(certificate, "HG-6308", f"it is not valid before {start}", start=start)
    if at > certificate.not_after:
        end = certificate.not_after.isoformat()
        raise refused(certificate, "HG-6309", f"it expired at {end}", end=end)
