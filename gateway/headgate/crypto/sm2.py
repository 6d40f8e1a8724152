"""SM2 by way of OpenSSL's EVP functions.

One context per call, freed in `finally`; keys are shared between threads read-only; ctypes lets
go of the interpreter lock while OpenSSL works. Source: OpenSSL 3.0, EVP_PKEY-SM2(7), SM2(7).
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from headgate.crypto import der, encoding
from headgate.crypto.libcrypto import Libcrypto
from headgate.crypto.provider import MAX_SM2_PLAINTEXT
from headgate.errors import SealBroken, SecurityError

_OK: Final = 1
_MAX_KEY_FILE: Final = 16 * 1024
_MAX_SIGNATURE: Final = 72
# SM2Cipher around a plaintext: two 33-octet integers, a 32-octet C3, and their headers.
_MAX_CIPHERTEXT: Final = MAX_SM2_PLAINTEXT + 160
_KEY_LABELS: Final = ("PRIVATE KEY", "EC PRIVATE KEY", "SM2 PRIVATE KEY")


class Sm2:
    """Key generation and loading over one library."""

    def __init__(self, library: Libcrypto) -> None:
        self.library = library

    def generate(self) -> PrivateKey:
        """A fresh key pair."""
        call = self.library.call
        call.ERR_clear_error()
        context = call.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)
        if not context:
            _fail(self.library, "SM2 is not in this library")
        try:
            handle = ctypes.c_void_p()
            if call.EVP_PKEY_keygen_init(context) != _OK:
                _fail(self.library, "SM2 key generation")
            if call.EVP_PKEY_generate(context, ctypes.byref(handle)) != _OK:
                _fail(self.library, "SM2 key generation")
        finally:
            call.EVP_PKEY_CTX_free(context)
        return PrivateKey(self.library, handle.value)

    def load_private(self, pem_or_der: bytes | bytearray) -> PrivateKey:
        """A key from unencrypted PKCS #8 or ECPrivateKey, PEM or DER. DER is not copied into `bytes`."""
        key = PrivateKey(self.library, self._parse("d2i_AutoPrivateKey", _key_der(pem_or_der)))
        key.check_halves()
        return key

    def load_public(self, spki_der: bytes) -> PublicKey:
        """A key from SubjectPublicKeyInfo in its one accepted form."""
        spki = bytes(spki_der)
        if not encoding.is_sm2_spki(spki):
            raise SecurityError("not an SM2 public key (named curve, uncompressed point)")
        return PublicKey(self.library, self._parse("d2i_PUBKEY", spki), spki)

    def _parse(self, function: str, data: bytes | bytearray) -> int:
        call = self.library.call
        call.ERR_clear_error()
        buffer = (ctypes.c_char * len(data)).from_buffer_copy(data)
        try:
            start = ctypes.addressof(buffer)
            at = ctypes.c_void_p(start)
            handle = getattr(call, function)(None, ctypes.byref(at), len(data))
            used = (at.value or start) - start
        finally:
            call.OPENSSL_cleanse(buffer, len(data))
        if not handle:
            raise SecurityError(f"not an SM2 key: {self.library.last_error()}")
        if used != len(data) or call.EVP_PKEY_is_a(handle, b"SM2") != _OK:
            call.EVP_PKEY_free(handle)
            raise SecurityError("not an SM2 key: another algorithm, or bytes after the key")
        return int(handle)


