"""The platform's private keys, behind one seam: PEM files here, an HSM or KMS where the city has one.

A platform's keys change while gateways hold backlogs of weeks: encryption keys are retired and still open
what was sealed for them; receipt keys overlap, and a receipt then bears a signature by each. How to write
an adapter for a hardware module: docs/operate/platform-keys.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final, Protocol

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Files
from headgate.errors import (
    CertificateRefused,
    ConfigError,
    HeadgateError,
    Problem,
    SealBroken,
    SecurityError,
)


class KeysUnavailable(HeadgateError):
    """The keys do not answer now: nothing is refused for that, the same is asked again later."""

    retryable = True
    default_code = "HG-7028"


class PlatformKeys(Protocol):
    """What the receiver asks of the platform's keys. The calls may take a network's time, several at once."""

    @property
    def recipients(self) -> Sequence[bytes]:
        """SM3 of the encryption certificates whose keys can open grants; the newest first."""
        ...

    @property
    def retired(self) -> Collection[bytes]:
        """Those of `recipients` that open what is old: new grants should not be for them."""
        ...

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        """SM2 decryption (ASN.1, C1 C3 C2) by the key of the certificate with this SM3.

        Raises:
            SealBroken: the ciphertext is not for that key.
            KeysUnavailable: no answer now.
        """
        ...

    async def sign(self, message: bytes) -> Sequence[bytes]:
        """DER signatures (SM2 with SM3, ID 1234567812345678), one by each receipt key in use.

        Raises:
            KeysUnavailable: no answer now.
        """
        ...


class FileKeys:
    """Keys in memory, from PEM files. An encryption and a receipt key are never the same.

    Args:
        encryption: keys by the SM3 of their certificates, the newest first.
        receipt: the receipt key, or those that sign while one replaces the other.
        retired: SM3 of certificates in `encryption` that are for old grants only.
    """

    def __init__(
        self,
        encryption: Mapping[bytes, Sm2PrivateKey],
        receipt: Sm2PrivateKey | Sequence[Sm2PrivateKey],
        retired: Iterable[bytes] = (),
    ) -> None:
        self._receipts = tuple(receipt) if isinstance(receipt, Sequence) else (receipt,)
        receipts = {key.public.spki for key in self._receipts}
        if any(key.public.spki in receipts for key in encryption.values()):
            raise SecurityError("the receipt key must not be an encryption key", code="HG-7004")
        self._encryption = encryption
        self._retired = frozenset(retired)

    @property
    def recipients(self) -> Sequence[bytes]:
        """SM3 of the encryption certificates."""
        return tuple(self._encryption)

    @property
    def retired(self) -> Collection[bytes]:
        """Those that are for old grants only."""
        return self._retired

    async def unwrap(self, certificate: bytes, ciphertext: bytes) -> bytes:
        """SM2 decryption."""
        key = self._encryption.get(certificate)
        if key is None:
            raise SealBroken("the grant names a certificate that is not ours")
        return key.decrypt(ciphertext)

    async def sign(self, message: bytes) -> Sequence[bytes]:
        """SM2 signatures by the receipt keys."""
        return tuple(key.sign(message) for key in self._receipts)


#: Pairs of a folder by role, those that need not be there last.
_ENCRYPTION: Final = ("platform-encryption-next", "platform-encryption")
_RECEIPT: Final = ("platform-receipt", "platform-receipt-next")
_NEEDED: Final = ("platform-encryption", "platform-receipt")
RETIRED: Final = "retired"


def load_keys(
    folder: Path, provider: CryptoProvider, files: Files
) -> tuple[FileKeys, tuple[Certificate, ...]]:
    """The platform's keys and the trust anchors for gateways, from a folder as `certs dev` makes it.

    `ca.crt` (one or more), `platform-encryption.crt/.key`, `platform-receipt.crt/.key`; while keys change
    also `platform-encryption-next` and `platform-receipt-next`; in `retired/` any number of encryption
    pairs that open what is old.

    Raises:
        ConfigError: every file that is missing or not what it should be.
    """
    reader = _Reader(folder, provider, files)
    encryption = {}
    for stem in _ENCRYPTION:
        if found := reader.pair(stem, Role.PLATFORM_ENCRYPTION):
            encryption[found[0].fingerprint] = found[1]
    retired = {}
    for stem in reader.stems(RETIRED):
        if found := reader.pair(stem, Role.PLATFORM_ENCRYPTION):
            retired[found[0].fingerprint] = found[1]
    pairs = [reader.pair(stem, Role.PLATFORM_RECEIPT) for stem in _RECEIPT]
    receipts = [found[1] for found in pairs if found is not None]
    anchors = reader.anchors("ca.crt")
    if reader.problems:
        raise ConfigError(reader.problems)
    # What is in use and retired too is in use: a name in two folders is no reason to open nothing.
    only_old = retired.keys() - encryption.keys()
    return FileKeys({**encryption, **retired, **encryption}, receipts, only_old), anchors


class _Reader:
    """Reads a folder of keys; collects everything that is wrong with it."""

    def __init__(self, folder: Path, provider: CryptoProvider, files: Files) -> None:
        self._folder = folder
        self._provider = provider
        self._files = files
        self.problems: list[Problem] = []

    def stems(self, below: str) -> list[str]:
        """The pairs in a folder below, the last one of the alphabet (the latest date) first."""
        try:
            names = self._files.list(self._folder / below)
        except OSError:
            return []
        stems = {PurePath(name).stem for name in names if name.endswith((".crt", ".key"))}
        return [f"{below}/{stem}" for stem in sorted(stems, reverse=True)]

    def pair(self, stem: str, role: Role) -> tuple[Certificate, Sm2PrivateKey] | None:
        """A certificate and its key; None when there is none, or `problems` tells."""
        needed = stem in _NEEDED
        there = [self._files.size(self._folder / f"{stem}.{end}") for end in ("crt", "key")]
        if not needed and there == [None, None]:
            return None
        certificate_pem, key_pem = self._load(f"{stem}.crt"), self._load(f"{stem}.key")
        if certificate_pem is None or key_pem is None:
            return None
        try:
            # The holder's own, and behind it the CAs below the root, as the CA wrote the file.
            certificate, *above = load_certificates(certificate_pem)
            if not all(each.is_ca for each in above):
                raise CertificateRefused("more than one certificate that is no CA's")
            key = self._provider.sm2_load_private(key_pem)
        except SecurityError as error:
            self._problem(stem, "HG-7002", reason=str(error))
            return None
        if key.public.spki != certificate.spki or certificate.role is not role:
            wrong = "key" if key.public.spki != certificate.spki else "role"
            self._problem(stem, "HG-7003", wrong=wrong, role=role.value)
            return None
        return certificate, key

    def anchors(self, name: str) -> tuple[Certificate, ...]:
        """The certificates of a bundle."""
        pem = self._load(name)
        if pem is None:
            return ()
        try:
            return load_certificates(pem)
        except SecurityError as error:
            self._problem(name, "HG-7002", reason=str(error))
            return ()

    def _load(self, name: str) -> bytes | None:
        try:
            return self._files.read(self._folder / name)
        except OSError as error:
            self._problem(name, "HG-7001", reason=error.strerror or str(error))
            return None

    def _problem(self, name: str, code: str, **fields: str) -> None:
        self.problems.append(Problem(str(self._folder / name), code, dict(fields)))
