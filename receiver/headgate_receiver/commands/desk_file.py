"""The operator's file: whose key, which broker, where the memory is. One file for a person's desk.

    key = "wang.li.key"                     # beside this file; certificate: the same name with .crt
    ca = "ca.crt"                           # roots that vouch for gateways
    broker = "mqtts://operators@broker.city:8883"
    journal = "commands.db"
    store = "sqlite:/var/lib/headgate/store.db"     # of `headgate receive`, where it can be read

A broker password comes from HEADGATE_BROKER_PASSWORD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.crypto.x509 import load_certificates
from headgate.env import Env
from headgate.errors import ConfigError, Problem, SecurityError
from headgate.mqtt import Settings
from headgate_receiver.broker import BrokerLink, LinkKind
from headgate_receiver.commands.commander import ANSWER_S, Commands
from headgate_receiver.commands.journal import Journal
from headgate_receiver.commands.keys import OperatorFile, load_operator
from headgate_receiver.commands.results import SqliteResults
from headgate_receiver.commands.road import BrokerRoad

USUAL = "operator.toml"


class LinkTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What protects the link to the broker, as with `headgate receive`."""

    kind: LinkKind | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    crl: str | None = None
    server_name: str | None = None


class DeskFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file, decoded. Paths are relative to it."""

    key: str
    ca: str = "ca.crt"
    certificate: str | None = None
    broker: str | None = None
    journal: str = "commands.db"
    store: str | None = None
    answer_s: float = ANSWER_S
    link: LinkTable = msgspec.field(default_factory=LinkTable)


class OperatorDesk:
    """What an operator's file opens. `close` when done."""

    def __init__(self, env: Env, provider: CryptoProvider, path: Path) -> None:
        """Read the file; nothing else is opened yet.

        Raises:
            ConfigError: it is not there, or says what cannot be (HG-7106).
        """
        self._env = env
        self._provider = provider
        self._path = path
        self._folder = path.parent
        self._file = self._read()
        self._open: list[Any] = []

    def close(self) -> None:
        """Close journal and store."""
        for each in reversed(self._open):
            each.close()
        self._open.clear()

    def keys(self) -> OperatorFile:
        """The operator's key. Raises ConfigError."""
        file = self._file
        certificate = None if file.certificate is None else self._at(file.certificate)
        return load_operator(self._at(file.key), certificate, self._provider, self._env.files)

    def journal(self) -> Journal:
        """The memory. Raises CommandError."""
        journal = Journal(self._at(self._file.journal), self._env.files)
        self._open.append(journal)
        return journal

    def store(self) -> SqliteResults | None:
        """The receiver's store; None where the file names none. Raises ConfigError, CommandError."""
        written = self._file.store
        if written is None:
            return None
        kind, _, name = written.partition(":")
        if kind not in ("sqlite", "jsonl") or not name:
            raise ConfigError([Problem(str(self._path), "HG-7005", {"text": written})])
        results = SqliteResults(
            self._at(f"{name}.state" if kind == "jsonl" else name), self._env.files
        )
        self._open.append(results)
        return results

    def commands(self, journal: Journal, results: SqliteResults | None) -> Commands:
        """All of it together, not connected yet. Raises ConfigError."""
        file = self._file
        if file.broker is None:
            raise ConfigError([Problem(str(self._path), "HG-7106", {"reason": "broker"})])
        settings = Settings.from_url(
            file.broker,
            where=f"{self._path}: broker",
            password=self._env.variable("HEADGATE_BROKER_PASSWORD"),
        )
        link = BrokerLink(
            kind=file.link.kind, ca=self._maybe(file.link.ca),
            certificate=self._maybe(file.link.certificate), key=self._maybe(file.link.key),
            crl=self._maybe(file.link.crl), server_name=file.link.server_name,
        )  # fmt: skip
        tls = link.context(self._env, settings)
        road = BrokerRoad(self._env, settings, tls=tls, patience_s=file.answer_s)
        ca = self._at(file.ca)
        try:
            anchors = load_certificates(self._env.files.read(ca))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError([Problem(str(ca), "HG-7101", {"reason": reason})]) from None
        except SecurityError as error:
            raise ConfigError([Problem(str(ca), "HG-7002", {"reason": str(error)})]) from None
        return Commands(
            self._env, self._provider, self.keys(), anchors, journal, road,
            results=results, answer_s=file.answer_s,
        )  # fmt: skip

    def _read(self) -> DeskFile:
        try:
            data = self._env.files.read(self._path)
            return msgspec.toml.decode(data, type=DeskFile)
        except OSError as error:
            reason = error.strerror or str(error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            reason = str(error)
        raise ConfigError([Problem(str(self._path), "HG-7106", {"reason": reason})])

    def _at(self, name: str) -> Path:
        return self._folder / name

    def _maybe(self, name: str | None) -> Path | None:
        return None if name is None else self._at(name)
