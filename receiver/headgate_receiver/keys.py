"""The platform's private keys, behind one seam: PEM files here, an HSM or KMS where the city has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Files
from headgate.errors import ConfigError, Problem, SealBroken, SecurityError


class PlatformKeys(Protocol):
    """What the receiver asks of the platform's keys. Both calls may take a network's time."""

    @property
    def recipients(self) -> Sequence[bytes]:
        """SM3 of the encryption certificates that grants may be addressed to; the newest first."""
        ...

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        """SM2 decryption (ASN.1, C1 C3 C2) by the key of the certificate with this SM3.

        Raises:
            SealBroken: the ciphertext is not for that key.
        """
        ...

    async def sign(self, message: bytes) -> bytes:
        """A DER signature by the receipt key: SM2 with SM3, ID 1234567812345678."""
        ...


class FileKeys:
    """Keys in memory, from PEM files. The encryption and the receipt key are never the same."""

    def __init__(self, encryption: Mapping[bytes, Sm2PrivateKey], receipt: Sm2PrivateKey) -> None:
        if any(key.public.spki == receipt.public.spki for key in encryption.values()):
            raise SecurityError("the receipt key must not be an encryption key", code="HG-7004")
        self._encryption = encryption
        self._receipt = receipt

    @property
    def recipients(self) -> Sequence[bytes]:
        """SM3 of the encryption certificates."""
        return tuple(self._encryption)

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        """SM2 decryption."""
        key = self._encryption.get(certificate)
        if key is None:
            raise SealBroken("the grant names a certificate that is not ours")
        return key.decrypt(ciphertext)

    async def sign(self, message: bytes) -> bytes:
        """SM2 signature by the receipt key."""
        return self._receipt.sign(message)


def load_keys(
    folder: Path, provider: CryptoProvider, files: Files
) -> tuple[FileKeys, tuple[Certificate, ...]]:
    """The platform's keys and the trust anchors for gateways, from a folder as `certs dev` makes it.

    `ca.crt` (one or more), `platform-encryption.crt/.key`, `platform-receipt.crt/.key`.

    Raises:
        ConfigError: every file that is missing or not what it should be.
    """
    problems: list[Problem] = []

    def load(name: str) -> bytes | None:
        try:
            return files.read(folder / name)
        except OSError as error:
            problems.append(
                Problem(str(folder / name), "HG-7001", {"reason": error.strerror or str(error)})
            )
            return None

    def pair(stem: str, role: Role) -> tuple[Certificate, Sm2PrivateKey] | None:
        certificate_pem, key_pem = load(f"{stem}.crt"), load(f"{stem}.key")
        if certificate_pem is None or key_pem is None:
            return None
        try:
            certificate = Certificate.load(certificate_pem)
            key = provider.sm2_load_private(key_pem)
        except SecurityError as error:
            problems.append(Problem(str(folder / stem), "HG-7002", {"reason": str(error)}))
            return None
        if key.public.spki != certificate.spki or certificate.role is not role:
            wrong = "key" if key.public.spki != certificate.spki else "role"
            problems.append(
                Problem(str(folder / stem), "HG-7003", {"wrong": wrong, "role": role.value})
            )
            return None
        return certificate, key

    encryption = pair("platform-encryption", Role.PLATFORM_ENCRYPTION)
    receipt = pair("platform-receipt", Role.PLATFORM_RECEIPT)
    anchors: tuple[Certificate, ...] = ()
    if (pem := load("ca.crt")) is not None:
        try:
            anchors = load_certificates(pem)
        except SecurityError as error:
            problems.append(Problem(str(folder / "ca.crt"), "HG-7002", {"reason": str(error)}))
    if problems or encryption is None or receipt is None:
        raise ConfigError(problems)
    return FileKeys({encryption[0].fingerprint: encryption[1]}, receipt[1]), anchors
