"""SM links against Tongsuo's library, written by others: RFC 8998 and TLCP before a real broker.

What TLCP proves here is the seam and the sidecar's side of it; both ends of TLCP are one library, for
no second one that agrees with it could be had (docs/reference/link.md).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from kit.links import at
from kit.sm_links import DAY, NOW, LinkPki, sm_terms
from kit.tongsuo import HAD_HERE, babassl
from peers.mosquitto import Mosquitto

from headgate.crypto.x509 import Role
from headgate.errors import UplinkUnavailable
from headgate.link import Terms, open_context
from headgate.mqtt import Settings, connect
from headgate.sdk import ProbeStep, UplinkContext
from headgate_plugins.mqtt import MqttUplink

pytestmark = [
    pytest.mark.peer("mosquitto", "tongsuopy"),
    pytest.mark.skipif(not HAD_HERE, reason="tongsuopy is published for x86_64 Linux alone"),
]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> LinkPki:
    return LinkPki(tmp_path_factory.mktemp("links"))


def here(port: int) -> Settings:
    return Settings(host="127.0.0.1", port=port, tls=True, timeout_s=20)


@pytest.mark.parametrize("mode", ["rfc8998-server", "rfc8998-rekey"])
async def test_records_of_all_sizes_pass_both_ways(tmp_path: Path, pki: LinkPki, mode: str) -> None:
    """With `rekey` the server changes its keys before every write, and asks us to change ours."""
    own = pki.gateway()
    async with (
        Mosquitto(tmp_path) as broker,
        babassl(mode, pki.root.crt, pki.server(), broker.port) as foreign,
        connect(here(foreign.port), tls=open_context(sm_terms(pki, own), where="test")) as link,
    ):
        await link.subscribe("up")
        payloads = [os.urandom(size) for size in (0, 1, 16_383, 16_384, 65_536, 1_000_000)] + [
            os.urandom(4096) for _ in range(40)
        ]
        messages = link.messages()
        receiving = asyncio.create_task(_take(messages, len(payloads)))
        await asyncio.gather(*(link.publish("up", payload) for payload in payloads))
        assert sorted(await receiving) == sorted(payloads)
        assert foreign.said == ["up TLSv1.3 TLS_SM4_GCM_SM3"]


async def _take(messages: Any, count: int) -> list[bytes]:
    return [(await anext(messages)).payload for _ in range(count)]


async def test_a_broker_killed_behind_the_terminator_is_a_lost_link(
    tmp_path: Path, pki: LinkPki
) -> None:
    tls = open_context(sm_terms(pki, pki.gateway()), where="test")
    async with (
        Mosquitto(tmp_path) as broker,
        babassl("rfc8998-server", pki.root.crt, pki.server(), broker.port) as foreign,
    ):
        async with connect(here(foreign.port), tls=tls) as link:
            await broker.kill()
            assert (await link.lost()).code == "HG-5018"
        await broker.start()
        async with connect(here(foreign.port), tls=tls) as link:
            await link.publish("up", b"again")


@pytest.mark.parametrize("trouble", ["stranger", "expired"])
async def test_a_certificate_of_ours_that_it_refuses_is_understood(
    tmp_path: Path, pki: LinkPki, trouble: str
) -> None:
    own = pki.gateway("gate-8")
    ca = pki.root.crt
    if trouble == "stranger":
        ca = LinkPki(tmp_path / "other", "another root").root.crt
    elif trouble == "expired":
        # Ours is good by our own clock, which is a day behind.
        own = pki.gateway("gate-9", begin=NOW - 9 * DAY, end=NOW - DAY)
    env = at(NOW - 2 * DAY, "unsynced") if trouble == "expired" else None
    server = pki.server()
    tls = open_context(sm_terms(pki, own), where="test", env=env)
    async with (
        Mosquitto(tmp_path) as broker,
        babassl("rfc8998-server", ca, server, broker.port) as foreign,
    ):
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(here(foreign.port), tls=tls):
                pass
        assert caught.value.code in ("HG-5064", "HG-5074"), caught.value
        assert (await foreign.until("refused")).startswith("refused")


async def test_the_probe_walks_an_sm_link_step_by_step(tmp_path: Path, pki: LinkPki) -> None:
    own = pki.gateway("gate-7")
    async with (
        Mosquitto(tmp_path) as broker,
        babassl("rfc8998-server", pki.root.crt, pki.server(), broker.port) as foreign,
    ):
        given = {
            "url": f"mqtts://127.0.0.1:{foreign.port}",
            "link": "rfc8998",
            "ca_pem": pki.ca_pem,
            "client_certificate": str(own.crt),
            "client_key": str(own.pem),
        }
        steps = await probe(given)
        assert [step.name for step in steps[:5]] == ["name", "tcp", "tls", "certificate", "login"]
        assert steps[2].detail == "TLSv1.3 TLS_SM4_GCM_SM3 curveSM2"
        assert steps[3].detail == "broker"
        last = (await probe({**given, "server_name": "elsewhere.example"}))[-1]
        assert (last.name, last.code) == ("certificate", "HG-5061")
        assert "127.0.0.1" in str(last.fields["reason"])
        shown = ("client_certificate", "client_key")
        ordinary = {key: value for key, value in given.items() if key not in shown}
        last = (await probe({**ordinary, "link": "tls"}))[-1]
        # Ordinary TLS cannot even read an SM2 root.
        assert (last.name, last.code) in (("tls", "HG-5070"), ("certificate", "HG-5060"))


async def probe(given: dict[str, str]) -> list[ProbeStep]:
    return list(await MqttUplink(UplinkContext("city", "gate-7", given)).probe())


# ---------------------------------------------------------------- TLCP


async def test_a_sidecar_carries_mqtt_over_tlcp(tmp_path: Path, pki: LinkPki) -> None:
    encryption = pki.issue("broker", Role.PLATFORM_ENCRYPTION)
    own = pki.issue("gate-7", Role.GATEWAY_ENCRYPTION)
    socket_path = str(tmp_path / "tlcp.sock")
    async with (
        Mosquitto(tmp_path) as broker,
        babassl(
            "tlcp-server", pki.root.crt, pki.server(), broker.port, encryption=encryption
        ) as far,
        babassl(
            "tlcp-client", pki.root.crt, pki.gateway(), far.port, encryption=own, listen=socket_path
        ) as sidecar,
    ):
        settings = Settings.from_url(f"mqtt+unix://{socket_path}")
        tls = open_context(Terms(kind="sidecar"), where="test")
        async with connect(settings, tls=tls) as link:
            await link.subscribe("up")
            payload = os.urandom(200_000)
            await link.publish("up", payload)
            assert (await anext(link.messages())).payload == payload
        assert await sidecar.until("up") == "up NTLSv1.1 ECC-SM2-SM4-CBC-SM3"
        found = await probe({"url": f"mqtt+unix://{socket_path}", "link": "sidecar"})
        assert [step.name for step in found[:3]] == ["tcp", "tls", "login"]


async def test_a_sidecar_whose_platform_is_a_stranger_is_a_link_that_is_down(
    tmp_path: Path, pki: LinkPki
) -> None:
    stranger = LinkPki(tmp_path / "other", "another root")
    async with (
        Mosquitto(tmp_path) as broker,
        babassl(
            "tlcp-server", pki.root.crt, stranger.server(), broker.port,
            encryption=stranger.issue("broker", Role.PLATFORM_ENCRYPTION),
        ) as far,
        babassl(
            "tlcp-client", pki.root.crt, pki.gateway(), far.port,
            encryption=pki.issue("gate-7", Role.GATEWAY_ENCRYPTION),
        ) as sidecar,
    ):  # fmt: skip
        tls = open_context(Terms(kind="sidecar"), where="test")
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(Settings(host="127.0.0.1", port=sidecar.port), tls=tls):
                pass
        assert caught.value.code == "HG-5018"
        assert "certificate verify failed" in await sidecar.until("refused")


def test_the_library_is_not_in_this_process() -> None:
    """Two OpenSSLs in one process share names; the foreign one stays in a child."""
    assert "_tongsuo" not in Path("/proc/self/maps").read_text()
