"""Certificates against an asyncua server: of a CA, expired, for another host, revoked; and users' own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit.certificates import DAY, Authority
from kit.opcua import line, listening, refused, station, stations

from headgate_drivers.opcua import OpcUaDriver, stream, trust
from headgate_drivers.opcua.settings import settings_of
from headgate_drivers.opcua.trust import Trust

SERVER = "urn:headgate:simulator:pump-station"


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority("City Water CA")


@pytest.fixture
async def folder(tmp_path: Path, ca: Authority) -> Path:
    """A gateway that trusts the CA, and a server that trusts the gateway."""
    trusted = tmp_path / "opcua/trusted"
    trusted.mkdir(parents=True)
    (trusted / "ca.der").write_bytes(ca.der)
    options = {"url": "opc.tcp://h", "folder": str(tmp_path), "gateway": "gw-1"}
    ours, _ = await Trust(settings_of("c", options)).own()
    theirs = tmp_path / "server/trusted"
    theirs.mkdir(parents=True)
    (theirs / "gateway.der").write_bytes(ours.read_bytes())
    return tmp_path


def secure(farm: Any, folder: Path, **options: Any) -> Any:
    return line(farm.url, folder, security="best", **options)


async def test_a_server_of_a_trusted_ca_needs_no_technician(folder: Path, ca: Authority) -> None:
    ca.issue(folder / "server", SERVER)
    async with stations(folder=folder / "server") as farm:
        async with listening(secure(farm, folder)) as ear:
            await ear.next()
        met = await OpcUaDriver().meet(secure(farm, folder))
        assert met is not None
        assert met.accepted
    # Its certificate is renewed by the CA: nobody has to do anything.
    ca.issue(folder / "server", SERVER)
    async with (
        stations(folder=folder / "server") as farm,
        listening(secure(farm, folder)) as ear,
    ):
        await ear.next()


@pytest.mark.parametrize(
    ("hosts", "end", "code"),
    [(["127.0.0.1"], -DAY / 2, "HG-3351"), (["plc.city.example"], 30 * DAY, "HG-3352")],
)
async def test_what_is_wrong_with_it_is_said_and_a_technician_may_accept_it_all_the_same(
    folder: Path, ca: Authority, hosts: list[str], end: timedelta, code: str
) -> None:
    ca.issue(folder / "server", SERVER, hosts, end=end)
    async with stations(folder=folder / "server") as farm:
        said = await refused(secure(farm, folder), code)
        met = await OpcUaDriver().meet(secure(farm, folder))
        assert met is not None
        assert said.fields["thumbprint"] == met.server.thumbprint
        met.trust.accept(met.server)
        async with listening(secure(farm, folder)) as ear:
            await ear.next()


async def test_a_revoked_certificate_is_refused_even_when_it_was_accepted(
    folder: Path, ca: Authority
) -> None:
    server = ca.issue(folder / "server", SERVER)
    async with stations(folder=folder / "server") as farm:
        met = await OpcUaDriver().meet(secure(farm, folder))
        assert met is not None
        met.trust.accept(met.server)
        ca.revoke(server, folder / "opcua/trusted/city.crl")
        await refused(secure(farm, folder), "HG-3353")


async def test_a_user_may_have_a_certificate_instead_of_a_password(
    folder: Path, ca: Authority
) -> None:
    ca.issue(folder / "server", SERVER)
    ca.issue(folder / "user", "urn:person:operator")
    ca.issue(folder / "other", "urn:person:somebody")
    users = folder / "server/users"
    users.mkdir()
    (users / "operator.der").write_bytes((folder / "user/certificate.der").read_bytes())

    def card(name: str) -> dict[str, str]:
        return {
            "user_certificate": str(folder / name / "certificate.der"),
            "user_key": str(folder / name / "key.pem"),
        }

    async with stations(folder=folder / "server") as farm:
        await refused(secure(farm, folder), "HG-3313")
        await refused(secure(farm, folder, **card("other")), "HG-3313")
        async with listening(secure(farm, folder, **card("user"))) as ear:
            await ear.next()


async def test_our_own_certificate_may_come_from_the_citys_ca(folder: Path, ca: Authority) -> None:
    ca.issue(folder / "server", SERVER)
    ca.issue(folder / "ours", "urn:headgate:gw-1")
    certificate = folder / "ours/certificate.der"
    (folder / "server/trusted/city.der").write_bytes(certificate.read_bytes())
    own = {"client_certificate": str(certificate), "client_key": str(folder / "ours/key.pem")}
    async with (
        stations(folder=folder / "server") as farm,
        listening(secure(farm, folder, **own)) as ear,
    ):
        await ear.next()


async def test_our_certificate_is_renewed_while_a_session_runs_and_that_is_said(
    folder: Path, ca: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca.issue(folder / "server", SERVER)
    certificate, key = folder / "opcua/own/certificate.der", folder / "opcua/own/key.pem"
    before, same = certificate.read_bytes(), key.read_bytes()
    monkeypatch.setattr(stream, "RENEW_S", 0.0)
    async with stations(folder=folder / "server") as farm:
        channel = secure(farm, folder)
        reports = said_of(channel)
        async with listening(channel, station(interval_s=0.2)) as ear:
            await ear.next()
            assert certificate.read_bytes() == before and "HG-3354" not in " ".join(reports)
            # From now on it is taken for one that is about to expire.
            monkeypatch.setattr(trust, "RENEW_DAYS", trust.LIFETIME_DAYS + 1)
            while not any("HG-3354: our certificate was made anew" in said for said in reports):
                await ear.next()
            monkeypatch.undo()
            assert certificate.read_bytes() != before and key.read_bytes() == same
            # The session goes on with the old one; the server's keeper has to accept the new one.
            await ear.until(lambda told: "sample" in told)
        await refused(secure(farm, folder), "HG-3311")
        (folder / "server/trusted/renewed.der").write_bytes(certificate.read_bytes())
        async with listening(secure(farm, folder)) as ear:
            await ear.next()


@pytest.mark.parametrize("end", [timedelta(days=10), timedelta(days=-1)])
async def test_a_servers_certificate_that_ages_is_told_and_stops_nobody(
    folder: Path, ca: Authority, end: timedelta
) -> None:
    ca.issue(folder / "server", SERVER, begin=-2 * DAY, end=end)
    async with stations(folder=folder / "server") as farm:
        met = await OpcUaDriver().meet(secure(farm, folder))
        assert met is not None
        met.trust.accept(met.server)
        channel = secure(farm, folder)
        reports = said_of(channel)
        async with listening(channel) as ear:
            await ear.next()
        until = f"{met.server.not_after:%Y-%m-%d}"
        assert f"HG-3355: the server's certificate is good until {until}" in reports[-1]


def said_of(channel: Any) -> list[str]:
    """What `headgate status` shows of a line, as it comes."""
    said: list[str] = []
    channel.on_report = lambda _state, reason: said.append(reason)
    return said
