"""A gateway, a broker and a receiver over each kind of link, with a wire-tap in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from kit.link_road import Platform, make_pki, site
from kit.recorder import Recorder
from kit.running import Site
from kit.sm_links import LinkPki, Shown, SmServer, Terminator
from kit.tongsuo import HAD_HERE, babassl
from peers.mosquitto import Mosquitto, free_port

from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate, Role
from headgate.model import Block, PointTable
from headgate_simulators.pytest import FarmMaker, RunningFarm

pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(180)]

NAME = "北闸水位站"
PASSWORD = "a-password-of-this-test"
USERS = {"hg-test": PASSWORD, "platform": PASSWORD}


def shown(pki: Path, stem: str) -> Shown:
    crt, key = pki / f"{stem}.crt", pki / f"{stem}.key"
    private = default_provider().sm2_load_private(key.read_bytes())
    return Shown(Certificate.load(crt.read_bytes()), private, crt, key)


def gauges(farm: RunningFarm) -> str:
    """The farm's part of the site file, with a name that nothing else on the machine has."""
    return farm.site("100ms").replace("Gauge 001 Weir", NAME)


async def whole(platform: Platform, farm: RunningFarm) -> None:
    """Every look that the gauges have answered up to now is in the store, and none is missing between."""
    ids = [str(each["id"]) for each in farm.devices]
    answered = {each: len(farm.truth.looks(each)) for each in ids}
    for each, count in answered.items():
        await platform.until_stored([each], count)
    await platform.until_whole()


def words(items: list[object], farm: RunningFarm) -> list[bytes]:
    """What nobody on the way may read: devices, names, units, point names, and values as they were given."""
    found = {NAME.encode(), b"generic/radar-level", b"mounting_elevation"}
    found |= {str(each["id"]).encode() for each in farm.devices}
    for item in items:
        if isinstance(item, PointTable):
            # Short names turn up by chance in what is random.
            found |= {each.name.encode() for each in item.points if len(each.name) > 4}
        elif isinstance(item, Block) and item.columns is not None:
            found |= {bytes(column) for column in item.columns if len(column) >= 6}
    assert len(found) >= 8
    return sorted(found)


# ---------------------------------------------------------------- RFC 8998, whole


NEEDS_TONGSUO = (
    pytest.mark.peer("tongsuopy"),
    pytest.mark.skipif(not HAD_HERE, reason="tongsuopy is published for x86_64 Linux alone"),
)


@pytest.mark.parametrize("offered", ["ours", pytest.param("tongsuo", marks=NEEDS_TONGSUO)])
async def test_over_rfc_8998_nothing_is_lost_when_the_broker_is_killed_and_nothing_is_read_on_the_way(
    tmp_path: Path, water_gauge_farm: FarmMaker, offered: str
) -> None:
    """Gateway and receiver reach a mosquitto through SM terminators; certificates are `certs dev`'s."""
    farm = water_gauge_farm(count=2, seed=5)
    pki = make_pki(tmp_path)
    platform = Platform(tmp_path)
    acl = "pattern readwrite headgate/v1/#\n"
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(tmp_path, users=USERS, acl=acl))
        port = await stack.enter_async_context(terminated(offered, tmp_path, pki, broker.port))
        tap = await stack.enter_async_context(Recorder(port))
        behind = [
            "--link", "rfc8998", "--broker-ca", str(pki / "ca.crt"),
            "--client-certificate", str(pki / "platform-link.crt"),
            "--client-key", str(pki / "platform-link.key"),
        ]  # fmt: skip
        await stack.enter_async_context(
            platform.running(f"mqtts://platform:{PASSWORD}@127.0.0.1:{port}", *behind)
        )
        (tmp_path / "password").write_text(PASSWORD)
        road = site(
            tmp_path,
            gauges(farm),
            f"mqtts://127.0.0.1:{tap.port}",
            'link = "rfc8998"\nca = "pki/ca.crt"\nusername = "hg-test"\npassword = "file:password"\n'
            'client_certificate = "pki/gateways/hg-test-link.crt"\n'
            'client_key = "file:pki/gateways/hg-test-link.key"\n',
        )
        async with road.running():
            await platform.until_stored([str(each["id"]) for each in farm.devices], 3)
            await broker.kill()
            await road.until(lambda status: status["uplinks"][0]["state"] == "waiting")
            before = len(farm.truth.looks())
            async with asyncio.timeout(30):
                while len(farm.truth.looks()) < before + 10:
                    await asyncio.sleep(0.05)
            await broker.start()
            await whole(platform, farm)
    assert tap.connections >= 2
    assert tap.found(words(road.stored(), farm)) == []
    assert tap.found([PASSWORD, "headgate/v1", "hg-test", "MQTT"]) == []


