"""Puts an enrolment service together over a CA's folder: its TLS, its bundle, what it hands out besides.

CA/enrolment/tls-root.crt .key     a root for the service's own TLS, made once
CA/enrolment/server.crt .key       what it shows, made anew when its names or its time are over
CA/enrolment/tokens.json           digests of tokens
CA/enrolment/audit/                what it did and refused
CA/enrolment/give/                 files for every gateway: the platform's certificates, lists
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from headgate.crypto.authority import CertificateAuthority
from headgate.crypto.tls_server import TlsPair, issue_server, make_root, serves
from headgate.env import Env
from headgate.link.service import server_context
from headgate.runtime.enrolment.bag import MAX_FILE, MAX_FILES, sort_out
from headgate.runtime.enrolment.protocol import Bundle
from headgate.runtime.enrolment.service import bundle_of

FOLDER: Final = "enrolment"
GIVE: Final = "give"
_LISTS: Final = (".crl",)
_RENEWED_BEFORE: Final = timedelta(days=60)


class Hosting:
    """The files of one service. Raises OSError where they cannot be read or written."""

    def __init__(self, env: Env, ca_folder: Path, authority: CertificateAuthority) -> None:
        self._env = env
        self._ca = ca_folder
        self.folder = ca_folder / FOLDER
        self._authority = authority

    def bundle(self) -> Bundle:
        """What `GET /ca` gives; the TLS root is made when there is none."""
        return bundle_of(self._authority.chain, [self._root().certificate])

    def context(self, names: Sequence[str]) -> ssl.SSLContext:
        """TLS for these names.

        Raises:
            SecurityError: the root is damaged.
        """
        files = self._env.files
        certificate, key = self.folder / "server.crt", self.folder / "server.key"
        now = self._authority.now()
        fresh = files.size(certificate) is not None and files.size(key) is not None
        if not fresh or not serves(files.read(certificate), names, now + _RENEWED_BEFORE):
            made = issue_server(self._root(), names, now)
            files.replace(key, made.key, 0o600)
            files.replace(certificate, made.certificate)
        return server_context(certificate, key)

    def given(self) -> dict[str, str]:
        """Files for every gateway, by name: those in `give/`, and the CA's newest revocation list."""
        files = self._env.files
        found: dict[str, str] = {}
        places = [(self.folder / GIVE, ""), (self._ca, "list-")]
        for folder, prefix in places:
            for name in files.list(folder):
                if prefix and not name.endswith(_LISTS):
                    continue
                if len(found) < MAX_FILES // 2:
                    data = files.read(folder / name, 0, MAX_FILE)
                    if (text := _as_pem(data)) is not None:
                        found[f"{prefix}{name}"] = text
        return found

    def _root(self) -> TlsPair:
        files = self._env.files
        certificate, key = self.folder / "tls-root.crt", self.folder / "tls-root.key"
        if files.size(certificate) is None or files.size(key) is None:
            made = make_root("Headgate enrolment TLS", self._authority.now())
            files.make_folder(self.folder, 0o700)
            files.make_folder(self.folder / GIVE, 0o755)
            # The key first: a certificate on disk then always has its key.
            files.replace(key, made.key, 0o600)
            files.replace(certificate, made.certificate)
        return TlsPair(files.read(certificate), files.read(key))


def _as_pem(data: bytes) -> str | None:
    """Certificates and lists as text, whatever form they lie there in; None for anything else."""
    bag = sort_out({"": data})
    every = [each.certificate.pem() for each in (*bag.leaves, *bag.cas)]
    every += [crl.pem() for _, crl in bag.crls]
    if bag.mistakes or not every:
        return None
    return b"".join(every).decode()
