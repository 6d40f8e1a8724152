"""The files of one CA, and the lock that lets one program write at a time.

ca.crt  chain.crt  ca.key  ca.crl  register.jsonl  issued/<serial>.crt  issued/<serial>.enveloped
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headgate.crypto.authority.keyfile import unusable
from headgate.crypto.authority.register import Issued
from headgate.crypto.crl import RevocationList
from headgate.crypto.x509 import Certificate, load_certificates
from headgate.env import Files
from headgate.errors import SecurityError

CERTIFICATE_FILE: Final = "ca.crt"
CHAIN_FILE: Final = "chain.crt"
CRL_FILE: Final = "ca.crl"

_ISSUED: Final = "issued"
_LOCK: Final = "lock"
_MAX_FILE: Final = 256 * 1024


class CaFolder:
    """Reads and writes by what a file means. Everything written is on disk when a method returns.

    Raises:
        SecurityError: from every method, when the disk refuses or a file is not what it must be.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self.path = path

    def read(self, name: str) -> bytes:
        """One of the CA's own files."""
        return self._read(self.path / name)

    def write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """One of the CA's own files, whole."""
        self._write(self.path / name, content, mode)

    def has(self, name: str) -> bool:
        """Whether one of the CA's own files is there."""
        return self._has(self.path / name)

    def make(self) -> None:
        """The folder itself, for its owner alone, and in it the one for what will be issued."""
        try:
            self._files.make_folder(self.path, 0o700)
            self._files.make_folder(self.path / _ISSUED)
            # A name is on the medium when its folder was synced; the files in it say nothing of that.
            self._files.sync_folder(self.path)
            self._files.sync_folder(self.path.parent)
        except OSError as error:
            raise unusable(self.path, error) from None

    def chain(self) -> tuple[Certificate, ...]:
        """The CA's certificate and those above it."""
        return load_certificates(self.read(CHAIN_FILE))

    def keep_list(self, crl: RevocationList) -> None:
        """The newest revocation list."""
        self.write(CRL_FILE, crl.pem())

    # ------------------------------------------------------------ what was issued

    def keep(self, issued: Issued, certificate: Certificate) -> None:
        """A certificate of the register."""
        self._write(self._issued(issued, "crt"), certificate.pem())

    def keep_enveloped(self, issued: Issued, enveloped: bytes) -> None:
        """The encryption key that belongs to a certificate, as only its holder opens it."""
        self._write(self._issued(issued, "enveloped"), enveloped)

    def kept(self, issued: Issued) -> bool:
        """Whether the certificate's file is there: nobody was given one whose file is not."""
        return self._has(self._issued(issued, "crt"))

    def certificate(self, issued: Issued) -> Certificate:
        """A certificate of the register."""
        return Certificate.load(self._read(self._issued(issued, "crt")))

    def enveloped(self, issued: Issued) -> bytes:
        """The encryption key that was sealed for its holder."""
        return self._read(self._issued(issued, "enveloped"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes to this CA."""
        path = self.path / _LOCK
        try:
            held = self._files.lock(path)
        except OSError as error:
            raise unusable(path, error) from None
        if held is None:
            raise SecurityError("another program writes to this CA", code="HG-6217")
        try:
            yield
        finally:
            self._files.unlock(held)

    # ------------------------------------------------------------ inside

    def _issued(self, issued: Issued, suffix: str) -> Path:
        return self.path / _ISSUED / f"{issued.serial}.{suffix}"

    def _read(self, path: Path) -> bytes:
        try:
            return self._files.read(path, 0, _MAX_FILE)
        except OSError as error:
            raise unusable(path, error) from None

    def _has(self, path: Path) -> bool:
        try:
            return self._files.size(path) is not None
        except OSError as error:
            raise unusable(path, error) from None

    def _write(self, path: Path, content: bytes, mode: int = 0o644) -> None:
        try:
            self._files.replace(path, content, mode)
        except OSError as error:
            raise unusable(path, error) from None
