"""A city's CA and a box in a few lines, for tests of enrolment."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from headgate.audit import Entry
from headgate.config import Gateway, Identity, Site, State
from headgate.crypto import enveloped
from headgate.crypto.authority import CertificateAuthority, Settings, found_root, unlock
from headgate.crypto.names import write_name
from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.crypto.requests import Request, make_request
from headgate.crypto.x509 import Certificate, Role
from headgate.errors import ConfigError
from headgate.runtime.enrolment import protocol
from headgate.runtime.enrolment.desk import Desk, Requests
from headgate.runtime.enrolment.hosting import Hosting
from headgate.runtime.enrolment.judge import Verdict
from headgate.runtime.enrolment.online import enroll_online
from headgate.runtime.enrolment.server import EnrolmentServer
from headgate.runtime.enrolment.service import Service
from headgate.runtime.enrolment.telling import status_of
from headgate.runtime.enrolment.tokens import Tokens
from headgate.runtime.identity import Identity as Loaded
from headgate.runtime.identity import load_identity
from headgate.testing.env import FakeEnv, ManualClock, fake_env

PASSPHRASE = "a passphrase for tests"


class City:
    """A root CA in a folder, and the platform's certificates."""

    def __init__(
        self, folder: Path, name: str = "Test city root", clock: ManualClock | None = None
    ) -> None:
        self.clock = clock or ManualClock()
        self.env = fake_env(self.clock, seed=zlib.crc32(name.encode()))
        self.provider: CryptoProvider = default_provider()
        self.folder = folder
        settings = Settings(name=name, organization="Test city")
        self.root = found_root(
            self.env, folder, settings, self.provider, passphrase=PASSPHRASE, iterations=10_000
        )
        key = unlock(self.env.files, folder, PASSPHRASE, self.provider)
        self.ca = CertificateAuthority(self.env, folder, self.provider, key)

    def platform(self, role: Role, name: str = "platform") -> tuple[Any, Certificate]:
        """A key of the platform and its certificate."""
        key = self.provider.sm2_generate()
        request = make_request(write_name(name, role.value), key)
        if held := self.ca.valid(name, role):
            return key, self.ca.renew(int(held[-1].serial, 16), request)
        return key, self.ca.issue(request, role, name)

    def answer(self, asked: Requests, *, renew: str | None = None) -> dict[str, bytes]:
        """What the CA puts on the stick for a request; `renew`: the serial that is renewed."""
        if renew is None:
            pair = self.ca.issue_pair(asked.sign, asked.gateway)
        else:
            pair = self.ca.renew_pair(int(renew, 16), asked.sign)
        if held := self.ca.valid(asked.gateway, Role.GATEWAY_LINK):
            link = self.ca.renew(int(held[-1].serial, 16), asked.link)
        else:
            link = self.ca.issue(asked.link, Role.GATEWAY_LINK, asked.gateway)
        return {
            "sign.crt": pair.signing.pem(),
            "encryption.crt": pair.encryption.pem(),
            "encryption.key": enveloped.to_pem(pair.enveloped),
            "link.crt": link.pem(),
            "ca.crt": self.root.pem(),
        }

    @property
    def paper(self) -> str:
        """The root's fingerprint as it stands on paper."""
        return self.root.fingerprint.hex().upper()


class Listed:
    """An audit log that is a list."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def note(self, entry: Entry) -> None:
        self.entries.append(entry)

    def told(self) -> list[tuple[str, str]]:
        return [(entry.kind, entry.result) for entry in self.entries]


class Box:
    """A gateway's identity and its desk, without a gateway around it."""

    def __init__(
        self,
        folder: Path,
        gateway: str = "sz-gw-0001",
        clock: ManualClock | None = None,
        variables: dict[str, str] | None = None,
        net: Any = None,
        **identity: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.env: FakeEnv = fake_env(
            self.clock, variables=variables, seed=zlib.crc32(gateway.encode()), net=net
        )
        self.provider = default_provider()
        self.site = Site(
            gateway=Gateway(id=gateway),
            state=State(folder="state"),
            identity=Identity(**identity),
            base=str(folder),
        )
        self.audit = Listed()
        self.taken = 0
        self.identity: Loaded = self.load()
        self.desk = Desk(
            self.env, lambda: self.site, self.provider, lambda: self.identity, self.audit, self.now,
            self._take_over,
        )  # fmt: skip

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def now(self) -> datetime | None:
        if self.clock.state[0] == "unsynced":
            return None
        return datetime.fromtimestamp(self.clock.wall_us() / 1e6, UTC)

    def status(self) -> dict[str, Any]:
        return status_of(self.desk)

    def load(self) -> Loaded:
        return load_identity(self.env, self.site, self.provider, self.now())

    async def _take_over(self) -> None:
        self.identity = self.load()
        self.taken += 1

    async def enrol(self, city: City, **more: bytes) -> Verdict:
        """The whole offline way."""
        asked = await self.desk.request("uid:0")
        return await self.desk.bring({**city.answer(asked), **more}, "uid:0", trust=city.paper)

    async def refused(self, files: dict[str, bytes], trust: str = "") -> list[str]:
        """The codes of every mistake in these files; nothing may have changed."""
        before, taken = self.files(), self.taken
        try:
            verdict = await self.desk.bring(files, "uid:0", trust=trust)
        except ConfigError as error:
            assert self.files() == before, "a refused import left something behind"
            assert self.taken == taken
            return [problem.code for problem in error.problems]
        raise AssertionError(f"taken in: {verdict.gained}")

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.state)): path.read_bytes()
            for path in sorted(self.state.rglob("*"))
            if path.is_file()
        }

    def later(self, **ago: float) -> None:
        self.clock.advance(timedelta(**ago).total_seconds())


class Office:
    """A CA that serves boxes."""

    def __init__(self, city: City) -> None:
        self.city = city
        self.audit = Listed()
        self.hosting = Hosting(city.env, city.folder, city.ca)
        self.bundle = self.hosting.bundle()
        self.paper = protocol.fingerprint(city.provider, self.bundle)
        self.tokens = Tokens(city.env, city.provider, self.hosting.folder)
        self.service = Service(
            city.env, city.provider, city.ca, self.tokens, self.audit, self.bundle,
            self.hosting.given,
        )  # fmt: skip
        self.url = ""

    def give(self, gateway: str = "sz-gw-0001") -> str:
        return self.tokens.give(gateway, self.city.ca.now())

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Office]:
        server = EnrolmentServer(
            self.city.env, self.service, self.hosting.context(["127.0.0.1", "localhost"])
        )
        port = await server.open("127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await server.close()


async def enrolled(box: Box, office: Office) -> None:
    """The whole online way."""
    await enroll_online(box.desk, office.url, office.give(), office.paper, "uid:0")


def request_of(provider: CryptoProvider, name: str, role: Role) -> tuple[Any, Request]:
    """A key that is not the box's, and a request for it."""
    key = provider.sm2_generate()
    return key, make_request(write_name(name, role.value), key)
