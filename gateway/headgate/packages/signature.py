"""Who stands behind a text: a detached SM2 signature with its certificates, as a PEM block.

`-----BEGIN HEADGATE SIGNATURE-----` holds msgpack `[signature, [certificate, ...]]`. What is signed is
msgpack `[label, text]`, so that a signature for one purpose is none for another.

Source: docs/reference/packages.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.crypto import encoding
from headgate.crypto.crl import RevocationList
from headgate.crypto.der import DerError
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.verify import Usage, verify_chain
from headgate.crypto.x509 import Certificate, Role
from headgate.errors import CertificateRefused, PluginError, SecurityError

PACKAGE_LABEL: Final = "headgate-package-v1"
CATALOGUE_LABEL: Final = "headgate-catalogue-v1"
MAX_SIGNATURE: Final = 32 * 1024
_PEM: Final = "HEADGATE SIGNATURE"


class _Signed(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    signature: Annotated[bytes, Meta(min_length=8, max_length=80)]
    certificates: Annotated[
        list[Annotated[bytes, Meta(min_length=1, max_length=4096)]],
        Meta(min_length=1, max_length=4),
    ]


class Trust(msgspec.Struct, frozen=True):
    """What a signer is judged by. `at` is now where the clock is trusted, else None."""

    anchors: tuple[Certificate, ...]
    crls: tuple[RevocationList, ...] = ()
    at: datetime | None = None


def sign(label: str, text: bytes, key: Sm2PrivateKey, certificates: Sequence[Certificate]) -> bytes:
    """The signature file of a text. `certificates`: the signer's own first, then its intermediates."""
    if key.public.spki != certificates[0].spki:
        raise PluginError("the key is not the certificate's", code="HG-2025")
    made = _Signed(key.sign(_meant(label, text)), [each.der for each in certificates])
    return encoding.to_pem(_PEM, msgspec.msgpack.encode(made))


def verify(
    label: str, text: bytes, signature: bytes, role: Role, trust: Trust, provider: CryptoProvider
) -> tuple[Certificate, ...]:
    """The certificate of whoever signed this text for this purpose, and its intermediates.

    Raises:
        PluginError: malformed, signed over other bytes, or by somebody who is not trusted for it.
    """
    try:
        if len(signature) > MAX_SIGNATURE:
            raise ValueError(f"larger than {MAX_SIGNATURE} bytes")
        blocks = [body for name, body in encoding.pem_blocks(signature) if name == _PEM]
        if len(blocks) != 1:
            raise ValueError(f"expected one signature, found {len(blocks)}")
        signed = msgspec.msgpack.decode(blocks[0], type=_Signed)
        own, *further = (Certificate.load(each) for each in signed.certificates)
    except (ValueError, DerError, SecurityError, msgspec.MsgspecError) as error:
        raise PluginError(f"signature: {error}", code="HG-2026", reason=str(error)) from None
    try:
        verify_chain(
            own, further, trust.anchors, usage=Usage.SIGN, at=trust.at, provider=provider, role=role,
            crls=trust.crls,
        )  # fmt: skip
    except CertificateRefused as error:
        name = own.subject_cn or "-"
        raise PluginError(
            f"signer {name}: {error}", code="HG-2027", signer=name, reason=str(error)
        ) from None
    if not provider.sm2_load_public(own.spki).verify(signed.signature, _meant(label, text)):
        raise PluginError("signed over other bytes", code="HG-2028", signer=own.subject_cn or "-")
    return own, *further


def _meant(label: str, text: bytes) -> bytes:
    return msgspec.msgpack.encode([label, text])
