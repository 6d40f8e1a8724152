"""Certificate requests (PKCS #10): a name, a key, and the proof that its sender holds it.

Source: RFC 2986; GB/T 20518-2018 (names).
"""

from __future__ import annotations

import msgspec

from headgate.crypto import der, encoding
from headgate.crypto.names import parse_name
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import MAX_CERTIFICATE, read_algorithm
from headgate.errors import CertificateRefused, SecurityError


class Request(msgspec.Struct, frozen=True):
    """A certificate request whose signature was checked: its sender holds the key."""

    der: bytes
    subject: bytes
    spki: bytes

    def pem(self) -> bytes:
        """The request as one PEM block."""
        return encoding.to_pem("CERTIFICATE REQUEST", self.der)


def make_request(subject: bytes, key: Sm2PrivateKey) -> Request:
    """A request (PKCS #10) for a CA outside: the private key stays here."""
    info = der.sequence(der.integer(0), subject, key.public.spki, der.encode(der.context(0), b""))
    return Request(encoding.signed(info, key.sign(info)), subject, key.public.spki)


def load_request(data: bytes, provider: CryptoProvider) -> Request:
    """A request from DER or PEM.

    Raises:
        CertificateRefused: malformed, not SM2, or not signed by the key it names.
    """
    data = bytes(data)
    try:
        if b"-----BEGIN" in data:
            blocks = encoding.pem_blocks(data)
            wanted = [body for label, body in blocks if label.endswith("CERTIFICATE REQUEST")]
            if len(wanted) != 1:
                raise CertificateRefused(f"expected one certificate request, found {len(wanted)}")
            (data,) = wanted
        return _parse_request(data, provider)
    except (der.DerError, SecurityError) as error:
        if isinstance(error, CertificateRefused):
            raise
        raise CertificateRefused(
            f"not a certificate request: {error}", code="HG-6351", reason=str(error)
        ) from None


def _parse_request(data: bytes, provider: CryptoProvider) -> Request:
    if len(data) > MAX_CERTIFICATE:
        raise CertificateRefused(f"request larger than {MAX_CERTIFICATE // 1024} KiB")
    outer = der.whole(data)
    info = outer.element(der.SEQUENCE)
    algorithm = read_algorithm(outer)
    signature = outer.bits()
    outer.end()
    if algorithm != encoding.OID_SM2_SIGN_WITH_SM3:
        raise CertificateRefused(f"not signed with SM2-with-SM3 but with {algorithm}")
    body = der.Reader(info.content)
    if body.integer() != 0:
        raise CertificateRefused("not a version 1 request")
    subject = body.element(der.SEQUENCE).raw
    parse_name(subject)
    spki = body.element(der.SEQUENCE).raw
    # Attributes (wished-for extensions) are not read: the CA decides what a certificate says.
    body.optional(der.context(0))
    body.end()
    if not provider.sm2_load_public(spki).verify(signature, info.raw):
        raise CertificateRefused(
            "the request's signature does not verify with its own key and SM2 ID 1234567812345678",
            code="HG-6350",
        )
    return Request(data, subject, spki)
