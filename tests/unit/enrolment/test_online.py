"""A box and an enrolment service over real TLS on loopback: tokens, fingerprints, renewals, and liars."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
from kit.enrolment import Box, City, Office, enrolled, request_of

from headgate.crypto.crl import Reason
from headgate.crypto.requests import Request
from headgate.crypto.x509 import Role
from headgate.env import SystemNet
from headgate.errors import ConfigError, HeadgateError, SecurityError, UplinkUnavailable
from headgate.runtime.enrolment import protocol
from headgate.runtime.enrolment.http import address_of, ask
from headgate.runtime.enrolment.online import enroll_online, refresh_online, renew_online


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path / "ca")


@pytest.fixture
def box(tmp_path: Path, city: City) -> Box:
    return Box(tmp_path / "box", clock=city.clock, net=SystemNet())


def code(error: pytest.ExceptionInfo[Any]) -> str:
    found = error.value
    return found.problems[0].code if isinstance(found, ConfigError) else found.code


async def test_a_token_and_a_fingerprint_enrol_a_box(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        await enroll_online(box.desk, office.url, office.give(), office.paper[:32], "uid:0")
    assert box.identity.chain[0].subject_cn == "sz-gw-0001"
    assert box.identity.encryption_key is not None and box.identity.link_key is not None
    assert box.desk.papers().service is not None
    assert ("enrolled", "ok") in office.audit.told()
    assert ("enrolled", "ok") in box.audit.told()


async def test_a_token_is_good_once(box: Box, city: City, tmp_path: Path) -> None:
    other = Box(tmp_path / "twin", clock=city.clock, net=SystemNet())
    other.env.random = type(other.env.random)(99)
    async with Office(city).serving() as office:
        token = office.give()
        await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
        with pytest.raises(SecurityError) as used:
            await enroll_online(other.desk, office.url, token, office.paper, "uid:0")
    assert code(used) == "HG-6193"
    assert not other.identity.chain


async def test_an_answer_that_was_lost_is_given_again_for_the_same_key(
    box: Box, city: City
) -> None:
    async with Office(city).serving() as office:
        token = office.give()
        real = box.env.files.replace

        def refuse(path: Path, data: bytes, mode: int = 0o644) -> None:
            if path.name == "identity.papers" and box.desk.papers().asked is not None:
                raise OSError(28, "No space left on device")
            real(path, data, mode)

        await box.desk.request("uid:0")
        box.env.files.replace = refuse  # type: ignore[method-assign]
        with pytest.raises(SecurityError):
            await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
        box.env.files.replace = real  # type: ignore[method-assign]
        await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
    assert box.identity.chain
    assert len(city.ca.valid("sz-gw-0001", Role.GATEWAY)) == 1


async def enroll(office: Office, token: str, sign: Request, link: Request) -> int:
    """The status that the service answers a request with."""
    asked = protocol.Enroll("sz-gw-0001", token, sign.pem().decode(), link.pem().decode())
    reply = await office.service.answer("peer", "POST", protocol.ENROLL, protocol.encode(asked))
    return reply.status


async def test_a_used_token_certifies_no_other_link_key(city: City) -> None:
    """The request for signing is public and a used token lies about; both are no link certificate."""
    office = Office(city)
    token = office.give()
    sign, link, strange = (
        request_of(city.provider, "sz-gw-0001", Role.GATEWAY_LINK)[1] for _ in range(3)
    )
    assert await enroll(office, token, sign, link) == 200
    assert await enroll(office, token, sign, link) == 200
    assert await enroll(office, token, sign, strange) == 401
    assert len(city.ca.valid("sz-gw-0001", Role.GATEWAY_LINK)) == 1


async def test_a_request_that_is_not_issued_leaves_the_token_unused(city: City) -> None:
    office = Office(city)
    token = office.give()
    _, taken = request_of(city.provider, "sz-gw-0002", Role.GATEWAY)
    city.ca.issue_pair(taken, "sz-gw-0002")
    sign, link = (request_of(city.provider, "sz-gw-0001", Role.GATEWAY)[1] for _ in range(2))
    assert await enroll(office, token, taken, link) == 409
    assert await enroll(office, token, sign, link) == 200


async def test_a_token_for_another_gateway_is_refused(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        with pytest.raises(SecurityError) as refused:
            await enroll_online(
                box.desk, office.url, office.give("sz-gw-0002"), office.paper, "uid:0"
            )
    assert code(refused) == "HG-6193"


async def test_a_token_ends(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        token = office.give()
        box.later(days=8)
        with pytest.raises(SecurityError) as refused:
            await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
    assert code(refused) == "HG-6193"


async def test_what_the_service_keeps_opens_nothing(city: City) -> None:
    office = Office(city)
    token = office.give()
    kept = (office.hosting.folder / "tokens.json").read_bytes()
    assert token.encode() not in kept and token.replace("-", "").encode() not in kept
    assert (office.hosting.folder / "tokens.json").stat().st_mode & 0o777 == 0o600
    (digest,) = [each["digest"] for each in json.loads(kept)]
    assert not office.tokens.use(digest, "sz-gw-0001", "k", city.ca.now())


async def test_a_service_with_another_fingerprint_gets_no_token(
    box: Box, city: City, tmp_path: Path
) -> None:
    """Somebody in between, with a service and a PKI of his own."""
    theirs = Office(City(tmp_path / "theirs", "Test city root", city.clock))
    real = Office(city)
    async with theirs.serving():
        with pytest.raises(SecurityError) as refused:
            await enroll_online(box.desk, theirs.url, real.give(), real.paper, "uid:0")
    assert code(refused) == "HG-6192"
    assert box.audit.told() == [("enrolment-refused", "refused")]
    assert theirs.audit.entries == [], "the token never left"


async def test_a_man_in_the_middle_who_plays_the_right_roots_gets_no_token(
    box: Box, city: City, tmp_path: Path
) -> None:
    """He copies `GET /ca`, which anybody can read; the next connection must then be by those roots."""
    real = Office(city)
    his = Office(City(tmp_path / "his", "His", city.clock))
    his.service._bundle = real.bundle
    async with his.serving():
        with pytest.raises(SecurityError) as refused:
            await enroll_online(box.desk, his.url, real.give(), real.paper, "uid:0")
    assert code(refused) == "HG-6191"
    assert his.audit.entries == []


async def test_without_a_fingerprint_or_with_a_short_one_nothing_is_sent(
    box: Box, city: City
) -> None:
    async with Office(city).serving() as office:
        for trust, wanted in (("", "HG-6199"), (office.paper[:16], "HG-6171")):
            with pytest.raises(SecurityError) as refused:
                await enroll_online(box.desk, office.url, office.give(), trust, "uid:0")
            assert code(refused) == wanted
    assert office.audit.entries == []


@pytest.mark.parametrize(
    "url", ["http://ca.example", "ca.example", "https://u:p@ca.example", "https://[", "ftp://x"]
)
async def test_a_token_travels_over_tls_or_not_at_all(box: Box, url: str) -> None:
    with pytest.raises(SecurityError) as refused:
        await enroll_online(box.desk, url, "AAAAA-BBBBB", "00" * 32, "uid:0")
    assert code(refused) == "HG-6197"


async def test_nobody_there_is_said_and_changes_nothing(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        url = office.url
    before = box.files()
    with pytest.raises(UplinkUnavailable) as gone:
        await enroll_online(box.desk, url, "AAAAA-BBBBB", office.paper, "uid:0")
    assert (code(gone), box.files()) == ("HG-6190", before)


async def test_a_service_that_issues_for_another_gateway_is_not_believed(
    box: Box, city: City
) -> None:
    office = Office(city)

    async def wrong(*_: Any) -> Any:
        _, request = request_of(city.provider, "sz-gw-0002", Role.GATEWAY)
        pair = city.ca.issue_pair(request, "sz-gw-0002")
        return office.service._given(pair, pair.signing)

    office.service._enroll = wrong  # type: ignore[method-assign]
    async with office.serving():
        with pytest.raises(ConfigError) as refused:
            await enroll_online(box.desk, office.url, office.give(), office.paper, "uid:0")
    assert {p.code for p in refused.value.problems} == {"HG-6155"}
    assert not box.identity.chain


# ---------------------------------------------------------------- renewal


async def test_a_renewal_needs_no_token_and_overlaps(box: Box, city: City) -> None:
    async with Office(city).serving() as office:
        await enrolled(box, office)
        old = box.identity.chain[0]
        assert not box.desk.renewal_due(city.ca.now())
        box.later(days=705)
        assert box.desk.renewal_due(city.ca.now())
        assert await renew_online(box.desk)
    new = box.identity.chain[0]
    assert new.spki != old.spki
    assert new.not_before < old.not_after, "both are valid for a while"
    assert {each.serial for each in city.ca.valid("sz-gw-0001", Role.GATEWAY)} == {
        f"{old.serial:x}", f"{new.serial:x}",
    }  # fmt: skip
    assert not box.desk.renewal_due(city.ca.now())


async def test_a_renewal_that_is_played_back_is_refused(box: Box, city: City) -> None:
    office = Office(city)
    bodies: list[bytes] = []
    answer = office.service.answer

    async def listen(peer: str, method: str, path: str, body: bytes) -> Any:
        bodies.extend([body] if path == protocol.RENEW else [])
        return await answer(peer, method, path, body)

    office.service.answer = listen  # type: ignore[method-assign]
    async with office.serving():
        await enrolled(box, office)
        box.later(days=705)
        await renew_online(box.desk)
    reply = await answer("somebody", "POST", protocol.RENEW, bodies[0])
    assert reply.status == 401
    assert protocol.decode(protocol.Refusal, reply.body).error == "nonce"


async def test_a_renewal_with_another_key_or_for_another_box_is_refused(
    box: Box, city: City, tmp_path: Path
) -> None:
    other = Box(tmp_path / "other", "sz-gw-0002", city.clock, net=SystemNet())
    async with Office(city).serving() as office:
        await enrolled(box, office)
        await enroll_online(
            other.desk, office.url, office.give("sz-gw-0002"), office.paper, "uid:0"
        )
        asked = await other.desk.request("uid:0")
        theirs, ours = other.identity, box.identity
        key = theirs.signing_key
        for gateway, serial in (
            ("sz-gw-0001", ours.chain[0].serial),
            ("sz-gw-0001", theirs.chain[0].serial),
            ("sz-gw-0002", ours.chain[0].serial),
        ):
            nonce = office.service._nonce()
            text = protocol.renewal_text(
                city.provider, gateway, f"{serial:x}", nonce, (asked.sign.der, asked.link.der)
            )
            body = protocol.Renew(
                gateway, f"{serial:x}", nonce, asked.sign.pem().decode(),
                asked.link.pem().decode(), key.sign(text).hex(),
            )  # fmt: skip
            reply = await office.service.answer("x", "POST", protocol.RENEW, protocol.encode(body))
            assert reply.status == 401


@pytest.mark.parametrize("fate", ["expired", "revoked"])
async def test_an_identity_that_is_over_needs_a_token_again(
    box: Box, city: City, fate: str
) -> None:
    async with Office(city).serving() as office:
        await enrolled(box, office)
        if fate == "expired":
            box.later(days=800)
        else:
            city.ca.revoke(box.identity.chain[0].serial, Reason.KEY_COMPROMISE)
        with pytest.raises(SecurityError) as refused:
            await renew_online(box.desk)
        assert code(refused) == "HG-6198"
        await box.desk.request("uid:0", anew=True)
        await enroll_online(box.desk, office.url, office.give(), office.paper, "uid:0")
    assert box.load().certified.barred == ""


async def test_lists_and_the_platforms_next_certificates_are_fetched(box: Box, city: City) -> None:
    office = Office(city)
    give = office.hosting.folder / "give"
    _, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    _, receipt = city.platform(Role.PLATFORM_RECEIPT)
    (give / "platform-encryption.crt").write_bytes(encryption.pem())
    (give / "platform-receipt.crt").write_bytes(receipt.pem())
    async with office.serving():
        await enrolled(box, office)
        assert box.identity.recipients == (encryption,)
        taken = box.taken
        assert await refresh_online(box.desk)
        assert box.taken == taken, "nothing new, nothing touched"
        box.later(days=100)
        _, following = city.platform(Role.PLATFORM_ENCRYPTION)
        (give / "platform-encryption-2.crt").write_bytes(following.pem())
        city.ca.revoke(encryption.serial, Reason.SUPERSEDED)
        city.ca.crl()
        assert await refresh_online(box.desk)
    assert box.identity.recipients == (following,)
    assert ("key-rotated", "ok") in box.audit.told()
    assert box.status()["problems"] == [], "what has a successor is no problem"


async def test_only_what_concerns_gateways_is_handed_out(city: City) -> None:
    office = Office(city)
    give = office.hosting.folder / "give"
    _, encryption = city.platform(Role.PLATFORM_ENCRYPTION)
    (give / "encryption.cer").write_bytes(encryption.der)
    (give / "notes.txt").write_text("who may read this?")
    # A key that somebody put into the wrong folder.
    (give / "platform.key").write_bytes(city.provider.sm2_generate().pem())
    (city.folder / "ca.crl").unlink(missing_ok=True)
    assert office.hosting.given() == {"encryption.cer": encryption.pem().decode()}
    crl = city.ca.crl()
    assert office.hosting.given()["list-ca.crl"] == crl.pem().decode()


# ---------------------------------------------------------------- the service's own manners


async def test_whoever_guesses_is_slowed_down(city: City) -> None:
    office = Office(city)
    _, sign = request_of(city.provider, "sz-gw-0001", Role.GATEWAY)
    _, link = request_of(city.provider, "sz-gw-0001", Role.GATEWAY_LINK)

    async def guess(token: str, peer: str = "10.0.0.9") -> int:
        body = protocol.Enroll("sz-gw-0001", token, sign.pem().decode(), link.pem().decode())
        return (
            await office.service.answer(peer, "POST", protocol.ENROLL, protocol.encode(body))
        ).status

    assert [await guess("GUESS-00000") for _ in range(11)] == [401] * 10 + [429]
    token = office.give()
    assert await guess(token) == 429, "also with the right one"
    assert await guess(token, "10.0.0.10") == 200, "others are not concerned"
    city.clock.advance(31)
    assert await guess("GUESS-00000") == 401
    assert [e.kind for e in office.audit.entries].count("enrolment-refused") == 13


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", protocol.ENROLL, b"", 400),
        ("POST", protocol.ENROLL, b"[" * 9000, 400),
        ("POST", protocol.ENROLL, b'{"version":2}', 400),
        ("POST", protocol.RENEW, b'{"gateway":"../../x"}', 400),
        ("GET", "/../../etc/passwd", b"", 404),
        ("DELETE", protocol.CA, b"", 404),
    ],
)
async def test_what_the_service_does_not_know_it_refuses(
    city: City, method: str, path: str, body: bytes, status: int
) -> None:
    reply = await Office(city).service.answer("x", method, path, body)
    assert reply.status == status
    assert protocol.decode(protocol.Refusal, reply.body).error


async def test_raw_bytes_do_not_disturb_the_service(city: City, box: Box) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with Office(city).serving() as office:
        host, port = "127.0.0.1", int(office.url.rpartition(":")[2])
        for raw in (
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /headgate/enrolment/v1/enroll HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /headgate/enrolment/v1/enroll HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"A" * 9000 + b"\r\n\r\n",
            b"GET /elsewhere HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection(host, port, ssl=trusting)
            writer.write(raw)
            answer = await reader.read()
            writer.transport.abort()
            assert answer.startswith(b"HTTP/1.1 4"), raw[:40]
        await enroll_online(box.desk, office.url, office.give(), office.paper, "uid:0")


async def test_tls_older_than_1_3_is_refused(city: City) -> None:
    old = ssl.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Office(city).serving() as office:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", int(office.url.rpartition(":")[2]), ssl=old)


async def test_the_services_certificate_is_made_anew_and_the_fingerprint_stays(city: City) -> None:
    office = Office(city)
    office.hosting.context(["ca.example"])
    first = (office.hosting.folder / "server.crt").read_bytes()
    office.hosting.context(["ca.example"])
    assert (office.hosting.folder / "server.crt").read_bytes() == first
    city.clock.advance(350 * 86400)
    office.hosting.context(["ca.example"])
    assert (office.hosting.folder / "server.crt").read_bytes() != first
    assert protocol.fingerprint(city.provider, office.hosting.bundle()) == office.paper


async def test_a_ca_that_wants_to_look_first_is_waited_for(box: Box, city: City) -> None:
    office = Office(city)
    from headgate.runtime.enrolment.service import Reply

    real = office.service._enroll
    waits = [Reply(202, protocol.encode(protocol.Wait(300)))]

    async def undecided(peer: str, asked: protocol.Enroll) -> Reply:
        return waits.pop() if waits else await real(peer, asked)

    office.service._enroll = undecided  # type: ignore[method-assign]
    async with office.serving():
        token = office.give()
        with pytest.raises(SecurityError) as wait:
            await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
        assert (code(wait), wait.value.fields["after"]) == ("HG-6195", 300)
        await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
    assert box.identity.chain


async def test_no_token_stands_in_a_log_an_error_or_the_audit(
    box: Box, city: City, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with Office(city).serving() as office:
        token = office.give("sz-gw-0002")
        try:
            await enroll_online(box.desk, office.url, token, office.paper, "uid:0")
        except HeadgateError as error:
            said += [str(error), repr(error), str(error.fields)]
    said += [repr(each) for each in (*office.audit.entries, *box.audit.entries)]
    said += [caplog.text, json.dumps(box.status())]
    said.append(repr(protocol.Enroll("g", token, "", "")))
    assert said and not any(token in text for text in said)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n",
        b"",
    ],
)
async def test_whatever_a_server_answers_is_a_sentence(box: Box, city: City, raw: bytes) -> None:
    office = Office(city)

    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(
        liar, "127.0.0.1", 0, ssl=office.hosting.context(["127.0.0.1"])
    )
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        with pytest.raises(HeadgateError) as refused:
            await enroll_online(box.desk, url, "AAAAA-BBBBB", office.paper, "uid:0")
    finally:
        server.close()
        await server.wait_closed()
    assert code(refused) in ("HG-6190", "HG-6194", "HG-6198")


async def test_answers_in_chunks_are_read(city: City, box: Box) -> None:
    """As a Java server or a proxy in front of the city's CA sends them."""
    office = Office(city)

    async def chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b'HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n1\r\n"\r\n0\r\n\r\n'
        )
        writer.close()

    tls = office.hosting.context(["127.0.0.1"])
    server = await asyncio.start_server(chunks, "127.0.0.1", 0, ssl=tls)
    to = address_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/ca/")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    try:
        answer = await ask(box.env, to, trusting, "GET", "/ca")
    finally:
        server.close()
        await server.wait_closed()
    assert (answer.status, answer.body) == (200, b'{"a"')
