"""The keys of people who command, behind one seam: a PEM file here, an HSM or a token where there is one.

An operator's key signs commands and approvals and nothing else. It belongs to a person (or to the platform's
service), so that the audit log of a box can say who.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Files
from headgate.errors import ConfigError, Problem, SecurityError


class OperatorKeys(Protocol):
    """What is asked of an operator's key. `sign` may take a network's time, or a person's PIN."""

    @property
    def certificates(self) -> Sequence[Certificate]:
        """The operator's certificate (role `headgate-operator`), then its intermediates; at most 4."""
        ...

    async def sign(self, message: bytes) -> bytes:
        """A DER signature over `message`: SM2 with SM3, ID 1234567812345678."""
        ...


class OperatorFile:
    """A key in memory, from a PEM file."""

    def __init__(self, key: Sm2PrivateKey, certificates: Sequence[Certificate]) -> None:
        self._key = key
        self._certificates = tuple(certificates)

    @property
    def certificates(self) -> Sequence[Certificate]:
        """The operator's own, then its intermediates."""
        return self._certificates

    async def sign(self, message: bytes) -> bytes:
        """SM2 signature by the key in memory."""
        return self._key.sign(message)


def load_operator(
    key: Path, certificate: Path | None, provider: CryptoProvider, files: Files
) -> OperatorFile:
    """An operator's key and certificate.

    Args:
        key: PEM, unencrypted PKCS #8, for its owner's eyes alone.
        certificate: PEM, the operator's own first; beside the key, with `.crt`, when None.

    Raises:
        ConfigError: every file that is missing, not what it should be, or somebody else's.
    """
    chain = certificate or key.with_suffix(".crt")
    problems: list[Problem] = []
    found: dict[Path, bytes] = {}
    for path in (key, chain):
        try:
            found[path] = files.read(path)
        except OSError as error:
            reason = error.strerror or str(error)
            problems.append(Problem(str(path), "HG-7101", {"reason": reason}))
    if problems:
        raise ConfigError(problems)
    try:
        certificates = load_certificates(found[chain])
        private = provider.sm2_load_private(found[key])
    except SecurityError as error:
        raise ConfigError([Problem(str(key), "HG-7002", {"reason": str(error)})]) from None
    own = certificates[0]
    if own.spki != private.public.spki or own.role is not Role.OPERATOR:
        wrong = "key" if own.spki != private.public.spki else "role"
        role = Role.OPERATOR.value
        raise ConfigError([Problem(str(chain), "HG-7003", {"wrong": wrong, "role": role})])
    return OperatorFile(private, certificates)
