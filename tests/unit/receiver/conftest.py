from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kit.gateway import Gateway, Gauge
from kit.pki import NOW, Pki

from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.crypto.x509 import Role
from headgate.env import SystemFiles
from headgate.envelope.receipt import Receipt
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink


@pytest.fixture(scope="session")
def provider() -> CryptoProvider:
    return default_provider()


@pytest.fixture(scope="session")
def pki(provider: CryptoProvider) -> Pki:
    return Pki(provider)


@pytest.fixture(scope="session")
def keys(pki: Pki) -> FileKeys:
    receipt = pki.issue("receipts", Role.PLATFORM_RECEIPT)
    return FileKeys({pki.platform.certificate.fingerprint: pki.platform.key}, receipt.key)


@pytest.fixture
def gateway(pki: Pki) -> Gateway:
    return Gateway(pki)


@pytest.fixture
def gauge(pki: Pki) -> Gauge:
    return Gauge(pki)


class Platform:
    """A core and its SQLite store; `deliver` is one turn."""

    def __init__(self, pki: Pki, keys: FileKeys, path: Path, **options: Any) -> None:
        self.path = path
        self.pki, self.keys, self.options = pki, keys, options
        self.now: datetime = NOW
        self.start()

    def start(self) -> None:
        self.sink = SqliteSink(self.path, SystemFiles())
        self.core = Core(
            self.pki.provider,
            self.sink,
            self.keys,
            [self.pki.root.certificate],
            lambda: self.now,
            **self.options,
        )

    def restart(self) -> None:
        self.sink.close()
        self.start()

    async def deliver(self, *messages: bytes, sender: str = "gauge-house-7") -> list[Receipt]:
        """Judge, commit, and give what would be answered."""
        self.core.begin()
        for message in messages:
            if message[2:3] == b"\x02":
                await self.core.grant(message, sender)
            else:
                self.core.record(message, sender)
        batch, answers = self.core.end()
        self.sink.commit(batch)
        return [receipt for answer in answers for receipt in self.core.receipts(answer, 1)]

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query, parameters).fetchall()
        finally:
            db.close()


@pytest.fixture
def platform(pki: Pki, keys: FileKeys, tmp_path: Path) -> Iterator[Platform]:
    made = Platform(pki, keys, tmp_path / "store.db")
    yield made
    made.sink.close()


@pytest.fixture
def platforms(pki: Pki, keys: FileKeys, tmp_path: Path) -> Iterator[Callable[[str], Platform]]:
    """As many platforms as a test names."""
    made: list[Platform] = []

    def make(name: str) -> Platform:
        made.append(Platform(pki, keys, tmp_path / f"{name}.db"))
        return made[-1]

    yield make
    for each in made:
        each.sink.close()


Deliver = Callable[..., Awaitable[list[Receipt]]]
