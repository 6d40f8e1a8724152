"""Grants: how the platform gets a record key, and how the gateway keeps one for later.

Source: docs/reference/uplink.md, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.envelope.record import RecordKey
from headgate.envelope.wire import (
    GRANT,
    MAX_GRANT,
    SUITE_SM,
    Bytes4,
    Bytes8,
    Digest,
    GatewayId,
    decode,
    frame,
    unframe,
)
from headgate.errors import CertificateRefused, EnvelopeError, SealBroken, SignatureInvalid

GRANT_LABEL: Final = "headgate-grant-v1"
RECORD_KEY_LABEL: Final = b"headgate-record-key-v1"
LOCAL_WRAP_LABEL: Final = b"headgate-local-wrap-v1"
SECRET_SIZE: Final = 32
MAX_RECIPIENTS: Final = 8
MAX_CERTIFICATES: Final = 4
#: The policy of a core whose records are all signed.
SIGNED: Final = 1


class GrantCore(msgspec.Struct, frozen=True):
    """What a grant says of its key, whoever receives it. `raw` are its exact bytes.

    `signed`: every record of this key is signed, because several platforms have it or evidence is wanted.
    """

    gateway: str
    signer: bytes
    epoch: bytes
    key_id: bytes
    salt: bytes
    raw: bytes
    signed: bool = False


class Grant(msgspec.Struct, frozen=True):
    """A verified grant: whose key, for which epoch. `gateway` is the certificate's common name."""

    gateway: str
    epoch: bytes
    key: RecordKey
    core: bytes
    certificate: bytes
    """SM3 of the gateway's certificate."""
    signer: bytes = b""
    """Its key (SubjectPublicKeyInfo), which signs records where `key.core` is not None."""
    der: bytes = b""
    """The certificate itself: whoever is to be shown a signed record will ask for it."""


class _Core(msgspec.Struct, array_like=True):
    label: str
    suite: int
    gateway: GatewayId
    signer: Digest
    epoch: Bytes8
    key_id: Bytes8
    salt: Bytes4
    policy: int = 0


class _Recipient(msgspec.Struct, array_like=True):
    certificate: Digest
    wrapped: Annotated[bytes, Meta(min_length=1, max_length=512)]


class _Message(msgspec.Struct, array_like=True):
    core: Annotated[bytes, Meta(max_length=1024)]
    recipients: bytes
    signature: Annotated[bytes, Meta(max_length=80)]
    certificates: Annotated[list[bytes], Meta(min_length=1, max_length=MAX_CERTIFICATES)]


_core = msgspec.msgpack.Decoder(_Core)
_recipients = msgspec.msgpack.Decoder(
    Annotated[list[_Recipient], Meta(min_length=1, max_length=MAX_RECIPIENTS)]
)
_message = msgspec.msgpack.Decoder(_Message)
_encoder = msgspec.msgpack.Encoder()


def make_core(
    provider: CryptoProvider,
    gateway: str,
    signer_spki: bytes,
    epoch: bytes,
    key_id: bytes,
    salt: bytes,
    *,
    signed: bool = False,
) -> GrantCore:
    """The core of a new key; `signed` when each record of it will be.

    `key_id` (8 bytes) and `salt` (4 bytes, the head of every nonce) are random; `gateway` is the
    common name of the gateway's certificate, `signer_spki` the key in it, `epoch` the 8 bytes drawn
    at process start.
    """
    signer = provider.sm3(signer_spki)
    policy = (SIGNED,) if signed else ()
    raw = _encoder.encode((GRANT_LABEL, SUITE_SM, gateway, signer, epoch, key_id, salt, *policy))
    return parse_core(raw)


def parse_core(raw: bytes) -> GrantCore:
    """A core from its bytes.

    Raises:
        EnvelopeError: another label, suite or shape.
    """
    core = decode(_core, raw, "grant core")
    if core.label != GRANT_LABEL:
        raise EnvelopeError(f"labelled {core.label[:40]!r}, not {GRANT_LABEL!r}")
    if core.suite != SUITE_SM:
        raise EnvelopeError(f"suite {core.suite}, we speak {SUITE_SM}")
    if core.policy not in (0, SIGNED):
        # What a gateway demands of its records must not be passed over in silence.
        raise EnvelopeError(f"policy {core.policy} of records that we do not know")
    signed = core.policy == SIGNED
    return GrantCore(core.gateway, core.signer, core.epoch, core.key_id, core.salt, raw, signed)


def derive(provider: CryptoProvider, secret: bytes, core: GrantCore) -> RecordKey:
    """The record key that a secret and its core stand for."""
    digest = provider.sm3(core.raw)
    key = provider.hkdf_sm3(secret, RECORD_KEY_LABEL + digest, 16)
    return RecordKey(core.key_id, core.salt, key, digest if core.signed else None)


# ---------------------------------------------------------------- the gateway's side


