"""What a site file says of a broker, checked off the network."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec

from headgate.link import Context, Kind, Minimum, Terms, Trust, open_context, stays_here
from headgate.mqtt import Settings
from headgate.sdk import ConfigError, Problem, UplinkContext
from headgate.sdk.options import Options

#: Keys that every uplink may have, whatever its type.
COMMON = (
    "url", "ack", "protocol", "client_id", "username", "password", "ca_pem", "client_certificate",
    "client_key", "link", "trust", "tls_minimum", "crl", "sidecar_user",
    "server_name", "keepalive_s", "timeout_s", "in_flight", "reconnect_min_s",
    "reconnect_max_s", "topic", "unsynced", "language", "epoch", "version", "up_s",
)  # fmt: skip


class LinkOptions(msgspec.Struct, frozen=True):
    """How to reach one broker. `tls` is None for a plain link; `server_name` its certificate must bear.

    `up_s`: how long ago the box was switched on, when the gateway started.
    """

    settings: Settings
    tls: Context | None
    server_name: str
    in_flight: int
    reconnect_min_s: float
    reconnect_max_s: float
    up_s: float


def read_link(context: UplinkContext, options: Options, identifier: str) -> LinkOptions | None:
    """The broker of an uplink; None when something is wrong, which `options` then knows.

    Args:
        identifier: the MQTT client identifier when the site file names none.
    """
    where = f"uplink {context.id}"
    url = options.text("url")
    protocol = options.choice("protocol", ("5", "3.1.1"), default="5")
    client_id = options.text("client_id") or identifier
    username, password = options.text("username"), options.text("password")
    said = options.choice("link", ("", "tls", "rfc8998", "sidecar"), default="")
    terms = Terms(
        ca_pem=options.text("ca_pem"),
        trust=cast(Trust, options.choice("trust", ("pinned", "system"), default="pinned")),
        certificate=_path(options, "client_certificate"),
        key=_path(options, "client_key"),
        crl=_path(options, "crl"),
        server_name=options.text("server_name"),
        minimum=cast(Minimum, options.choice("tls_minimum", ("1.3", "1.2"), default="1.3")),
        gateway=context.gateway,
        user=options.text("sidecar_user"),
    )
    keepalive_s = options.number("keepalive_s", 30.0, low=1, high=65_535)
    timeout_s = options.number("timeout_s", 30.0, low=0.05, high=3600)
    in_flight = options.whole("in_flight", 16, low=1, high=1000)
    low = options.number("reconnect_min_s", 1.0, low=0, high=86_400)
    high = options.number("reconnect_max_s", 90.0, low=0, high=86_400)
    up_s = options.number("up_s", 1e9, low=0, high=1e12)
    if url is None:
        options.problem("url", "HG-1102", key="url", expected="mqtts://host:8883")
        return None
    try:
        found = Settings.from_url(url, where=f"{where}: url", password=password)
        kind = _kind(found, said, where)
        tls = None
        if kind is not None:
            tls = open_context(msgspec.structs.replace(terms, kind=kind), where=where)
    except ConfigError as error:
        options.problems.extend(error.problems)
        return None
    settings = msgspec.structs.replace(
        found,
        username=username or found.username,
        identifier=client_id,
        version="3.1.1" if protocol == "3.1.1" else found.version,
        keepalive_s=max(1, round(keepalive_s)),
        timeout_s=timeout_s,
        window=max(20, in_flight),
    )
    name = terms.server_name or settings.host
    return LinkOptions(settings, tls, name, in_flight, min(low, high), high, up_s)


def _kind(found: Settings, said: str, where: str) -> Kind | None:
    """What protects the link; None when nothing does.

    Raises:
        ConfigError: the URL and the word for the link do not go together. Neither is guessed from
            the other: a link that was meant to be encrypted must not come out plain.
    """
    if said in ("tls", "rfc8998") and not found.tls:
        raise _contradiction(where, said, "mqtts://")
    if said == "sidecar":
        if found.tls:
            raise _contradiction(where, said, "mqtt://127.0.0.1:1884 | mqtt+unix:///run/...")
        if found.unix is None and not stays_here(found.host):
            raise ConfigError([Problem(f"{where}: url", "HG-5082", {"address": found.host})])
        return "sidecar"
    if found.unix is not None:
        # A socket has an owner: whose it must be is asked by the sidecar's link alone.
        raise _contradiction(where, said or "-", 'link = "sidecar"')
    if said:
        return cast(Kind, said)
    return "tls" if found.tls else None


def _contradiction(where: str, said: str, wanted: str) -> ConfigError:
    return ConfigError([Problem(f"{where}: link", "HG-5080", {"link": said, "wanted": wanted})])


def _path(options: Options, key: str) -> Path | None:
    text = options.text(key)
    return Path(text) if text else None
