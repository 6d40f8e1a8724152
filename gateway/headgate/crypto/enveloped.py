"""SM2EnvelopedKey: how a key centre hands an encryption key to the holder of a signing key.

    data = seal_enveloped(signing_public_key, encryption_key, env.random.token(16))
    key = open_enveloped(provider, signing_key, data)      # on the box, or inside a module

    SM2EnvelopedKey ::= SEQUENCE {
        symAlgID                AlgorithmIdentifier,   -- SM4-ECB
        symEncryptedKey         SM2Cipher,             -- an SM4 key, for the signing key
        sm2PublicKey            BIT STRING,            -- 04 || x || y of the encryption key
        sm2EncryptedPrivateKey  BIT STRING }           -- its 32 bytes, SM4-ECB

Nothing in it says who made it: it must come with a certificate for the public key in it, and the
caller compares the two. ECB is the standard's choice; it covers two blocks of a random number under
a key used once. The private key is wiped from our memory after use; the SM4 key, and what OpenSSL
copies, are left to Python. Source: GB/T 35276-2017, section 7.4 (= GM/T 0009); OIDs: GB/T 33560-2017.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB

from headgate.crypto import der, encoding
from headgate.crypto.custody import Exportable, wipe
from headgate.crypto.provider import SM4_KEY_SIZE, CryptoProvider, Sm2PrivateKey, Sm2PublicKey
from headgate.errors import SealBroken, SecurityError

PEM_LABEL: Final = "SM2 ENVELOPED KEY"
MAX_ENVELOPED: Final = 1024

_OID_SM4_ECB: Final = "1.2.156.10197.1.104.1"
# The standard fixes the mode, so some centres name the cipher alone.
_OID_SM4: Final = "1.2.156.10197.1.104"
_SCALAR: Final = 32
_BLOCK: Final = 16
_OCTETS_32: Final = bytes((der.OCTET_STRING, _SCALAR))
# ECPrivateKey (RFC 5915): version 1, then the key.
_EC_PRIVATE_KEY: Final = der.integer(1) + _OCTETS_32


def seal_enveloped(holder: Sm2PublicKey, key: Sm2PrivateKey, sm4_key: bytes) -> bytes:
    """`key` as DER that only the holder of the private half of `holder` opens.

    Args:
        holder: the public key of the signing certificate.
        key: the encryption key pair; it must be one that leaves its module.
        sm4_key: 16 fresh random bytes.
    """
    scalar = _scalar(key)
    try:
        encrypted = _ecb(sm4_key).encryptor().update(scalar)
    finally:
        wipe(scalar)
    return der.sequence(
        der.sequence(der.oid(_OID_SM4_ECB), der.encode(der.NULL, b"")),
        holder.encrypt(sm4_key),
        der.bits(encoding.point(key.public.spki)),
        der.bits(encrypted),
    )


def open_enveloped(
    provider: CryptoProvider, signing_key: Sm2PrivateKey, data: bytes
) -> Sm2PrivateKey:
    """The encryption key in `data`, DER or PEM; its private and public half belong together.

    Raises:
        SecurityError: malformed, another cipher, or a private key that is not the public one's.
        SealBroken: for another signing key, or altered.
    """
    try:
        cipher, wrapped, point, encrypted = _parse(_one(bytes(data)))
    except der.DerError as error:
        raise SecurityError(
            f"not an SM2EnvelopedKey: {error}", code="HG-6200", reason=str(error)
        ) from None
    if cipher not in (_OID_SM4_ECB, _OID_SM4):
        raise SecurityError(
            f"the key centre encrypted with {cipher}; only SM4 is read",
            code="HG-6201",
            cipher=cipher,
        )
    sm4_key = signing_key.decrypt(wrapped)
    if len(sm4_key) != SM4_KEY_SIZE:
        raise SealBroken("the wrapped key is no SM4 key")
    plain = bytearray(len(encrypted) + _BLOCK - 1)  # the library wants room for a block
    form = bytearray(encoding.pkcs8(bytes(_SCALAR), point))
    try:
        _ecb(sm4_key).decryptor().update_into(encrypted, plain)
        start = _scalar_at(plain, len(encrypted))
        hole = form.index(_OCTETS_32 + bytes(_SCALAR)) + len(_OCTETS_32)
        form[hole : hole + _SCALAR] = memoryview(plain)[start : start + _SCALAR]
        # Loading checks both halves against each other: a changed block shows here.
        return provider.sm2_load_private(form)
    except SecurityError:
        raise SecurityError(
            "the private key inside does not belong to the public key beside it", code="HG-6202"
        ) from None
    finally:
        wipe(plain)
        wipe(form)


def enveloped_spki(data: bytes) -> bytes:
    """Whose private key `data` (DER or PEM) holds, without opening it: SubjectPublicKeyInfo.

    Raises:
        SecurityError: malformed.
    """
    try:
        return encoding.spki(_parse(_one(bytes(data)))[2])
    except der.DerError as error:
        raise SecurityError(
            f"not an SM2EnvelopedKey: {error}", code="HG-6200", reason=str(error)
        ) from None


def to_pem(data: bytes) -> bytes:
    """The DER of `seal_enveloped` as one PEM block."""
    return encoding.to_pem(PEM_LABEL, data)


def _one(data: bytes) -> bytes:
    if b"-----BEGIN" not in data:
        return data
    found = [body for label, body in encoding.pem_blocks(data) if label == PEM_LABEL]
    if len(found) != 1:
        raise der.DerError(f"expected one {PEM_LABEL} block, found {len(found)}")
    return found[0]


def _parse(data: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Cipher OID, SM2Cipher, point, encrypted private key."""
    if len(data) > MAX_ENVELOPED:
        raise der.DerError(f"larger than {MAX_ENVELOPED} bytes")
    outer = der.whole(data)
    algorithm = outer.inside()
    cipher = algorithm.oid()
    # Absent or NULL: ECB has no parameters; some centres leave an empty string.
    if algorithm.peek() is not None and algorithm.element().content:
        raise der.DerError("parameters of a cipher that has none")
    algorithm.end()
    wrapped = outer.element(der.SEQUENCE).raw
    point = outer.bits()
    encrypted = outer.bits()
    outer.end()
    if not encoding.is_sm2_spki(encoding.spki(point)):
        raise der.DerError("the public key is not an uncompressed SM2 point")
    if len(encrypted) not in (_SCALAR, _SCALAR + _BLOCK, 2 * _SCALAR):
        raise der.DerError("the encrypted private key has an impossible length")
    return cipher, wrapped, point, encrypted


def _scalar_at(plain: bytearray, size: int) -> int:
    """Where the 32 bytes of the key begin: bare, as the standard has it, or padded before or behind.

    PKCS #7 padding follows it (48 bytes); GM/T 0016's ENVELOPEDKEYBLOB has 64 bytes for keys of up to
    512 bits, so zeros stand before it. No check of either: a key that is not the public one's is refused.
    """
    return size - _SCALAR if size == 2 * _SCALAR else 0


def _scalar(key: Sm2PrivateKey) -> bytearray:
    if not isinstance(key, Exportable):
        raise SecurityError("this key does not leave its module", code="HG-6122")
    content = key.pkcs8()
    try:
        start = content.index(_EC_PRIVATE_KEY) + len(_EC_PRIVATE_KEY)
        return bytearray(memoryview(content)[start : start + _SCALAR])
    finally:
        wipe(content)


def _ecb(key: bytes) -> Cipher[ECB]:
    return Cipher(SM4(key), ECB())  # noqa: S305 - the standard's mode, see above
