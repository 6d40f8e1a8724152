"""A connection to a broker, as whoever publishes and listens has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from headgate.errors import ConfigError, Problem, UplinkUnavailable
from headgate.link import Context, Facts
from headgate.mqtt.client import Client
from headgate.mqtt.settings import Message, Settings, Will


class Link:
    """An open connection. Made by `connect`; every method raises `UplinkUnavailable` once it is lost."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def facts(self) -> Facts | None:
        """What the two ends agreed on; None for a plain connection."""
        return self._client.facts()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
    ) -> int:
        """Return when the broker has acknowledged (QoS 1) or the bytes are on their way (QoS 0).

        Args:
            expiry_s: how long the broker may keep it for somebody; MQTT 3.1.1 cannot be told.

        Returns:
            The PUBACK's reason code: 0, or 0x10 when nobody has subscribed. 0 for QoS 0 and MQTT 3.1.1.

        Raises:
            PublishRefused: the broker said no.
            UplinkUnavailable: the connection was lost, or no answer came in `timeout_s`. The broker
                may or may not have the message.
        """
        return await self._client.send(topic, payload, qos, retain, expiry_s)

    async def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Ask for messages of these topics.

        Raises:
            UplinkUnavailable: lost, or a filter was refused (HG-5020).
        """
        if self._client.end.done():
            raise self._client.why()
        try:
            granted = await self._client.subscribe([(each, qos) for each in filters])
        except aiomqtt.MqttError as error:
            raise self._client.unavailable(error) from None
        for each, answer in zip(filters, granted, strict=False):
            code = answer.value if isinstance(answer, ReasonCode) else int(str(answer))
            if code >= 0x80:
                raise UplinkUnavailable(
                    f"the broker refuses subscription to {each} ({code:#04x})",
                    code="HG-5020",
                    topic=each,
                    reason_code=code,
                )

    async def messages(self, *, manual: bool = False) -> AsyncIterator[Message]:
        """What comes in, until the connection is lost (then `UplinkUnavailable`).

        Each message is acknowledged to the broker when it is taken. With `manual` the caller does
        that by `ack`, when it has made the message durable; the broker sends at most `window` ahead.
        """
        while True:
            message = await self._client.next()
            if not manual:
                self.ack(message)
            yield message

    def take_waiting(self, limit: int) -> list[Message]:
        """Messages that are here already, at most `limit`, none of them acknowledged."""
        return self._client.waiting(limit)

    def ack(self, message: Message) -> None:
        """Tell the broker that this message is ours now. Nothing when the connection is gone."""
        if message.qos:
            self._client.acknowledge(message.mid, message.qos)

    async def lost(self) -> UplinkUnavailable:
        """Wait until the connection is lost, and say why."""
        await asyncio.wait((self._client.end,))
        return self._client.why()


@asynccontextmanager
async def connect(
    settings: Settings, *, tls: Context | None = None, will: Will | None = None
) -> AsyncIterator[Link]:
    """An open connection for as long as the block runs; left with a DISCONNECT, so without the will.

    Args:
        settings: where, and as whom.
        tls: from `headgate.link`; without it the connection is plain.
        will: what the broker says for us.

    Raises:
        ConfigError: `settings` want TLS and there is none: no connection is made.
        UplinkUnavailable: HG-5010 not reached, HG-5011 and HG-506x to HG-507x the link was refused,
            HG-5012 no answer, HG-5013 to HG-5018 refused by the broker.
    """
    if settings.tls and (tls is None or not tls.encrypts):
        raise ConfigError([Problem("tls", "HG-5081", {})])
    client = Client(settings, tls, will)
    try:
        await client.open()
        yield Link(client)
    finally:
        await client.close()
