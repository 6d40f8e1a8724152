"""A box without certificates, a CA, a broker and a platform: enrolled, renewed, expired, re-keyed, and
every look of the gauges arrives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.enrolment import PASSPHRASE, City
from kit.link_road import MAIN, UPLINK, Platform
from kit.recorder import Recorder
from kit.running import PATIENCE_S, Site
from peers.mosquitto import Mosquitto

from headgate.cli.enroll.desk import ask
from headgate.crypto.crl import Reason
from headgate.crypto.x509 import Certificate, Role
from headgate.env import (
    Clock,
    ClockState,
    Env,
    SystemClock,
    SystemFiles,
    SystemNet,
    SystemRandom,
    system_env,
)
from headgate.model import Alarm, Block, PointTable
from headgate.runtime.enrolment import watch
from headgate.runtime.enrolment.desk import Requests
from headgate.testing.env import ManualClock
from headgate_simulators.pytest import FarmMaker, RunningFarm

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]

ID = "hg-test"


def city_of_today(folder: Path, ago: timedelta = timedelta(0)) -> City:
    """A CA whose clock shows the machine's time, or what it was."""
    clock = ManualClock()
    clock.shift_us = int(time.time() * 1e6) - clock.now_us - int(ago.total_seconds() * 1e6)
    return City(folder, clock=clock)


class Trusted(SystemClock):
    """The machine's clock, taken for disciplined."""

    def wall_state(self) -> tuple[ClockState, int | None]:
        return "synced", 1000


def trusting() -> Env:
    real, clock = system_env(), Trusted()
    assert isinstance(clock, SystemClock)
    made: Clock = clock
    return Env(made, SystemRandom(), SystemFiles(), SystemNet(), real.single)


class Town:
    """A platform's folder of keys, from a city's CA."""

    def __init__(self, city: City, folder: Path) -> None:
        self.city = city
        self.pki = folder / "pki"
        self.pki.mkdir()
        (self.pki / "ca.crt").write_bytes(city.root.pem())
        self.certificates: dict[str, bytes] = {}
        for role in (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT):
            self.make(role)

    def make(self, role: Role, suffix: str = "") -> bytes:
        """One more pair of the platform's; its certificate."""
        key, certificate = self.city.platform(role)
        stem = role.value.removeprefix("headgate-") + suffix
        (self.pki / f"{stem}.key").write_bytes(key.pem())
        (self.pki / f"{stem}.crt").write_bytes(certificate.pem())
        self.certificates[f"{stem}.crt"] = certificate.pem()
        return certificate.pem()


def gateway_site(folder: Path, farm: RunningFarm, broker: int, identity: str = "") -> Site:
    url = f"mqtt://127.0.0.1:{broker}"
    more = f"[identity]\n{identity}\n" + UPLINK.format(url=url) + 'receipt_timeout = "1s"\n'
    return Site(folder, farm.site("100ms"), more=more)


async def enroll(road: Site, *words: str, status: int = 0) -> str:
    """`headgate enroll ...` as a program; what it said."""
    process = await asyncio.create_subprocess_exec(
        *MAIN, "enroll", *words, cwd=road.folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "HEADGATE_LANG": "en", "HEADGATE_SITE": str(road.folder)},
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == status, said.decode()
    return said.decode()


