"""The way to a platform, walked step by step: which one fails first, and why.

It logs in under the identifier of the uplink with `-test` behind it, so that the connection of a
running gateway is left alone, and publishes one empty message on a topic of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import msgspec

from headgate.mqtt import PublishRefused, connect
from headgate.sdk import HeadgateError, ProbeStep, UplinkError
from headgate_plugins.mqtt.link import LinkOptions

#: Longest wait for one step.
STEP_S = 10.0
_NO_SUBSCRIBER = 0x10


class Way(msgspec.Struct, frozen=True):
    """What is tried: the broker, and the topics to subscribe to and publish on; None leaves that out."""

    link: LinkOptions
    subscribe: str | None
    publish: str | None


async def walk(way: Way) -> AsyncIterator[ProbeStep]:
    """Each step as it is done; the last one given is the first that failed, or there is none."""
    async for step in _walk_network(way.link):
        yield step
        if not step.passed:
            return
    async for step in _walk_mqtt(way):
        yield step


# ---------------------------------------------------------------- the network


async def _walk_network(link: LinkOptions) -> AsyncIterator[ProbeStep]:
    settings = link.settings
    broker = f"{settings.host}:{settings.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STEP_S):
            found = await loop.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = _reason(error)
        yield _failed("name", "HG-5050", host=settings.host, reason=reason)
        return
    yield ProbeStep("name", True, ", ".join(sorted({str(each[4][0]) for each in found})))

    try:
        address = await _open(settings.host, settings.port)
    except OSError as error:
        yield _failed("tcp", "HG-5010", broker=broker, reason=_reason(error))
        return
    yield ProbeStep("tcp", True, address)

    if link.tls is None:
        return
    try:
        version, cipher = await _shake_hands(link, link.tls)
    except ssl.SSLCertVerificationError as error:
        # The peers did agree on TLS; what failed is what the certificate proves.
        yield ProbeStep("tls", True)
        reason = error.verify_message or str(error)
        yield _failed("certificate", "HG-5051", broker=broker, name=link.server_name, reason=reason)
        return
    except OSError as error:
        yield _failed("tls", "HG-5011", broker=broker, reason=_reason(error))
        return
    yield ProbeStep("tls", True, f"{version} {cipher}")
    yield ProbeStep("certificate", True, link.server_name)


async def _open(host: str, port: int) -> str:
    """Connect and hang up; the address that answered. Raises OSError."""
    async with asyncio.timeout(STEP_S):
        _, writer = await asyncio.open_connection(host, port)
    address = str(writer.get_extra_info("peername")[0])
    await _hang_up(writer)
    return address


async def _shake_hands(link: LinkOptions, tls: ssl.SSLContext) -> tuple[str, str]:
    """Version and cipher of a TLS connection. Raises OSError; a bad certificate as what it is."""
    settings = link.settings
    async with asyncio.timeout(STEP_S):
        _, writer = await asyncio.open_connection(
            settings.host, settings.port, ssl=tls, server_hostname=link.server_name
        )
    cipher = writer.get_extra_info("cipher")
    await _hang_up(writer)
    return str(cipher[1]), str(cipher[0])


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return  # hung up is hung up


def _reason(error: BaseException) -> str:
    """Why, without the number: "Connection refused"."""
    if isinstance(error, TimeoutError):
        return f"no answer within {STEP_S:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


# ---------------------------------------------------------------- MQTT


async def _walk_mqtt(way: Way) -> AsyncIterator[ProbeStep]:
    settings = msgspec.structs.replace(
        way.link.settings,
        identifier=f"{way.link.settings.identifier}-test",
        timeout_s=min(way.link.settings.timeout_s, STEP_S),
    )
    step = "login"
    try:
        async with connect(settings, tls=way.link.tls) as link:
            yield ProbeStep("login", True, settings.username or "-")
            if way.subscribe is not None:
                step = "subscribe"
                await link.subscribe(way.subscribe)
                yield ProbeStep("subscribe", True, way.subscribe)
            if way.publish is not None:
                step = "publish"
                code = await link.publish(way.publish, b"")
                yield ProbeStep("publish", True, way.publish)
                if settings.version == "5":
                    yield _receiver(way.publish, code)
    except (UplinkError, PublishRefused) as error:
        yield _of(step, error)


def _receiver(topic: str, code: int) -> ProbeStep:
    """A broker of MQTT 5 tells when nobody has subscribed: then no platform listens."""
    if code == _NO_SUBSCRIBER:
        return _failed("receiver", "HG-5023", topic=topic)
    return ProbeStep("receiver", True)


def _failed(name: str, code: str, /, **fields: str | int | float | None) -> ProbeStep:
    return ProbeStep(name, False, code=code, fields=fields)


def _of(name: str, error: HeadgateError) -> ProbeStep:
    fields: dict[str, str | int | float | None] = {
        key: value if isinstance(value, (str, int, float)) else str(value)
        for key, value in error.fields.items()
    }
    return ProbeStep(name, False, str(error), error.code, fields)