class PublicKey:
    """One SM2 public key held by the library."""

    def __init__(self, library: Libcrypto, handle: int, spki: bytes) -> None:
        self._library = library
        self._handle = handle
        self._spki = spki
        _free_with(self, library, handle)

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER, 91 bytes."""
        return self._spki

    def __repr__(self) -> str:
        return f"<SM2 public key {self._spki[-64:-60].hex()}...>"

    def __reduce__(self) -> NoReturn:
        # A copy would share the library's pointer and outlive it.
        raise TypeError("a public key is not pickled or copied; use spki")

    def verify(self, signature_der: bytes, message: bytes) -> bool:
        """Whether the key's owner signed `message` with ID 1234567812345678."""
        signature, message = bytes(signature_der), bytes(message)
        # Longer cannot be a signature; the library re-encodes and compares what is shorter.
        if not 0 < len(signature) <= _MAX_SIGNATURE:
            return False
        with _digest_context(self._library, self._handle, "EVP_DigestVerifyInit") as context:
            outcome = self._library.call.EVP_DigestVerify(
                context, signature, len(signature), message, len(message)
            )
        if outcome != _OK:
            self._library.call.ERR_clear_error()
        return bool(outcome == _OK)

    def encrypt(self, plaintext: bytes) -> bytes:
        """`plaintext` (1 byte to 64 KiB) as ASN.1 SM2Cipher, C1 C3 C2."""
        plaintext = bytes(plaintext)
        # OpenSSL answers an empty plaintext with "malloc failure".
        if not 0 < len(plaintext) <= MAX_SM2_PLAINTEXT:
            raise ValueError(f"SM2 encrypts 1 to {MAX_SM2_PLAINTEXT} bytes, not {len(plaintext)}")
        done = _transform(self._library, self._handle, "EVP_PKEY_encrypt", plaintext)
        if done is None:
            _fail(self._library, "SM2 encryption")
        return done


class PrivateKey:
    """One SM2 private key held by the library; nothing that prints shows it."""

    def __init__(self, library: Libcrypto, handle: int | None) -> None:
        if not handle:
            _fail(library, "SM2 key")
        self._library = library
        self._handle = handle
        _free_with(self, library, handle)
        self._public = Sm2(library).load_public(
            bytes(_write(library, library.call.i2d_PUBKEY, handle, "SM2 public key"))
        )

    @property
    def public(self) -> PublicKey:
        """The other half."""
        return self._public

    def __repr__(self) -> str:
        return f"<SM2 private key of {self._public!r}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied; use pem()")

    def check_halves(self) -> None:
        """Refuse a file whose public half is not the private half's own (OpenSSL takes it)."""
        call = self._library.call
        call.ERR_clear_error()
        context = call.EVP_PKEY_CTX_new_from_pkey(None, self._handle, None)
        try:
            if not context or call.EVP_PKEY_pairwise_check(context) != _OK:
                _fail(self._library, "SM2 key check (private and public half)")
        finally:
            call.EVP_PKEY_CTX_free(context)

    def sign(self, message: bytes) -> bytes:
        """A DER signature with SM3 and ID 1234567812345678."""
        message = bytes(message)
        signature = ctypes.create_string_buffer(_MAX_SIGNATURE)
        size = ctypes.c_size_t(_MAX_SIGNATURE)
        with _digest_context(self._library, self._handle, "EVP_DigestSignInit") as context:
            outcome = self._library.call.EVP_DigestSign(
                context, signature, ctypes.byref(size), message, len(message)
            )
        if outcome != _OK:
            _fail(self._library, "SM2 signature")
        return signature.raw[: size.value]

    def decrypt(self, ciphertext_der: bytes) -> bytes:
        """What `PublicKey.encrypt` was given."""
        ciphertext = bytes(ciphertext_der)
        done = None
        if len(ciphertext) <= _MAX_CIPHERTEXT and encoding.is_ciphertext(ciphertext):
            done = _transform(self._library, self._handle, "EVP_PKEY_decrypt", ciphertext)
        if done is None:
            # One sentence for every cause: which check failed is nobody's business outside.
            self._library.call.ERR_clear_error()
            raise SealBroken("SM2 ciphertext does not open: altered, or for another key")
        return done

    def pem(self) -> bytes:
        """The key as unencrypted PKCS #8 PEM."""
        return encoding.to_pem("PRIVATE KEY", bytes(self.pkcs8()))

    def pkcs8(self) -> bytearray:
        """The key as unencrypted PKCS #8 DER, for whoever wipes it after use."""
        call = self._library.call
        call.ERR_clear_error()
        info = call.EVP_PKEY2PKCS8(self._handle)
        if not info:
            _fail(self._library, "PKCS #8")
        try:
            return _write(self._library, call.i2d_PKCS8_PRIV_KEY_INFO, info, "PKCS #8")
        finally:
            call.PKCS8_PRIV_KEY_INFO_free(info)


