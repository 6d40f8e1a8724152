"""The JSON uplink: opens records with the box's own key, publishes what they say, settles by PUBACK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from headgate.mqtt import Link
from headgate.sdk import HeadgateError, Outbox, ProbeStep, Uplink, UplinkContext
from headgate.sdk.options import Options
from headgate_plugins.mqtt.link import COMMON, LinkOptions, read_link
from headgate_plugins.mqtt.probe import Way, walk
from headgate_plugins.mqtt.stay import stay_connected
from headgate_plugins.mqtt_json.render import ABOUT, PER_BLOCK, PER_POINT, Shape
from headgate_plugins.mqtt_json.session import JsonSession, Manners
from headgate_plugins.mqtt_json.template import (
    Fields,
    Fill,
    TemplateError,
    compile_json,
    compile_text,
)

log = logging.getLogger(__name__)

TOPIC = "city/{gateway}/{device}"
_BLOCK = ("gateway", "device", "name", "time", "time_state", "slot", "values", "quality")
_POINT = ("gateway", "device", "name", "point", "time", "time_state", "value", "unit", "quality")
_NOT_IN_A_TOPIC = str.maketrans("+#\0", "___")
_GAP_FIELDS = ("gateway", "device", "reason")
_ALARM_FIELDS = ("gateway", "device", "point", "code")


class MqttJsonUplink(Uplink):
    """Engineering values as JSON, in a shape that the site file gives.

    `state` is connecting, online, refused, holding (no trusted time yet), locked (no local key for a
    record) or waiting.
    """

    name: ClassVar[str] = "mqtt-json"
    # It is chosen by its type; the schemes belong to the native uplink.
    schemes: ClassVar[tuple[str, ...]] = ()
    option_keys: ClassVar[tuple[str, ...] | None] = (
        "per", "template", "fields", "units", "gap_topic", "alarm_topic", "batch", "nobody_listening",
    )  # fmt: skip

    def __init__(self, context: UplinkContext) -> None:
        super().__init__(context)
        self.link, self.shape, self.manners = read_options(context)

    async def run(self, outbox: Outbox) -> None:
        """Deliver until cancelled."""

        async def serve(link: Link) -> None:
            await JsonSession(self.shape, self.manners, link, outbox, self._say).run()

        await stay_connected(self.context.id, self.link, None, self._say, serve)

    async def probe(self) -> Sequence[ProbeStep]:
        """The way to the broker, up to the login: a foreign platform is not sent test messages."""
        return [step async for step in walk(Way(self.link, None, None))]

    def _say(self, state: str, error: HeadgateError | None) -> None:
        if state != self.state:
            log.info("uplink state", extra={"uplink": self.context.id, "state": state})
        self.state, self.error = state, error


def read_options(context: UplinkContext) -> tuple[LinkOptions, Shape, Manners]:
    """Broker, shape of messages and manners of an uplink.

    Raises:
        ConfigError: with every mistake.
    """
    options = Options(f"uplink {context.id}", context.options)
    # Not the gateway's bare id: the native uplink uses that, and a broker lets one in at a time.
    link = read_link(context, options, f"{context.gateway}-{context.id}")
    per: Literal["block", "point"] = (
        "point"
        if options.choice("per", ("block", "point"), default="block") == "point"
        else "block"
    )
    topic = _text(options, "topic", TOPIC, (*ABOUT, "point") if per == "point" else ABOUT)
    payload = _payload(options, per)
    gap_topic = _text(options, "gap_topic", None, _GAP_FIELDS)
    alarm_topic = _text(options, "alarm_topic", None, _ALARM_FIELDS)
    batch = options.whole("batch", 1, low=1, high=1000)
    unsynced = options.choice("unsynced", ("hold", "mark"), default="mark")
    unheard = options.choice("nobody_listening", ("hold", "accept"), default="hold")
    options.check(COMMON)
    assert link is not None and topic is not None
    shape = Shape(
        context.gateway, context.id, per, topic, payload, gap_topic, alarm_topic, batch
    )  # fmt: skip
    epoch = str(context.options.get("epoch") or "")
    return (
        link,
        shape,
        Manners(
            uplink=context.id,
            in_flight=link.in_flight,
            hold=unsynced == "hold",
            unheard=unheard == "accept",
            epoch=bytes.fromhex(epoch),
            retry_low_s=link.reconnect_min_s,
            retry_high_s=link.reconnect_max_s,
        ),
    )


def _text(
    options: Options, key: str, default: str | None, known: tuple[str, ...]
) -> Callable[[Fields], str] | None:
    text = options.text(key) or default
    if text is None:
        return None
    try:
        if "+" in text or "#" in text:
            raise TemplateError("a topic to publish on has no + and no #")
        return _publishable(compile_text(text, known))
    except TemplateError as error:
        options.problem(key, "HG-5040", reason=str(error), allowed=", ".join(known))
        return lambda fields: ""


def _publishable(topic: Callable[[Fields], str]) -> Callable[[Fields], str]:
    """Whatever a name or label holds, what comes out is a topic one may publish on."""
    return lambda fields: topic(fields).translate(_NOT_IN_A_TOPIC) or "_"


def _payload(options: Options, per: Literal["block", "point"]) -> Fill:
    known = PER_POINT if per == "point" else PER_BLOCK
    text = options.text("template")
    fixed = dict(options.table("fields"))
    units = options.flag("units", False)
    if text is None:
        names = _POINT if per == "point" else (*_BLOCK, *(("units",) if units else ()))
        shape: dict[str, Any] = {name: f"{{{name}}}" for name in names}
        text = msgspec.json.encode({**shape, **fixed}).decode()
    elif fixed or units:
        options.problem("fields" if fixed else "units", "HG-5041")
    try:
        return compile_json(text, known)
    except TemplateError as error:
        key = "fields" if options.text("template") is None else "template"
        options.problem(key, "HG-5040", reason=str(error), allowed=", ".join(known))
        return lambda fields: None