@asynccontextmanager
async def terminated(offered: str, folder: Path, pki: Path, upstream: int) -> AsyncIterator[int]:
    """A port that speaks RFC 8998 before a broker."""
    server = shown(pki, "platform-link")
    root = Certificate.load((pki / "ca.crt").read_bytes())
    if offered == "ours":
        with Terminator(SmServer(root, server), upstream) as made:
            yield made.port
            return
    async with babassl("rfc8998-server", pki / "ca.crt", server, upstream) as foreign:
        yield foreign.port


# ---------------------------------------------------------------- the envelope protects on all of them


async def carried(folder: Path, farm: RunningFarm, broker: Mosquitto, url: str, link: str) -> Site:
    """A gateway sends some looks over a link until the platform has them; what it has stored."""
    platform = Platform(folder)
    async with platform.running(f"mqtt://127.0.0.1:{broker.port}"):
        road = site(folder, gauges(farm), url, link)
        async with road.running():
            await platform.until_stored([str(each["id"]) for each in farm.devices], 3)
    return road


async def test_a_plain_link_shows_who_speaks_and_nothing_of_what_is_said(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    farm = water_gauge_farm(count=2, seed=5)
    make_pki(tmp_path)
    async with (
        Mosquitto(tmp_path) as broker,
        Recorder(broker.port) as tap,
        Recorder(broker.port) as open_tap,
    ):
        # An uplink that converts seals nothing: there the same search must find.
        beside = (
            f'[[uplink]]\nid = "json"\ntype = "mqtt-json"\nack = "broker"\n'
            f'url = "mqtt://127.0.0.1:{open_tap.port}"\nnobody_listening = "accept"\n'
        )
        road = await carried(tmp_path, farm, broker, f"mqtt://127.0.0.1:{tap.port}", beside)
    assert tap.found(words(road.stored(), farm)) == []
    assert open_tap.found(words(road.stored(), farm)) != []
    # The tap does hear: topics name the gateway, as docs/reference/link.md says.
    assert tap.found(["headgate/v1/hg-test/up/record"]) != []


async def test_tls_hides_the_gateways_name_too(tmp_path: Path, water_gauge_farm: FarmMaker) -> None:
    farm = water_gauge_farm(count=2, seed=5)
    make_pki(tmp_path)
    plain = Mosquitto(tmp_path)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "broker-ca.pem")
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "broker.key")
    server.cert_chain_pems[0].write_to_path(tmp_path / "broker.pem")
    # A second listener: the receiver of this test comes in the clear, beside the tap.
    other = free_port()
    with (plain.folder / "mosquitto.conf").open("a") as conf:
        conf.write(f"listener {other} 127.0.0.1\n")
        conf.write(f"certfile {tmp_path}/broker.pem\nkeyfile {tmp_path}/broker.key\n")
    async with plain as broker, Recorder(other) as tap:
        link = 'ca = "broker-ca.pem"\n'
        road = await carried(tmp_path, farm, broker, f"mqtts://127.0.0.1:{tap.port}", link)
    assert tap.found(words(road.stored(), farm)) == []
    assert tap.found(["headgate/v1", "hg-test", "MQTT"]) == []


