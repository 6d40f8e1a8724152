"""`headgate.mqtt` against a real mosquitto."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme
from kit.links import trusting
from peers.mosquitto import Mosquitto, free_port, program

from headgate.errors import ConfigError, UplinkUnavailable
from headgate.mqtt import Message, PublishRefused, Settings, Will, connect

pytestmark = pytest.mark.peer("mosquitto")

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def to(broker: Mosquitto, **changes: object) -> Settings:
    made = {
        "host": "127.0.0.1",
        "port": broker.port,
        "tls": broker.authority is not None,
        **changes,
    }
    return Settings(**made)  # type: ignore[arg-type]


@VERSIONS
async def test_a_message_arrives_as_it_was_sent(tmp_path: Path, version: str) -> None:
    async with Mosquitto(tmp_path) as broker, connect(to(broker, version=version)) as link:
        await link.subscribe("a/#", "b/+")
        for topic, payload in (("a/1", b"one"), ("b/2", bytes(range(256)) * 4096), ("a/3", b"")):
            await link.publish(topic, payload)
            message = await anext(link.messages())
            assert (message.topic, message.payload) == (topic, payload)


async def test_the_broker_is_told_how_long_a_message_is_worth_keeping(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker, connect(to(broker)) as link:
        listening = await asyncio.create_subprocess_exec(
            program("mosquitto_sub"), "-V", "5", "-p", str(broker.port), "-t", "a", "-t", "b",
            "-C", "2", "-F", "%t %E",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        while await link.publish("b", b"") != 0:  # 0x10: nobody listens yet
            await asyncio.sleep(0.01)
        await link.publish("a", b"go", expiry_s=90)
        told, _ = await listening.communicate()
        assert told.split(b"\n")[:2] == [b"b ", b"a 90"]


async def test_many_messages_go_out_at_once(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker, connect(to(broker)) as link:
        await link.subscribe("a")
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(link.publish("a", b"%d" % number))
            received = []
            async for message in link.messages():
                received.append(int(message.payload))
                if len(received) == 200:
                    break
        assert received == list(range(200))


@VERSIONS
async def test_a_broker_killed_in_a_publish_ends_it_at_once(tmp_path: Path, version: str) -> None:
    # So long a timeout that the test's own limit would come first.
    async with (
        Mosquitto(tmp_path) as broker,
        connect(to(broker, version=version, timeout_s=600)) as link,
    ):
        broker.freeze()
        publish = asyncio.create_task(link.publish("a", b"x"))
        receive = asyncio.create_task(anext(link.messages()))
        await asyncio.sleep(0)
        await broker.kill()
        for task in (publish, receive):
            with pytest.raises(UplinkUnavailable) as caught:
                await task
            assert caught.value.code == "HG-5018"
        assert (await link.lost()).code == "HG-5018"
        with pytest.raises(UplinkUnavailable):
            await link.publish("a", b"y")


async def test_a_broker_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path) as broker, connect(to(broker, timeout_s=0.2)) as link:
        broker.freeze()
        with pytest.raises(UplinkUnavailable) as caught:
            await link.publish("a", b"x")
        assert caught.value.code == "HG-5012"
        broker.thaw()
        await link.publish("a", b"x")


ACL = "user gate\ntopic write open/#\ntopic read open/#\n"


async def test_a_refused_publish_is_an_error(tmp_path: Path) -> None:
    async with (
        Mosquitto(tmp_path, users={"gate": "secret"}, acl=ACL) as broker,
        connect(to(broker, username="gate", password="secret")) as link,
    ):
        await link.publish("open/a", b"x")
        with pytest.raises(PublishRefused) as caught:
            await link.publish("closed/a", b"x")
        assert (caught.value.reason_code, caught.value.code) == (0x87, "HG-5019")
        await link.publish("open/a", b"the link is still good")


@pytest.mark.parametrize(("version", "code"), [("5", "HG-5014"), ("3.1.1", "HG-5014")])
async def test_a_wrong_password_is_named(tmp_path: Path, version: str, code: str) -> None:
    async with Mosquitto(tmp_path, users={"gate": "secret"}) as broker:
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(to(broker, version=version, username="gate", password="wrong")):
                pass
    assert caught.value.code == code
    assert "wrong" not in str(caught.value)


async def test_nobody_listening_is_named() -> None:
    with pytest.raises(UplinkUnavailable) as caught:
        async with connect(Settings(host="127.0.0.1", port=free_port())):
            pass
    assert caught.value.code == "HG-5010"


async def test_a_listener_that_never_answers_is_named() -> None:
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(Settings(host="127.0.0.1", port=port, timeout_s=0.2)):
                pass
    assert caught.value.code == "HG-5012"


async def test_tls_checks_the_brokers_certificate(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, tls=True) as broker:
        async with connect(to(broker), tls=trusting(broker.ca_pem)) as link:
            await link.publish("a", b"x")
        stranger = trustme.CA().cert_pem.bytes().decode()
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(to(broker), tls=trusting(stranger)):
                pass
        assert caught.value.code == "HG-5060"


async def test_a_missing_client_certificate_is_found_without_waiting(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, tls=True, client_certificates=True) as broker:
        with pytest.raises(UplinkUnavailable) as caught:
            async with connect(to(broker, timeout_s=600), tls=trusting(broker.ca_pem)):
                pass
        assert caught.value.code in ("HG-5064", "HG-5074")  # the alert, or a reset that overtook it
        assert broker.authority is not None
        mine = broker.authority.issue_cert("gate-7.example")
        certificate = tmp_path / "mine.pem"
        mine.private_key_and_cert_chain_pem.write_to_path(certificate)
        async with connect(
            to(broker), tls=trusting(broker.ca_pem, certificate=certificate)
        ) as link:
            await link.publish("a", b"x")


async def test_the_will_speaks_only_when_we_cannot(tmp_path: Path) -> None:
    will = Will("status", b"offline")
    async with Mosquitto(tmp_path) as broker, connect(to(broker)) as watcher:
        await watcher.subscribe("status")
        messages = watcher.messages()
        async with connect(to(broker), will=will) as link:
            await link.publish("status", b"online", retain=True)
            assert (await anext(messages)).payload == b"online"
        async with connect(to(broker), will=will) as link:
            await link.publish("status", b"again", retain=True)
            assert (await anext(messages)).payload == b"again"
            # Cut without a DISCONNECT.
            link._client._client._sock_close()
            assert (await anext(messages)).payload == b"offline"


async def test_what_was_not_acknowledged_comes_again(tmp_path: Path) -> None:
    settings = {"identifier": "receiver", "session_s": 3600, "window": 4}
    async with Mosquitto(tmp_path) as broker, connect(to(broker)) as sender:
        async with connect(to(broker, **settings)) as link:
            await link.subscribe("a")
            for number in range(10):
                await sender.publish("a", b"%d" % number)
            messages = link.messages(manual=True)
            first: list[Message] = [await anext(messages) for _ in range(4)]
            # The window is closed: the broker keeps the rest until something is acknowledged.
            assert link.take_waiting(100) == []
            link.ack(first[0])
            first.append(await anext(messages))
            assert [int(m.payload) for m in first] == [0, 1, 2, 3, 4]
        async with connect(to(broker, **settings)) as link:
            again = []
            async for message in link.messages():
                again.append(int(message.payload))
                if len(again) == 9:
                    break
            assert sorted(again) == list(range(1, 10))


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A listener that takes everything and answers nothing."""
    await reader.read()
    writer.close()


async def test_connecting_can_be_given_up(tmp_path: Path) -> None:
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)

    async def forever() -> None:
        async with connect(Settings(host="127.0.0.1", port=port, timeout_s=0.3)):
            pass

    async with server:
        port = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "host:1883",
        "mqtt://",
        "mqtt://host:port",
        "mqtt://host/path",
        "mqtt://host?version=4",
        "mqtt://host?x=1",
        "mqtt://[::1",
    ],
)
def test_a_wrong_url_is_a_mistake_with_a_place(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_url(url, where="site.toml: uplink[0].url")
    (problem,) = caught.value.problems
    assert (problem.where, problem.code) == ("site.toml: uplink[0].url", "HG-5030")


def test_a_url_says_it_all() -> None:
    settings = Settings.from_url("mqtts://gate%207:p%40ss@broker.example?version=3.1.1")
    assert settings == Settings(
        host="broker.example",
        port=8883,
        tls=True,
        username="gate 7",
        password="p@ss",
        version="3.1.1",
    )
    assert "p@ss" not in repr(settings)
