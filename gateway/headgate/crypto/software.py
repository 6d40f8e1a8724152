"""The provider every machine can have: `cryptography` for SM3 and SM4, OpenSSL for SM2."""

from __future__ import annotations

import cryptography
from cryptography.hazmat.backends.openssl.backend import backend

from headgate.crypto import symmetric
from headgate.crypto.libcrypto import Libcrypto, candidates
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, ProviderInfo
from headgate.crypto.selftest import self_test
from headgate.crypto.sm2 import PrivateKey, PublicKey, Sm2
from headgate.errors import CryptoUnavailable, SecurityError


class SoftwareProvider:
    """SM cryptography in this process. Made by `find`; one instance serves all threads."""

    def __init__(self, library: Libcrypto) -> None:
        self._sm2 = Sm2(library)
        self._info = ProviderInfo(
            name="software",
            symmetric=f"cryptography {cryptography.__version__} ({backend.openssl_version_text()})",
            sm2=library.version,
            sm2_path=library.path,
        )

    @classmethod
    def find(cls, libcrypto: str | None = None) -> CryptoProvider:
        """The first library that loads and computes the standards' own examples right.

        Raises:
            CryptoUnavailable: none does; names each one tried and what was wrong with it.
        """
        tried = []
        for name in candidates(libcrypto):
            try:
                provider = cls(Libcrypto(name))
                self_test(provider)
            except SecurityError as error:
                reason = str(error)
                tried.append(reason if reason.startswith(name) else f"{name}: {reason}")
            else:
                return provider
        listing = "; ".join(tried)
        raise CryptoUnavailable(
            "SM2 is not available on this machine. Install OpenSSL 3.0 or newer built with SM2, "
            f"or name such a library file in {LIBCRYPTO_VARIABLE}. Tried: {listing}",
            tried=listing,
        )

    @property
    def info(self) -> ProviderInfo:
        """Who answers."""
        return self._info

    sm3 = staticmethod(symmetric.sm3)
    hmac_sm3 = staticmethod(symmetric.hmac_sm3)
    hkdf_sm3 = staticmethod(symmetric.hkdf_sm3)
    sm4_gcm_seal = staticmethod(symmetric.sm4_gcm_seal)
    sm4_gcm_open = staticmethod(symmetric.sm4_gcm_open)

    def sm2_generate(self) -> PrivateKey:
        """A fresh key pair."""
        return self._sm2.generate()

    def sm2_load_private(self, pem_or_der: bytes | bytearray) -> PrivateKey:
        """A key from unencrypted PKCS #8 or ECPrivateKey, PEM or DER."""
        return self._sm2.load_private(pem_or_der)

    def sm2_load_public(self, spki_der: bytes) -> PublicKey:
        """A key from SubjectPublicKeyInfo."""
        return self._sm2.load_public(spki_der)
