"""One gateway, two platforms that do not trust each other: two brokers, two receivers, one sealing."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.pki import NOW, Party, Pki
from kit.running import Site
from peers.mosquitto import Mosquitto

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Role
from headgate.env import system_env
from headgate.envelope.record import Sealer, parse_header
from headgate.mqtt import Settings, connect
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.service import Receiver
from headgate_receiver.sqlite import SqliteSink

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]


class Platform:
    """One platform: its keys, its broker, its receiver, its store."""

    def __init__(self, name: str, pki: Pki, folder: Path) -> None:
        self.name, self.pki = name, pki
        self.store = folder / f"{name}.db"
        (folder / name).mkdir()
        self.broker = Mosquitto(folder / name)
        self.encryption = pki.issue(name, Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)
        self.receipts = pki.issue(f"{name} receipts", Role.PLATFORM_RECEIPT)
        print_ = self.encryption.certificate.fingerprint
        self.keys = FileKeys({print_: self.encryption.key}, self.receipts.key)

    @property
    def settings(self) -> Settings:
        return Settings(
            host="127.0.0.1", port=self.broker.port, identifier="receiver", session_s=3600
        )

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        env = system_env()
        sink = SqliteSink(self.store, env.files)
        core = Core(self.pki.provider, sink, self.keys, [self.pki.root.certificate], lambda: NOW)
        task = asyncio.create_task(Receiver(env, core, sink, self.keys, self.settings).run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            sink.close()

    def rows(self, query: str) -> list[Any]:
        db = sqlite3.connect(self.store)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()


def site_of(folder: Path, pki: Pki, *platforms: Platform) -> Site:
    gateway = pki.issue("hg-test", Role.GATEWAY)

    def bundle(name: str, *parties: Party) -> None:
        (folder / name).write_bytes(b"".join(each.certificate.pem() for each in parties))

    bundle("encryption.crt", *(each.encryption for each in platforms))
    bundle("receipts.crt", *(each.receipts for each in platforms))
    bundle("ca.crt", pki.root)
    bundle("gateway.crt", gateway)
    (folder / "gateway.key").write_bytes(gateway.key.pem())
    more = (
        '[identity]\nca = "ca.crt"\ncertificate = "gateway.crt"\nkey = "file:gateway.key"\n'
        'platform_encryption = "encryption.crt"\nplatform_receipt = "receipts.crt"\n'
    )
    for each in platforms:
        more += (
            f'[[uplink]]\nid = "{each.name}"\ntype = "mqtt"\nurl = "{each.broker.url}"\n'
            f'receipts_from = "{each.name} receipts"\n'
        )
    return Site(folder, "", more=more)


async def test_both_have_everything_signed_and_neither_can_forge_for_the_other(
    tmp_path: Path,
) -> None:
    pki = Pki(default_provider())
    city, province = (Platform(name, pki, tmp_path) for name in ("city", "province"))
    async with city.broker, province.broker, city.receiving(), province.receiving():
        site = site_of(tmp_path, pki, city, province)
        async with site.running() as gateway:
            await site.until(lambda status: _settled(status, 2))
            # The city seals a record of its own, with the key it was granted, for the province.
            env = system_env()
            sink = SqliteSink(city.store, env.files)
            (epoch, key_id), *_ = sink.newest_keys("hg-test", 1)
            (grant,) = sink.grants(epoch, key_id)
            sink.close()
            forged = Sealer(pki.provider).seal(grant.key, epoch, 1000, b"forged")
            topic = "headgate/v1/hg-test/up/record"
            async with connect(Settings(host="127.0.0.1", port=province.broker.port)) as link:
                await link.publish(topic, forged)
            await gateway._rotation._change(gateway._keyring.renew, "local", "a test")
            await site.until(lambda status: _settled(status, 3))
        for platform in (city, province):
            ((count, signed),) = platform.rows(
                "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM signed_records)"
            )
            assert count == signed >= 3
            assert platform.rows("SELECT count(DISTINCT key_id) FROM grants") == [(2,)]
            assert platform.rows("SELECT * FROM chain_gaps") == []
            assert platform.rows("SELECT count(*) FROM alarms WHERE source = 'receiver'") == [(0,)]
        assert province.rows("SELECT code FROM refusals") == [("HG-7025",)]
        assert not parse_header(forged).signed
        same = "SELECT epoch, n, link FROM signed_records ORDER BY n"
        # The last word of a gateway that stops may reach one of them only.
        shown = list(zip(city.rows(same), province.rows(same), strict=False))
        assert len(shown) >= 3
        assert all(one == other for one, other in shown), "what one shows, the other has"


def _settled(status: Any, least: int) -> bool:
    return len(status["uplinks"]) == 2 and all(
        each["outbox"]["settled"] >= least and not each["outbox"]["records"]
        for each in status["uplinks"]
    )