async def asked(road: Site, name: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(ask, road.folder, name, **arguments)


async def requested(city: City, road: Site, *, new: bool = False) -> Requests:
    from headgate.crypto.requests import load_request

    said = await asked(road, "enroll-request", new=new)
    sign, link = (load_request(r["pem"].encode(), city.provider) for r in said["requests"])
    return Requests(said["gateway"], sign, link)


async def brought(road: Site, files: dict[str, bytes], trust: str = "") -> list[str]:
    said = await asked(road, "enroll-import", files=files, trust=trust)
    assert said["mistakes"] == []
    return list(said["gained"])


async def everything(road: Site, platform: Platform, farm: RunningFarm) -> None:
    """Return when every look answered up to now is stored, and the gateway has nothing left to send.

    Only a receipt settles a record, so an empty outbox means that nothing is on its way and nothing is
    missing; a slot that a busy machine skipped was never answered.
    """
    ids = [str(each["id"]) for each in farm.devices]
    answered = {each: len(farm.truth.looks(each)) for each in ids}

    async def done() -> bool:
        status = await road.status()
        stored = platform.slots()
        assert status["uplinks"][0]["outbox"]["refused"] == 0
        return status["uplinks"][0]["outbox"]["records"] == 0 and all(
            len(stored.get(each, ())) >= answered[each] for each in ids
        )

    async with asyncio.timeout(2 * PATIENCE_S):
        while not await done():
            await asyncio.sleep(0.02)


async def looked(farm: RunningFarm, more: int) -> None:
    before = len(farm.truth.looks())
    async with asyncio.timeout(PATIENCE_S):
        while len(farm.truth.looks()) < before + more:
            await asyncio.sleep(0.02)


def plain_words(items: list[object], farm: RunningFarm) -> list[bytes]:
    """What stands on no disk and no wire: names, units of length, and values as they were given."""
    found = {str(each["id"]).encode() for each in farm.devices} | {b"generic/radar-level"}
    for item in items:
        if isinstance(item, PointTable):
            found |= {each.name.encode() for each in item.points if len(each.name) > 4}
        elif isinstance(item, Block) and item.columns is not None:
            found |= {bytes(column) for column in item.columns if len(column) >= 6}
    assert len(found) > 5
    return sorted(found)


def on_disk(folder: Path, words: list[bytes]) -> list[tuple[str, bytes]]:
    """Those of the words that lie plain in the spool."""
    return [
        (path.name, word)
        for path in (folder / "spool").rglob("*")
        if path.is_file()
        for word in words
        if word in path.read_bytes()
    ]


@asynccontextmanager
async def broker_and_tap(folder: Path) -> AsyncIterator[tuple[Mosquitto, Recorder]]:
    async with Mosquitto(folder) as broker, Recorder(broker.port) as tap:
        yield broker, tap


@pytest.mark.parametrize("keys", ["", 'module = "stand-in"'], ids=["files", "module"])
async def test_a_box_is_enrolled_while_it_runs_and_all_it_had_kept_goes_up(
    tmp_path: Path, water_gauge_farm: FarmMaker, keys: str
) -> None:
    """By the commands, as a technician does it; in the second run the keys never leave their module."""
    farm = water_gauge_farm(count=2, seed=5)
    city = city_of_today(tmp_path / "ca")
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    stick = tmp_path / "stick"
    async with broker_and_tap(tmp_path) as (broker, tap):
        road = gateway_site(tmp_path, farm, tap.port, keys)
        async with platform.running(f"mqtt://127.0.0.1:{broker.port}"), road.running():
            await looked(farm, 10)
            assert "no certificate yet" in await enroll(road, "status")
            said = await enroll(road, "request", "--out", str(stick), "--no-qr")
            assert "private keys stay on this box" in said
            assert platform.slots() == {}
            from headgate.crypto.requests import load_request

            sign, link = (
                load_request((stick / f"{ID}-{kind}.csr").read_bytes(), city.provider)
                for kind in ("sign", "link")
            )
            for name, content in city.answer(Requests(ID, sign, link)).items():
                (stick / name).write_bytes(content)
            for name, content in town.certificates.items():
                (stick / name).write_bytes(content)
            refused = await enroll(road, "import", str(stick), status=1)
            assert city.root.fingerprint.hex() in refused
            await enroll(road, "import", str(stick), "--trust", city.paper)
            assert "Nothing is missing" in await enroll(road, "status")
            await everything(road, platform, farm)
            status = await road.status()
    assert status["identity"]["enrolled"] is True
    assert status["identity"]["keeper"] == ("module" if keys else "file")
    assert [each["role"] for each in status["identity"]["certificates"]] == [
        "headgate-gateway", "headgate-gateway-encryption", "headgate-gateway-link",
    ]  # fmt: skip
    assert b"PRIVATE KEY" not in b"".join(
        path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()
    )
    assert tap.found(plain_words(road.stored(), farm)) == []
    told = json.loads("[" + _audit(tmp_path, "enrolled") + "]")
    assert told, "the audit log has it"


def _audit(folder: Path, kind: str) -> str:
    lines = [
        line
        for path in sorted((folder / "state" / "audit").iterdir())
        for line in path.read_text(errors="replace").splitlines()
        if f'"{kind}"' in line
    ]
    return ",".join(json.dumps(line) for line in lines)


@pytest.mark.parametrize("fate", ["expired", "revoked"])
async def test_a_box_whose_certificate_is_over_buffers_on_and_delivers_everything_after_its_renewal(
    tmp_path: Path, water_gauge_farm: FarmMaker, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    """Nothing plain on disk or wire meanwhile, no key granted, and no look lost."""
    monkeypatch.setattr(watch, "EVERY_S", 0.1)
    farm = water_gauge_farm(count=2, seed=6)
    city = city_of_today(tmp_path / "ca", timedelta(days=800 if fate == "expired" else 0))
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    async with broker_and_tap(tmp_path) as (broker, tap):
        road = gateway_site(tmp_path, farm, tap.port)
        # Enrolled on a desk, before anything runs: there the clock was not trusted, or long ago.
        files = {**city.answer(await requested(city, road)), **town.certificates}
        await brought(road, files, city.paper)
        own = Certificate.load(files["sign.crt"])
        if fate == "expired":
            city.clock.advance(timedelta(days=800).total_seconds())
            renewed = {}
            for role in (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT):
                renewed[role.value] = town.make(role)
            await brought(road, renewed)
        else:
            city.ca.revoke(own.serial, Reason.KEY_COMPROMISE)
            await brought(road, {"ca.crl": city.ca.crl().pem()})
            (tmp_path / "revoked").write_text(own.fingerprint.hex() + "\n")
        options = ["--revoked", str(tmp_path / "revoked")] if fate == "revoked" else []
        async with (
            platform.running(f"mqtt://127.0.0.1:{broker.port}", *options),
            road.running(trusting()),
        ):
            status = await road.until(lambda status: status["identity"]["barred"])
            assert status["identity"]["enrolled"] is False
            assert any("HG-614" in problem for problem in status["problems"])
            await looked(farm, 20)
            with contextlib.closing(sqlite3.connect(tmp_path / "readings.db")) as db:
                assert db.execute("SELECT count(*) FROM grants").fetchone() == (0,)
            assert platform.slots() == {}
            following = city.answer(await requested(city, road, new=True))
            await brought(road, following)
            await everything(road, platform, farm)
            status = await road.status()
            assert status["identity"]["barred"] == "" and status["identity"]["enrolled"]
    items = road.stored()
    words = plain_words(items, farm)
    assert tap.found(words) == [] and on_disk(tmp_path / "state", words) == []
    if fate == "expired":
        alarms = [
            each
            for each in items
            if isinstance(each, Alarm) and each.point.startswith("headgate-gateway/")
        ]
        assert [each.active for each in alarms][:1] == [True]
        assert alarms[-1].active is False, "cleared by the renewal"


async def test_a_backlog_outlives_the_certificate_it_was_granted_under(
    tmp_path: Path, water_gauge_farm: FarmMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Granted while the platform was away, expired before it came back, renewed: delivered all the same."""
    monkeypatch.setattr(watch, "EVERY_S", 0.1)
    farm = water_gauge_farm(count=1, seed=7)
    city = city_of_today(tmp_path / "ca", timedelta(days=800))
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    async with Mosquitto(tmp_path) as broker:
        road = gateway_site(tmp_path, farm, broker.port)
        await brought(
            road, {**city.answer(await requested(city, road)), **town.certificates}, city.paper
        )
        async with road.running():  # its clock is not trusted: it grants
            await looked(farm, 10)
            assert (await road.status())["identity"]["enrolled"]
        city.clock.advance(timedelta(days=800).total_seconds())
        renewed = {
            role.value: town.make(role)
            for role in (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT)
        }
        async with (
            platform.running(f"mqtt://127.0.0.1:{broker.port}"),
            road.running(trusting()),
        ):
            await road.until(lambda status: status["identity"]["barred"])
            await looked(farm, 5)
            assert platform.slots() == {}
            following = city.answer(await requested(city, road, new=True))
            await brought(road, {**following, **renewed})
            await nothing_left(road, platform, 2)


async def nothing_left(road: Site, platform: Platform, starts: int) -> None:
    """Return when the gateway has nothing left to send, and readings of that many starts are stored."""

    def stored() -> int:
        with contextlib.closing(sqlite3.connect(platform._store)) as db:
            return int(db.execute("SELECT count(DISTINCT epoch) FROM readings").fetchone()[0])

    async with asyncio.timeout(2 * PATIENCE_S):
        while stored() < starts or (await road.status())["uplinks"][0]["outbox"]["records"]:
            await asyncio.sleep(0.02)


async def test_the_platforms_keys_change_in_mid_stream_and_no_batch_is_lost(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """Overlap, both keys; then the old ones go; by the platform's certificates alone, no restart."""
    farm = water_gauge_farm(count=2, seed=8)
    city = city_of_today(tmp_path / "ca")
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    async with Mosquitto(tmp_path) as broker:
        url = f"mqtt://127.0.0.1:{broker.port}"
        road = gateway_site(tmp_path, farm, broker.port)
        await brought(
            road, {**city.answer(await requested(city, road)), **town.certificates}, city.paper
        )
        async with road.running():
            async with platform.running(url):
                await platform.until_stored([str(e["id"]) for e in farm.devices], 5)
                first = await granted_keys(platform)
            city.clock.advance(60)
            following = {
                role.value: town.make(role, "-next")
                for role in (Role.PLATFORM_ENCRYPTION, Role.PLATFORM_RECEIPT)
            }
            async with platform.running(url):
                await looked(farm, 5)
                await brought(road, following)
                await looked(farm, 10)
                await everything(road, platform, farm)
                assert await granted_keys(platform) - first, "sealed under a new key since"
            retire(town.pki)
            async with platform.running(url):
                await looked(farm, 5)
                await everything(road, platform, farm)
            status = await road.status()
    assert status["uplinks"][0]["outbox"]["refused"] == 0
    log = "".join(platform.log)
    assert "HG-7027" not in log, "nothing was sealed for the old certificate any more"


def retire(pki: Path) -> None:
    """The next pairs are the ones in use; the old encryption key only opens what is old."""
    (pki / "retired").mkdir()
    for kind in ("crt", "key"):
        (pki / f"platform-encryption.{kind}").rename(pki / "retired" / f"old.{kind}")
        for stem in ("platform-encryption", "platform-receipt"):
            (pki / f"{stem}-next.{kind}").rename(pki / f"{stem}.{kind}")


async def granted_keys(platform: Platform) -> set[bytes]:
    with contextlib.closing(sqlite3.connect(platform._store)) as db:
        return {key for (key,) in db.execute("SELECT key_id FROM grants")}


async def test_certificates_that_the_site_file_names_are_taken_over_by_a_reload(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """A renewal by hand of a box whose site file keeps the files: same key, new certificate."""
    from headgate.crypto.names import write_name
    from headgate.crypto.requests import make_request

    farm = water_gauge_farm(count=1, seed=9)
    city = city_of_today(tmp_path / "ca")
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    async with Mosquitto(tmp_path) as broker:
        identity = (
            'certificate = "pki/own.crt"\nkey = "file:pki/own.key"\nca = "pki/ca.crt"\n'
            'platform_encryption = "pki/platform-encryption.crt"\n'
            'platform_receipt = "pki/platform-receipt.crt"\n'
        )
        key = city.provider.sm2_generate()
        request = make_request(write_name(ID, Role.GATEWAY.value), key)
        pair = city.ca.issue_pair(request, ID)
        (town.pki / "own.key").write_bytes(key.pem())
        (town.pki / "own.crt").write_bytes(pair.signing.pem())
        road = gateway_site(tmp_path, farm, broker.port, identity)
        async with platform.running(f"mqtt://127.0.0.1:{broker.port}"), road.running():
            await platform.until_stored([str(e["id"]) for e in farm.devices], 3)
            city.clock.advance(60)
            newer = city.provider.sm2_generate()
            following = city.ca.renew_pair(
                pair.signing.serial, make_request(write_name(ID, Role.GATEWAY.value), newer)
            )
            (town.pki / "own.key").write_bytes(newer.pem())
            with pytest.raises(Exception, match="belong together"):
                await asked(road, "reload")
            await looked(farm, 3)
            (town.pki / "own.crt").write_bytes(following.signing.pem())
            await asked(road, "reload")
            serials = [e["serial"] for e in (await road.status())["identity"]["certificates"]]
            assert serials == [f"{following.signing.serial:x}"]
            await looked(farm, 5)
            await everything(road, platform, farm)


async def test_a_service_as_a_program_enrols_a_running_box_by_its_token(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """Every command as in the book; the token stands in nobody's command line, log or state."""
    farm = water_gauge_farm(count=1, seed=10)
    city = city_of_today(tmp_path / "ca")
    town = Town(city, tmp_path)
    platform = Platform(tmp_path)
    environment = {**os.environ, "HEADGATE_LANG": "en", "CA_PASSPHRASE": PASSPHRASE}
    given = await spoken(environment, "enrolment", "token", str(city.folder), ID)
    token = re.search(r"(?:[A-Z2-7]{5}-){3}[A-Z2-7]{5}", given)
    assert token is not None
    for name, content in town.certificates.items():
        (city.folder / "enrolment" / "give" / name).write_bytes(content)
    async with Mosquitto(tmp_path) as broker:
        road = gateway_site(tmp_path, farm, broker.port)
        async with (
            platform.running(f"mqtt://127.0.0.1:{broker.port}"),
            served(city, environment) as (url, paper),
            road.running(),
        ):
            process = await asyncio.create_subprocess_exec(
                *MAIN, "--site", str(road.folder), "enroll", "online", url, "--trust", paper,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                env={**environment, "HEADGATE_ENROLL_TOKEN": token[0]},
            )  # fmt: skip
            said, _ = await process.communicate()
            assert process.returncode == 0, said.decode()
            await everything(road, platform, farm)
            assert (await asked(road, "enroll-status"))["service"] == url
    kept = [*(tmp_path / "state").rglob("*"), *city.folder.rglob("*")]
    assert not any(token[0].encode() in p.read_bytes() for p in kept if p.is_file())
    assert token[0].encode() not in said


async def spoken(environment: dict[str, str], *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *MAIN, *words, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@asynccontextmanager
async def served(city: City, environment: dict[str, str]) -> AsyncIterator[tuple[str, str]]:
    """`headgate enrolment serve`: where it is, and its fingerprint."""
    process = await asyncio.create_subprocess_exec(
        *MAIN, "enrolment", "serve", str(city.folder), "--name", "127.0.0.1",
        "--listen", "127.0.0.1:0", "--passphrase", "env:CA_PASSPHRASE",
        env={**environment, "PYTHONUNBUFFERED": "1"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    heard = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "Serving at" not in heard:
                line = await process.stdout.readline()
                assert line, heard
                heard += line.decode()
        url = re.search(r"https://[0-9.:]+\d", heard)
        paper = re.search(r"(?:[0-9a-f]{4} ){15}[0-9a-f]{4}", heard)
        assert url is not None and paper is not None
        yield url[0], paper[0]
    finally:
        process.terminate()
        await process.communicate()