@pytest.mark.peer("tongsuopy")
@pytest.mark.skipif(not HAD_HERE, reason="tongsuopy is published for x86_64 Linux alone")
async def test_through_a_tlcp_sidecar_nothing_is_read_before_inside_or_behind_it(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """Gateway, unix socket, BabaSSL as sidecar, TLCP, BabaSSL as terminator, broker: tapped three times."""
    farm = water_gauge_farm(count=2, seed=5)
    make_pki(tmp_path)
    links = LinkPki(tmp_path / "tlcp")
    server, gate = links.server(), links.gateway("hg-test")
    encryption = links.issue("broker", Role.PLATFORM_ENCRYPTION)
    own = links.issue("hg-test", Role.GATEWAY_ENCRYPTION)
    near, far = str(tmp_path / "near.sock"), str(tmp_path / "far.sock")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        broker = await enter(Mosquitto(tmp_path))
        behind = await enter(Recorder(broker.port))
        terminator = await enter(
            babassl("tlcp-server", links.root.crt, server, behind.port, encryption=encryption)
        )
        between = await enter(Recorder(terminator.port))
        await enter(
            babassl("tlcp-client", links.root.crt, gate, between.port, encryption=own, listen=far)
        )
        before = await enter(Recorder(far, listen=near))
        link = 'link = "sidecar"\n'
        road = await carried(tmp_path, farm, broker, f"mqtt+unix://{near}", link)
        assert (await terminator.until("up")).split() == ["up", "NTLSv1.1", "ECC-SM2-SM4-CBC-SM3"]
    secret = words(road.stored(), farm)
    assert [tap.found(secret) for tap in (before, between, behind)] == [[], [], []]
    assert between.found(["headgate/v1", "MQTT"]) == []
    assert before.found(["headgate/v1/hg-test/up/record"]) != []
    assert behind.found(["headgate/v1/hg-test/up/record"]) != []


# ---------------------------------------------------------------- what an auditor finds


async def test_a_platform_that_does_not_prove_itself_gets_nothing_and_stands_in_the_audit_log(
    tmp_path: Path, water_gauge_farm: FarmMaker
) -> None:
    """A terminator of another city, with the right name; then the right one."""
    farm = water_gauge_farm(count=1, seed=5)
    pki = make_pki(tmp_path)
    strange = LinkPki(tmp_path / "strange", "another city")
    root = Certificate.load((pki / "ca.crt").read_bytes())
    link = (
        'link = "rfc8998"\nca = "pki/ca.crt"\nserver_name = "localhost"\n'
        'client_certificate = "pki/gateways/hg-test-link.crt"\n'
        'client_key = "file:pki/gateways/hg-test-link.key"\n'
    )
    async with Mosquitto(tmp_path) as broker:
        with Terminator(SmServer(root, strange.server()), broker.port) as impostor:
            road = site(tmp_path, gauges(farm), f"mqtts://127.0.0.1:{impostor.port}", link)
            async with road.running():
                status = await road.until(lambda said: said["uplinks"][0]["code"] == "HG-5060")
                assert status["uplinks"][0]["state"] in ("waiting", "connecting")
                await until_audited(tmp_path, "peer-refused", "HG-5060")
        assert "hg-test" not in broker.log.read_text()
        with Terminator(SmServer(root, shown(pki, "platform-link")), broker.port) as right:
            text = (tmp_path / "site.toml").read_text()
            moved = text.replace(f":{impostor.port}", f":{right.port}")
            (tmp_path / "site.toml").write_text(moved)
            async with road.running():
                await until_audited(tmp_path, "peer-connected", "")


async def until_audited(folder: Path, kind: str, code: str) -> None:
    """Return when the audit log holds such an entry."""
    async with asyncio.timeout(30):
        while not any(
            f'"{kind}"' in line and code in line
            for file in sorted((folder / "state" / "audit").glob("*"))
            for line in file.read_text(errors="replace").splitlines()
        ):
            await asyncio.sleep(0.05)
