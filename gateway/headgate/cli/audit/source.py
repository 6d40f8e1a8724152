"""Where a log is read from, and what it is checked against: a site, or a folder that was carried away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from headgate.audit.check import Checker, Report, Verify
from headgate.audit.files import LogFolder
from headgate.audit.head import EVENT, Head, from_fields
from headgate.audit.line import Found, scan
from headgate.cli.terminal import site_path
from headgate.config import Site
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.crypto.x509 import Certificate, Role, load_certificates
from headgate.env import Env, system_env
from headgate.errors import HeadgateError, SecurityError

_SQLITE: Final = b"SQLite format 3\0"
#: A file of heads is a line an hour: this is a century of a thousand gateways' worth of mistakes.
_LARGEST_HEADS: Final = 1 << 30


class Source:
    """A log: its files, and the provider that hashes them.

    `remembered`: an entry that is known to have been durable, from outside the log; 0 for none.
    """

    def __init__(
        self, env: Env, folder: Path, remembered: int = 0, own: Sequence[Certificate] = ()
    ) -> None:
        self.env = env
        self._remembered = remembered
        self._own = own
        self.provider: CryptoProvider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
        self.files = LogFolder(env.files, folder)

    def numbers(self) -> list[int]:
        """The files that are there.

        Raises:
            HeadgateError: there is none.
        """
        try:
            numbers = self.files.numbers()
        except OSError as error:
            raise self._no_log(str(error.strerror)) from error
        if not numbers:
            raise self._no_log("no file of it")
        return numbers

    def _no_log(self, reason: str) -> HeadgateError:
        folder = str(self.files.folder)
        return HeadgateError(f"no log in {folder}", code="HG-9330", folder=folder, reason=reason)

    def lines(self) -> Iterator[tuple[int, Found]]:
        """Every sound line, with its file."""
        for number in self.numbers():
            try:
                data = self.files.read(number)
            except OSError:
                continue
            for item in scan(data):
                if isinstance(item, Found):
                    yield number, item

    def check(self, keys: Mapping[str, Verify], heads: Sequence[Head]) -> Report:
        """Go over the whole log."""
        checker = Checker(self.provider.sm3, keys, heads)
        for number in self.numbers():
            try:
                checker.feed(number, self._read(number))
            except OSError as error:
                checker.unreadable(number, str(error.strerror))
        return checker.finish(self._remembered)

    def _read(self, number: int) -> bytes:
        """A file; where a gateway is writing its end this very moment, once more."""
        data = self.files.read(number)
        return data if data.endswith(b"\n") else self.files.read(number)

    def keys(self, certificates: Sequence[Path]) -> dict[str, Verify]:
        """How heads are verified: the public keys of certificates, and of what this box was enrolled with.

        Raises:
            HeadgateError: a file that is none.
        """
        found: dict[str, Verify] = {}

        def take(each: Certificate) -> None:
            public = self.provider.sm2_load_public(each.spki)
            found[self.provider.sm3(each.spki).hex()] = public.verify

        for certificate in self._own:
            take(certificate)
        for path in certificates:
            try:
                for certificate in load_certificates(self.env.files.read(path)):
                    take(certificate)
            except OSError as error:
                raise HeadgateError(
                    f"{path}: {error.strerror}",
                    code="HG-6106",
                    file=str(path),
                    reason=error.strerror,
                ) from error
            except SecurityError as error:
                raise HeadgateError(
                    f"{path}: {error}", code="HG-9331", file=str(path), reason=str(error)
                ) from error
        return found


def source(site: Path | None, folder: Path | None) -> tuple[Source, list[Path]]:
    """The log of a site, or of a folder; and the certificates that the site names for its gateway."""
    env = system_env()
    if folder is not None:
        return Source(env, folder), []
    from headgate import config

    loaded = config.load(env, site_path(site))
    named = loaded.identity.certificate
    kept = loaded.state_folder / "identity"
    candidates = [loaded.path(named)] if named is not None else []
    candidates += [kept / name for name in env.files.list(kept) if name.endswith((".pem", ".crt"))]
    # What is not there yet, or is no certificate, proves nothing and harms nothing here.
    certificates = [path for path in candidates if _readable(env, path)]
    log = loaded.state_folder / "audit"
    return Source(env, log, _remembered(env, loaded), _enrolled(env, loaded)), certificates


def _enrolled(env: Env, site: Site) -> tuple[Certificate, ...]:
    """The signing certificates that enrolment brought; nothing where none can be read."""
    from headgate.runtime.enrolment.papers import Folder, loaded

    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    try:
        papers = Folder(env, provider, site.state_folder).load(site.gateway.id, mend=False)
    except HeadgateError:
        return ()
    return (*papers.chain(Role.GATEWAY)[:1], *loaded(papers.retired))


def _remembered(env: Env, site: Site) -> int:
    """Up to which entry the state knows the log: a tail that was cut off is missed, if that was not, too."""
    from headgate.spool import State

    state = State(env, site.state_folder / "state.db")
    try:
        state.look()
        return state.counter("audit-seq")
    except HeadgateError:
        return 0
    finally:
        state.release()


def _readable(env: Env, path: Path) -> bool:
    try:
        load_certificates(env.files.read(path))
    except (OSError, SecurityError):
        return False
    return True


def heads_of(env: Env, path: Path, gateway: str) -> list[Head]:
    """The heads that a platform keeps of a gateway: from its SQLite store, or from lines of JSON.

    A line is a head, or an event as the JSON-lines store writes it. Lines of other gateways are left out.

    Raises:
        HeadgateError: the file cannot be read, or is neither.
    """
    try:
        is_store = env.files.read(path, 0, len(_SQLITE)) == _SQLITE
        rows = _from_store(env, path) if is_store else _from_lines(env, path)
        return [
            head
            for name, fields in rows
            if name == gateway and (head := from_fields(gateway, fields)) is not None
        ]
    except OSError as error:
        reason = str(error.strerror or error)
    except (sqlite3.Error, ValueError) as error:
        reason = str(error)
    raise HeadgateError(f"{path}: {reason}", code="HG-9332", file=str(path), reason=reason)


def _from_store(env: Env, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    db = env.files.database(path)
    try:
        db.execute("PRAGMA query_only = 1")
        for gateway, fields in db.execute(
            "SELECT gateway, fields FROM events WHERE kind = ?", (EVENT,)
        ):
            yield str(gateway), msgspec.json.decode(fields, type=dict[str, Any])
    finally:
        db.close()


def _from_lines(env: Env, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for text in env.files.read(path, 0, _LARGEST_HEADS).splitlines():
        if not text.strip():
            continue
        said = json.loads(text)
        if not isinstance(said, dict):
            raise ValueError("a line is no JSON object")
        inner = said.get("fields")
        if isinstance(inner, dict) and said.get("kind") == EVENT:
            yield str(said.get("gateway", "")), inner
        elif "sm3" in said:
            yield str(said.get("gateway", "")), said
