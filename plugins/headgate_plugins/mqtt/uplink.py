"""The native uplink: its options, and a session on every connection."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import ClassVar

from headgate.mqtt import Link, Will
from headgate.sdk import (
    ConfigError,
    HeadgateError,
    Outbox,
    ProbeStep,
    Problem,
    SecurityError,
    Uplink,
    UplinkContext,
)
from headgate.sdk.options import Options
from headgate_plugins.mqtt.link import COMMON, LinkOptions, read_link
from headgate_plugins.mqtt.probe import Way, walk
from headgate_plugins.mqtt.session import Session, Terms
from headgate_plugins.mqtt.stay import stay_connected

log = logging.getLogger(__name__)

_MIB = 1024 * 1024


class MqttUplink(Uplink):
    """Sealed records over MQTT, freed by the platform's signed receipts (or, if told so, by the broker).

    `state` is connecting, online, no receipts, refused or waiting; `bad_receipts` counts receipts that
    did not prove themselves.
    """

    name: ClassVar[str] = "mqtt"
    schemes: ClassVar[tuple[str, ...]] = ("mqtt", "mqtts")
    option_keys: ClassVar[tuple[str, ...] | None] = (
        "receipt_timeout", "ahead", "ahead_mib", "nobody_listening",
    )  # fmt: skip

    def __init__(self, context: UplinkContext) -> None:
        super().__init__(context)
        self.link, self.terms = read_options(context)
        self.bad_receipts = 0

    async def run(self, outbox: Outbox) -> None:
        """Deliver until cancelled."""
        will = Will(self.terms.topic("status"), self.terms.offline)

        async def serve(link: Link) -> None:
            await Session(self.terms, link, outbox, self._say, self._doubt).run()

        await stay_connected(self.context.id, self.link, will, self._say, serve)

    async def probe(self) -> Sequence[ProbeStep]:
        """The way to the platform, step by step, under a client identifier of its own."""
        terms = self.terms
        way = Way(self.link, terms.topic("down/receipt"), terms.topic("up/test"))
        return [step async for step in walk(way)]

    def _say(self, state: str, error: HeadgateError | None) -> None:
        if state != self.state:
            log.info("uplink state", extra={"uplink": self.context.id, "state": state})
        self.state, self.error = state, error

    def _doubt(self, error: SecurityError) -> None:
        self.bad_receipts += 1
        # A hostile broker can send these all day: the first, then each doubling.
        if self.bad_receipts & (self.bad_receipts - 1) == 0:
            log.warning(
                "bad receipt ignored",
                extra={
                    "uplink": self.context.id,
                    "code": error.code,
                    "reason": str(error),
                    "count": self.bad_receipts,
                },
            )


def read_options(context: UplinkContext) -> tuple[LinkOptions, Terms]:
    """Broker and terms of an uplink.

    Raises:
        ConfigError: with every mistake.
    """
    options = Options(f"uplink {context.id}", context.options)
    link = read_link(context, options, context.gateway)
    ack = options.choice("ack", ("platform", "broker"), default="platform")
    unheard = options.choice("nobody_listening", ("hold", "accept"), default="hold")
    receipt_s = options.duration("receipt_timeout", 60.0, low_s=0.05, high_s=86_400)
    ahead = options.whole("ahead", 512, low=1, high=100_000)
    ahead_mib = options.whole("ahead_mib", 32, low=1, high=1024)
    options.check(COMMON)
    assert link is not None
    if ack == "broker" and link.settings.version != "5":
        # A 3.1.1 PUBACK cannot say no: "delivered" would be a guess.
        raise ConfigError([Problem(f"uplink {context.id}: ack", "HG-1215", {"uplink": context.id})])
    said = {
        "epoch": context.options.get("epoch", ""),
        "version": context.options.get("version", ""),
    }
    return link, Terms(
        gateway=context.gateway,
        by_platform=ack == "platform",
        unheard=unheard == "accept",
        in_flight=link.in_flight,
        ahead=max(ahead, link.in_flight),
        ahead_bytes=ahead_mib * _MIB,
        receipt_s=receipt_s,
        retry_low_s=link.reconnect_min_s,
        retry_high_s=link.reconnect_max_s,
        online=_status(context.gateway, "online", said),
        offline=_status(context.gateway, "offline", said),
    )


def _status(gateway: str, state: str, said: dict[str, str]) -> bytes:
    # Source: docs/reference/uplink.md, section 1.
    return json.dumps(
        {"v": 1, "gateway": gateway, "state": state, **said}, separators=(",", ":")
    ).encode()
