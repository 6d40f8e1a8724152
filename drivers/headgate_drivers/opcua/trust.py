"""Our application certificate, and whose certificates we trust: files in the state folder.

    opcua/own/certificate.der, key.pem       made by us, renewed by us
    opcua/trusted/*.der | *.pem              servers (or their CA) that a technician accepted
    opcua/trusted/*.crl                      what such a CA revoked
    opcua/issuers/*.der | *.pem | *.crl      CAs between such a CA and a server, where that does not send them
    opcua/rejected/*.der                     servers that were met and not accepted

An accepted certificate is taken as it is: its dates do not stop us, because a box without a clock must
still connect, and the technician has seen it. Source: OPC 10000-4 section 6.1, OPC 10000-12 annex F.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.sdk import ChannelClosed
from headgate_drivers.opcua.chain import Authorities, Verdict, hosts, parts

if TYPE_CHECKING:
    from headgate_drivers.opcua.settings import Settings

#: A new certificate is good for this long, and made anew when less than a month is left.
LIFETIME_DAYS, RENEW_DAYS = 3653, 30
#: A clock before this year was never set; what is made by it must last beyond the true date.
_UNSET_YEAR, _UNSET_DAYS = 2025, 36_525


class Seen(NamedTuple):
    """One certificate, for people. `thumbprint` is the SHA-1 that OPC UA tools show."""

    der: bytes
    name: str
    uri: str
    thumbprint: str
    sha256: str
    not_before: datetime
    not_after: datetime
    hosts: Sequence[str] = ()

    @property
    def file_name(self) -> str:
        """As OPC UA stacks name such files."""
        return (
            f"{re.sub(r'[^A-Za-z0-9._-]+', '_', self.name)[:60] or 'server'}_{self.thumbprint}.der"
        )


def seen(der: bytes) -> Seen:
    """What a certificate says. Raises ValueError: it is none."""
    certificate = _uacrypto().x509_from_der(der)
    hashes = _uacrypto().hashes
    names = [str(each.value) for each in certificate.subject]
    uris = []
    for extension in certificate.extensions:
        if extension.oid.dotted_string == "2.5.29.17":
            uris = [str(e.value) for e in extension.value if "Resource" in type(e).__name__]
    return Seen(
        der,
        names[-1] if names else "",
        uris[0] if uris else "",
        certificate.fingerprint(hashes.SHA1()).hex().upper(),
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        tuple(hosts(certificate)),
    )


class Trust:
    """The certificate files of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.folder
        #: Set when our certificate was made anew because it was about to expire.
        self.renewed: Path | None = None

    # ------------------------------------------------------------ ours

    async def own(self) -> tuple[Path, Path]:
        """(certificate, key) of our application, made or renewed when needed.

        Raises:
            ChannelClosed: the files cannot be made or read; tried again later.
        """
        if self._settings.certificate and self._settings.key:
            return Path(self._settings.certificate), Path(self._settings.key)
        certificate, key = self._folder / "own/certificate.der", self._folder / "own/key.pem"
        try:
            if not key.is_file() or self._due(certificate):
                renewal = key.is_file() and certificate.is_file()
                await self._make(certificate, key)
                self.renewed = certificate if renewal else None
        except (OSError, ValueError) as error:
            text = str(error)
            raise ChannelClosed(text, code="HG-3316", path=str(key.parent), reason=text) from error
        return certificate, key

    def _due(self, certificate: Path) -> bool:
        if not certificate.is_file():
            return True
        mine = seen(certificate.read_bytes())
        now = datetime.now(UTC)
        # A clock that was set back is no reason: servers know this certificate.
        return mine.uri != self._settings.application_uri or now > mine.not_after - timedelta(
            days=RENEW_DAYS
        )

    async def _make(self, certificate: Path, key: Path) -> None:
        from asyncua.crypto import cert_gen

        certificate.parent.mkdir(parents=True, exist_ok=True)
        renewal = key.is_file()  # noqa: ASYNC240 - a few small files, once a decade
        if renewal:  # the key stays
            private: Any = await _uacrypto().load_private_key(key)
        else:
            private = cert_gen.generate_private_key()
            _write(key, cert_gen.dump_private_key_as_pem(private), 0o600)
        unset = datetime.now(UTC).year < _UNSET_YEAR
        host = socket.gethostname()
        library: Any = cert_gen
        x509 = library.x509
        made: Any = library.generate_self_signed_app_certificate(
            private,
            f"Headgate {self._settings.gateway}",
            {},
            [
                x509.UniformResourceIdentifier(self._settings.application_uri),
                x509.DNSName(host),
            ],
            extended=[x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH],
            days=_UNSET_DAYS if unset else LIFETIME_DAYS,
        )
        _write(certificate, _uacrypto().der_from_x509(made), 0o644)

    # ------------------------------------------------------------ theirs

    def judge(self, chain: bytes, host: str) -> Verdict:
        """What to think of the certificate that a server at `host` shows, with those it sends behind it."""
        library = _uacrypto()
        now = datetime.now(UTC)
        read = self._certificates
        return Authorities(read("trusted"), read("issuers"), self._revocations()).judge(
            [library.x509_from_der(each) for each in parts(chain)],
            host,
            None if now.year < _UNSET_YEAR else now,
        )

    def accepts(self, certificate: Seen, host: str = "") -> bool:
        """Whether a technician has accepted this very certificate, or a CA that signed it for `host`."""
        return self.judge(certificate.der, host) == "accepted"

    def is_ageing(self, certificate: Seen) -> bool:
        """Whether it has expired, or will within the time in which we renew our own."""
        now = datetime.now(UTC)
        return now.year >= _UNSET_YEAR and now > certificate.not_after - timedelta(days=RENEW_DAYS)

    def reject(self, certificate: Seen) -> Path:
        """Keep a certificate aside for a technician to look at; the file."""
        path = self._folder / "rejected" / certificate.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, certificate.der, 0o644)
        return path

    def accept(self, certificate: Seen) -> Path:
        """Trust a certificate from now on; the file."""
        path = self._folder / "trusted" / certificate.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, certificate.der, 0o644)
        (self._folder / "rejected" / certificate.file_name).unlink(missing_ok=True)
        return path

    def forget(self, thumbprint: str) -> int:
        """Trust a certificate no more; how many files that were."""
        gone = 0
        for path in self._files("trusted"):
            if seen(_der(path)).thumbprint == thumbprint.upper():
                path.unlink()
                gone += 1
        return gone

    def trusted(self) -> Sequence[Seen]:
        """Everybody whom we trust."""
        return self._listed("trusted")

    def _files(self, kind: str, suffixes: Sequence[str] = (".der", ".pem", ".crt")) -> list[Path]:
        folder = self._folder / kind
        if not folder.is_dir():
            return []
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes)

    def _certificates(self, kind: str) -> list[Any]:
        return [_uacrypto().x509_from_der(each.der) for each in self._listed(kind)]

    def _revocations(self) -> list[Any]:
        """Revocation lists; one that cannot be read revokes nothing."""
        x509, found = _uacrypto().x509, []
        for path in (*self._files("trusted", (".crl",)), *self._files("issuers", (".crl",))):
            data = path.read_bytes()
            try:
                pem = b"-----BEGIN" in data
                found.append(x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data))
            except ValueError:
                continue
        return found

    def _listed(self, kind: str) -> list[Seen]:
        found = []
        for path in self._files(kind):
            try:
                found.append(seen(_der(path)))
            except ValueError:
                continue  # somebody else's file; it accepts nobody
        return found


def _uacrypto() -> Any:
    """The library's own door to cryptography: certificates are read through it alone."""
    from asyncua.crypto import uacrypto

    return uacrypto


def _der(path: Path) -> bytes:
    data = path.read_bytes()
    if b"-----BEGIN" not in data:
        return data
    library = _uacrypto()
    return bytes(library.der_from_x509(library.x509.load_pem_x509_certificate(data)))


def _write(path: Path, data: bytes, mode: int) -> None:
    """A whole file or none, with these rights from its first byte on."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
