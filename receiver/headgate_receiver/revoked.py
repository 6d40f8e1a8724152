"""Gateway certificates that are no longer good: fingerprints as `certs show` prints them, and CAs' lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from headgate.crypto import encoding
from headgate.crypto.crl import RevocationList, check_signature
from headgate.crypto.der import DerError
from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import Certificate
from headgate.env import Files
from headgate.errors import CertificateRefused, ConfigError, Problem

_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{64}")
_LIST: Final = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
#: A city's list, and fingerprints beside it.
MAX_FILE: Final = 8 * 1024 * 1024


class Revoked:
    """What is revoked: SM3 of certificates, and serial numbers by the CA's name.

    A list stays in force when it is overdue: what it revokes was revoked.
    """

    def __init__(
        self, fingerprints: Iterable[bytes] = (), lists: Sequence[RevocationList] = ()
    ) -> None:
        self.fingerprints = frozenset(fingerprints)
        self._serials = {(each.issuer, serial) for each in lists for serial in each.revoked}

    def covers(self, fingerprint: bytes, der: bytes = b"") -> bool:
        """Whether a certificate is revoked, by its SM3 or (where it is at hand) by its CA's list."""
        if fingerprint in self.fingerprints:
            return True
        if not self._serials or not der:
            return False
        certificate = Certificate.load(der)
        return (certificate.issuer, certificate.serial) in self._serials

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self.fingerprints

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.fingerprints)

    def __len__(self) -> int:
        return len(self.fingerprints) + len(self._serials)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Revoked):
            return (self.fingerprints, self._serials) == (other.fingerprints, other._serials)
        return (
            isinstance(other, (set, frozenset)) and not self._serials and self.fingerprints == other
        )

    __hash__ = None  # type: ignore[assignment]  # compared, never a key


def read_revoked(
    path: Path,
    files: Files,
    anchors: Sequence[Certificate] = (),
    provider: CryptoProvider | None = None,
) -> Revoked:
    """What a file revokes: one fingerprint a line, and revocation lists (PEM) of the CAs in `anchors`.

    Empty lines and what follows a `#` are for people.

    Raises:
        ConfigError: the file cannot be read; lines of it are no fingerprints, or lists of no CA of ours.
    """
    try:
        if (files.size(path) or 0) > MAX_FILE:
            raise ValueError(f"larger than {MAX_FILE} bytes")
        text = files.read(path).decode("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), "HG-7006", {"reason": str(error)})]) from None
    lists: list[RevocationList] = []
    problems: list[Problem] = []
    for number, block in enumerate(_LIST.findall(text), 1):
        try:
            lists.append(_list(block, anchors, provider))
        except CertificateRefused as error:
            where = f"{path}: list {number}"
            problems.append(Problem(where, "HG-7032", {"reason": str(error)}))
    found: set[bytes] = set()
    # What was a list keeps its lines, so that those of fingerprints have their numbers.
    rest = _LIST.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(rest.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if _FINGERPRINT.fullmatch(written):
            found.add(bytes.fromhex(written))
        elif written:
            problems.append(Problem(f"{path}:{number}", "HG-7007", {"text": written[:80]}))
    if problems:
        # A list that is believed in part lets somebody in.
        raise ConfigError(problems)
    return Revoked(found, lists)


def _list(
    block: str, anchors: Sequence[Certificate], provider: CryptoProvider | None
) -> RevocationList:
    """A list that one of the CAs has signed. Raises CertificateRefused."""
    try:
        ((_, body),) = encoding.pem_blocks(block.encode("utf-8"))
    except (DerError, ValueError) as error:
        raise CertificateRefused(f"not a revocation list: {error}") from None
    crl = RevocationList.load(body)
    issuers = [each for each in anchors if each.subject == crl.issuer]
    if provider is None or not issuers:
        raise CertificateRefused(f"no CA in ca.crt is {crl.issuer_cn!r}, whose list this is")
    for issuer in issuers[:-1]:
        try:
            check_signature(crl, issuer, provider)
        except CertificateRefused:
            continue
        return crl
    check_signature(crl, issuers[-1], provider)
    return crl