def _key_der(data: bytes | bytearray) -> bytes | bytearray:
    """The DER of the one private key in `data`; EC parameters beside it are skipped."""
    if not 0 < len(data) <= _MAX_KEY_FILE:
        raise SecurityError(f"not a private key: {len(data)} bytes")
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    try:
        blocks = encoding.pem_blocks(bytes(data))
    except der.DerError as error:
        raise SecurityError(f"not a private key: {error}") from None
    if any(label == "ENCRYPTED PRIVATE KEY" for label, _ in blocks):
        raise SecurityError(
            "the private key is encrypted; "
            "decrypt it first (openssl pkey -in KEY -out KEY.plain) and keep the file 0600"
        )
    keys = [content for label, content in blocks if label in _KEY_LABELS]
    if len(keys) != 1:
        raise SecurityError(f"expected one private key in the PEM, found {len(keys)}")
    return keys[0]


def _free_with(owner: object, library: Libcrypto, handle: int) -> None:
    # At interpreter exit the process gives the memory back; freeing then can meet a closed library.
    weakref.finalize(owner, library.call.EVP_PKEY_free, handle).atexit = False


def _fail(library: Libcrypto, what: str) -> NoReturn:
    raise SecurityError(f"{what} failed: {library.last_error()}")


def _write(library: Libcrypto, function: Any, handle: int, what: str) -> bytearray:
    """The DER an `i2d_` function gives for `handle`."""
    size = function(handle, None)
    if size <= 0:
        _fail(library, what)
    buffer = ctypes.create_string_buffer(size)
    try:
        at = ctypes.c_void_p(ctypes.addressof(buffer))
        if function(handle, ctypes.byref(at)) != size:
            _fail(library, what)
        return bytearray(memoryview(buffer))
    finally:
        library.call.OPENSSL_cleanse(buffer, size)


def _transform(library: Libcrypto, handle: int, function: str, data: bytes) -> bytes | None:
    """The result of `EVP_PKEY_encrypt` or `EVP_PKEY_decrypt`; `None` when the library refuses."""
    call = library.call
    call.ERR_clear_error()
    context = call.EVP_PKEY_CTX_new_from_pkey(None, handle, None)
    if not context:
        _fail(library, function)
    try:
        if getattr(call, f"{function}_init")(context) != _OK:
            _fail(library, function)
        # Ample for both directions, so the size query (wrong in some releases) is not needed.
        size = ctypes.c_size_t(len(data) + 256)
        buffer = ctypes.create_string_buffer(size.value)
        try:
            done = getattr(call, function)(context, buffer, ctypes.byref(size), data, len(data))
            return buffer.raw[: size.value] if done == _OK else None
        finally:
            call.OPENSSL_cleanse(buffer, len(buffer))
    finally:
        call.EVP_PKEY_CTX_free(context)


@contextmanager
def _digest_context(library: Libcrypto, handle: int, initialise: str) -> Iterator[int]:
    """An EVP_MD_CTX ready to sign or verify with SM3 and the default ID."""
    call = library.call
    call.ERR_clear_error()
    context = call.EVP_MD_CTX_new()
    key = call.EVP_PKEY_CTX_new_from_pkey(None, handle, None)
    try:
        if not context or not key:
            _fail(library, "SM2 context")
        if call.EVP_PKEY_CTX_set1_id(key, encoding.SM2_ID, len(encoding.SM2_ID)) != _OK:
            _fail(library, "SM2 ID")
        call.EVP_MD_CTX_set_pkey_ctx(context, key)
        if getattr(call, initialise)(context, None, call.EVP_sm3(), None, handle) != _OK:
            _fail(library, "SM2 with SM3")
        yield context
    finally:
        # The digest context borrows the key context, so it goes first.
        call.EVP_MD_CTX_free(context)
        call.EVP_PKEY_CTX_free(key)