def sign_grant(
    provider: CryptoProvider,
    core: GrantCore,
    recipients: Sequence[Certificate],
    secret: bytes,
    signing_key: Sm2PrivateKey,
    certificates: Sequence[Certificate],
    former: Certificate | None = None,
) -> bytes:
    """A grant message. The same core and secret may be granted again to other recipients.

    `former` is the gateway's earlier certificate, where the core names its key: a renewed gateway vouches
    for what it sealed before.

    `recipients` are 1 to 8 encryption certificates that the caller has verified, more than one only where
    the core says `signed`; `secret` is 32 random bytes, fresh for each core; `certificates` is the
    gateway's own, then its intermediates.
    """
    if len(recipients) > 1 and not core.signed:
        raise ValueError("several recipients of a key whose records are not signed")
    if not 1 <= len(recipients) <= MAX_RECIPIENTS or len(secret) != SECRET_SIZE:
        raise ValueError(f"{len(recipients)} recipients and {len(secret)} bytes of secret")
    wrapped = (provider.sm2_load_public(each.spki).encrypt(secret) for each in recipients)
    prints = (each.fingerprint for each in recipients)
    listing = _encoder.encode(tuple(zip(prints, wrapped, strict=True)))
    signature = signing_key.sign(_signed(core.raw, listing))
    chain = [certificate.der for certificate in (*certificates, *((former,) if former else ()))]
    message = frame(GRANT, _encoder.encode((core.raw, listing, signature, chain)))
    if len(message) > MAX_GRANT:
        raise ValueError(f"a grant of {len(message)} bytes: leave out certificates")
    return message


def wrap_local(
    provider: CryptoProvider, kek: bytes, secret: bytes, core: GrantCore, nonce: bytes
) -> bytes:
    """A secret under this box's own key, so that its key can be granted later: nonce || SM4-GCM.

    `kek` is 16 bytes and never used for anything else; `nonce` is 12 random bytes.
    """
    aad = LOCAL_WRAP_LABEL + provider.sm3(core.raw)
    return nonce + provider.sm4_gcm_seal(kek, nonce, secret, aad)


def unwrap_local(provider: CryptoProvider, kek: bytes, wrapped: bytes, core: GrantCore) -> bytes:
    """The secret that `wrap_local` was given.

    Raises:
        SealBroken: altered, another box's key, or another core.
    """
    if len(wrapped) != 12 + SECRET_SIZE + 16:
        raise SealBroken(f"{len(wrapped)} bytes are not a local wrap")
    aad = LOCAL_WRAP_LABEL + provider.sm3(core.raw)
    return provider.sm4_gcm_open(kek, wrapped[:12], wrapped[12:], aad)


def sign_again(
    message: bytes,
    signing_key: Sm2PrivateKey,
    certificates: Sequence[Certificate],
    former: Certificate | None,
) -> bytes:
    """A grant of ours under another certificate of ours; core and recipients stay as they are.

    Needs no secret, so a box that keeps no local wrap can do it, too.

    Raises:
        EnvelopeError: not a grant.
    """
    sent = decode(_message, unframe(GRANT, message, MAX_GRANT), "grant")
    signature = signing_key.sign(_signed(sent.core, sent.recipients))
    chain = [certificate.der for certificate in (*certificates, *((former,) if former else ()))]
    return frame(GRANT, _encoder.encode((sent.core, sent.recipients, signature, chain)))


def granted_to(message: bytes) -> tuple[set[bytes], bytes]:
    """Whom a grant of ours is for (SM3 of their certificates), and our certificate in it. Checks nothing.

    Raises:
        EnvelopeError: not a grant.
    """
    sent = decode(_message, unframe(GRANT, message, MAX_GRANT), "grant")
    recipients = decode(_recipients, sent.recipients, "recipients of the grant")
    return {each.certificate for each in recipients}, sent.certificates[0]


# ---------------------------------------------------------------- the platform's side


class CheckedGrant(msgspec.Struct, frozen=True):
    """A grant whose signature and certificate hold; its secret is still wrapped."""

    core: GrantCore
    recipients: dict[bytes, bytes]
    """SM3 of an encryption certificate to the secret wrapped for it."""
    certificate: bytes
    """SM3 of the certificate that this hangs on: when it is revoked, the key opens nothing more."""
    signer: bytes
    """The key (SubjectPublicKeyInfo) that signs the records, where they are signed."""
    der: bytes
    """The certificate of that key."""
    leaf: bytes
    """The certificate of the key that signed the grant itself: another one after a renewal."""


