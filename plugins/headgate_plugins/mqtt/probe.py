"""The way to a platform, walked step by step: which one fails first, and why.

It logs in under the identifier of the uplink with `-test` behind it, so that the connection of a
running gateway is left alone, and publishes one empty message on a topic of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import msgspec

from headgate.link import Context, Facts, Refused
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
    if settings.unix is None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STEP_S):
                found = await loop.getaddrinfo(
                    settings.host, settings.port, type=socket.SOCK_STREAM
                )
        except (OSError, UnicodeError) as error:
            yield _failed("name", "HG-5050", host=settings.host, reason=_reason(error))
            return
        yield ProbeStep("name", True, ", ".join(sorted({str(each[4][0]) for each in found})))

    try:
        # In a thread, and through the very lines that carry records: what passes here passes there.
        connected = await asyncio.to_thread(_dial, link)
    except OSError as error:
        yield _failed("tcp", "HG-5010", broker=settings.broker, reason=_reason(error))
        return
    yield ProbeStep("tcp", True, settings.unix or str(connected.getpeername()[0]))
    if link.tls is None:
        connected.close()
        return
    try:
        facts = await asyncio.to_thread(_shake_hands, link, link.tls, connected)
    except Refused as refused:
        if refused.certificate:
            # The peers did agree on TLS; what failed is what the certificate proves.
            yield ProbeStep("tls", True)
        fields = {"name": link.server_name, **refused.fields, "broker": settings.broker}
        step = "certificate" if refused.certificate else "tls"
        yield _failed(step, refused.code, **fields)
        return
    except OSError as error:
        yield _failed("tls", "HG-5011", broker=settings.broker, reason=_reason(error))
        return
    yield ProbeStep("tls", True, str(facts))
    if link.tls.encrypts:
        yield ProbeStep("certificate", True, facts.peer or link.server_name)


def _dial(link: LinkOptions) -> socket.socket:
    """A connected socket. Raises OSError."""
    settings = link.settings
    if settings.unix is None:
        return socket.create_connection((settings.host, settings.port), STEP_S)
    dialled = socket.socket(socket.AF_UNIX)
    try:
        dialled.settimeout(STEP_S)
        dialled.connect(settings.unix)
    except OSError:
        dialled.close()
        raise
    return dialled


def _shake_hands(link: LinkOptions, tls: Context, connected: socket.socket) -> Facts:
    """What two ends agree on; hangs up in any case. Raises OSError, Refused among them."""
    try:
        line = tls.wrap_socket(connected, server_hostname=link.settings.host)
    except (OSError, ValueError):
        connected.close()
        raise
    try:
        line.settimeout(STEP_S)
        line.do_handshake()
        return line.facts()
    finally:
        line.close()


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
