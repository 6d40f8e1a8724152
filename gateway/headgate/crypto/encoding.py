"""The ASN.1 forms of SM2 keys and ciphertexts, and PEM.

Source: GB/T 35276-2017 (= GM/T 0009), GB/T 20518-2018; RFC 5480 (SPKI), RFC 5208 (PKCS #8),
RFC 5915 (ECPrivateKey), RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from headgate.crypto import der

OID_EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
OID_SM2_CURVE: Final = "1.2.156.10197.1.301"
OID_SM2_SIGN_WITH_SM3: Final = "1.2.156.10197.1.501"

#: The signer's ID for everything Headgate signs (GB/T 35276-2017, section 10).
SM2_ID: Final = b"1234567812345678"

SIGNATURE_ALGORITHM: Final = der.sequence(der.oid(OID_SM2_SIGN_WITH_SM3))

MAX_PEM: Final = 256 * 1024

# An SM2 public key has exactly one DER form we accept: named curve, uncompressed point.
# Explicit parameters and compressed points are how other curves get smuggled in.
_ALGORITHM = der.sequence(der.oid(OID_EC_PUBLIC_KEY), der.oid(OID_SM2_CURVE))
_POINT_SIZE = 65
_SPKI_SIZE = 91
_SPKI_PREFIX = der.sequence(_ALGORITHM, der.bits(bytes(_POINT_SIZE)))[:-_POINT_SIZE]

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\s([^-]*)-----END \1-----")


def spki(point: bytes) -> bytes:
    """SubjectPublicKeyInfo (91 bytes) of an uncompressed SM2 point `04 || x || y`."""
    return _SPKI_PREFIX + point


def point(spki_der: bytes) -> bytes:
    """The 65-byte point of a SubjectPublicKeyInfo in the accepted form."""
    return spki_der[-_POINT_SIZE:]


def is_sm2_spki(data: bytes) -> bool:
    """Whether `data` has the one accepted form; the point itself is checked when loaded."""
    return (
        len(data) == _SPKI_SIZE
        and data.startswith(_SPKI_PREFIX)
        and data[len(_SPKI_PREFIX)] == 0x04
    )


def pkcs8(private: bytes, point: bytes) -> bytes:
    """Unencrypted PKCS #8 of a 32-byte scalar and its uncompressed point."""
    key = der.sequence(
        der.integer(1), der.octets(private), der.encode(der.context(1), der.bits(point))
    )
    return der.sequence(der.integer(0), _ALGORITHM, der.octets(key))


def signed(content: bytes, signature: bytes) -> bytes:
    """Content, SM2-with-SM3, signature: the shell of certificates, requests and revocation lists."""
    return der.sequence(content, SIGNATURE_ALGORITHM, der.bits(signature))


def is_ciphertext(data: bytes) -> bool:
    """Whether `data` is one SM2Cipher: SEQUENCE { x, y, C3 of 32 octets, C2 }, nothing after it."""
    try:
        reader = der.whole(data)
        x, y = reader.integer(), reader.integer()
        c3 = reader.element(der.OCTET_STRING).content
        c2 = reader.element(der.OCTET_STRING).content
        reader.end()
    except der.DerError:
        return False
    limit = 1 << 256
    return 0 <= x < limit and 0 <= y < limit and len(c3) == 32 and len(c2) > 0


def pem_blocks(data: bytes, limit: int = MAX_PEM) -> list[tuple[str, bytes]]:
    """Every PEM block in `data` as (label, DER), in order; bytes without PEM give none.

    Raises:
        DerError: a block is not base64, or the file is past `limit` bytes.
    """
    if len(data) > limit:
        raise der.DerError(f"larger than {limit // 1024} KiB")
    blocks = []
    for label, body in _PEM.findall(data):
        try:
            content = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            raise der.DerError("PEM block is not base64") from None
        blocks.append((label.decode("ascii"), content))
    return blocks


def to_pem(label: str, content: bytes) -> bytes:
    """`content` as one PEM block, 64 characters to the line."""
    text = base64.b64encode(content).decode("ascii")
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