def check_grant(
    provider: CryptoProvider,
    message: bytes,
    anchors: Sequence[Certificate],
    at: datetime,
    revoked: Collection[bytes] = (),
) -> CheckedGrant:
    """Everything about a grant that needs no private key (steps 1 to 4 of the specification).

    `anchors` are the certificates trusted to name gateways, `at` is now (with a time zone), and
    `revoked` the SM3 fingerprints of gateway certificates that are no longer good.

    Raises:
        EnvelopeError, CertificateRefused, SignatureInvalid: in that order of checking.
    """
    sent = decode(_message, unframe(GRANT, message, MAX_GRANT), "grant")
    core = parse_core(sent.core)
    recipients = decode(_recipients, sent.recipients, "recipients of the grant")
    if len(recipients) > 1 and not core.signed:
        raise EnvelopeError("several platforms share a key whose records are not signed")
    leaf, *others = (_certificate(der) for der in sent.certificates)
    verify_chain(
        leaf, _cas(others), anchors, usage=Usage.SIGN, at=at, provider=provider, role=Role.GATEWAY
    )
    if leaf.fingerprint in revoked:
        raise CertificateRefused(f"the certificate of {leaf.subject_cn!r} is revoked")
    signer = leaf
    if core.signer != provider.sm3(leaf.spki):
        signer = _former(provider, core, leaf, others, anchors)
    if core.gateway != leaf.subject_cn:
        raise SignatureInvalid(
            f"a grant for {core.gateway!r} under the certificate of {leaf.subject_cn!r}"
        )
    key = provider.sm2_load_public(leaf.spki)
    if not key.verify(sent.signature, _signed(sent.core, sent.recipients)):
        raise SignatureInvalid(f"the grant's signature is not {core.gateway!r}'s")
    if not core.signed:
        signer = leaf
    elif signer.fingerprint in revoked:
        # The grant is the gateway's word of today; each record is still the word of the revoked key.
        raise CertificateRefused(f"an earlier certificate of {leaf.subject_cn!r} is revoked")
    to = {each.certificate: each.wrapped for each in recipients}
    return CheckedGrant(core, to, signer.fingerprint, signer.spki, signer.der, leaf.der)


def _former(
    provider: CryptoProvider,
    core: GrantCore,
    leaf: Certificate,
    others: Sequence[Certificate],
    anchors: Sequence[Certificate],
) -> Certificate:
    """The gateway's earlier certificate, which came along because the core names its key.

    It may have run out: that is why there is another. It must have been this gateway's all the same.
    """
    found = [each for each in others if provider.sm3(each.spki) == core.signer]
    if not found or found[0].subject_cn != leaf.subject_cn:
        raise SignatureInvalid("the grant names another signer than its certificate")
    verify_chain(
        found[0], _cas(others), anchors, usage=Usage.SIGN, at=None, provider=provider,
        role=Role.GATEWAY,
    )  # fmt: skip
    return found[0]


def _cas(certificates: Sequence[Certificate]) -> list[Certificate]:
    return [each for each in certificates if each.is_ca]


async def verify_grant(
    provider: CryptoProvider,
    message: bytes,
    *,
    anchors: Sequence[Certificate],
    recipients: Sequence[bytes],
    unwrap: Callable[[bytes, bytes], Awaitable[bytes]],
    at: datetime,
    revoked: Collection[bytes] = (),
) -> Grant:
    """A grant, checked and opened (steps 1 to 6 of the specification).

    `recipients` are the SM3 of the encryption certificates whose keys the caller holds; `unwrap` is
    SM2 decryption by one of those keys: `(certificate SM3, ciphertext) -> secret`.

    Raises:
        EnvelopeError: not a grant, or not addressed to us.
        CertificateRefused: not a gateway's certificate that our anchors vouch for.
        SignatureInvalid: not signed by that certificate's key, or for another gateway.
        SealBroken: our wrapped secret does not open.
    """
    checked = check_grant(provider, message, anchors, at, revoked)
    own = addressed(checked, recipients)
    return open_grant(provider, checked, await unwrap(own, checked.recipients[own]))


def addressed(checked: CheckedGrant, recipients: Sequence[bytes]) -> bytes:
    """The first of these certificates (SM3) that a grant is for.

    Raises:
        EnvelopeError: none; it names those that the grant is for.
    """
    own = next((each for each in recipients if each in checked.recipients), None)
    if own is None:
        to = ", ".join(each.hex() for each in checked.recipients)
        raise EnvelopeError(
            f"the grant is for other recipients: certificates {to}", code="HG-7024", certificates=to
        )
    return own


def open_grant(provider: CryptoProvider, checked: CheckedGrant, secret: bytes) -> Grant:
    """A checked grant with its secret, from wherever the platform's key lies (step 6).

    Raises:
        SealBroken: no such secret.
    """
    if len(secret) != SECRET_SIZE:
        raise SealBroken(f"a secret of {len(secret)} bytes, not {SECRET_SIZE}")
    core = checked.core
    key = derive(provider, secret, core)
    return Grant(
        core.gateway, core.epoch, key, core.raw, checked.certificate, checked.signer, checked.der
    )


def _certificate(der: bytes) -> Certificate:
    if der[:1] != b"\x30":
        raise EnvelopeError("a certificate of the grant is not DER")
    return Certificate.load(der)


def _signed(core: bytes, recipients: bytes) -> bytes:
    return len(core).to_bytes(4, "big") + core + recipients
