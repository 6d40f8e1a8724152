"""What a site file says of a broker, checked off the network."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec

from headgate.mqtt import Settings, tls_context
from headgate.sdk import ConfigError, UplinkContext
from headgate.sdk.options import Options

#: Keys that every uplink may have, whatever its type.
COMMON = (
    "url", "ack", "protocol", "client_id", "username", "password", "ca_pem", "client_certificate",
    "client_key", "server_name", "keepalive_s", "timeout_s", "in_flight", "reconnect_min_s",
    "reconnect_max_s", "topic", "unsynced", "language", "epoch", "version", "up_s",
)  # fmt: skip


class LinkOptions(msgspec.Struct, frozen=True):
    """How to reach one broker. `tls` is None for `mqtt://`; `server_name` its certificate must bear.

    `up_s`: how long ago the box was switched on, when the gateway started.
    """

    settings: Settings
    tls: ssl.SSLContext | None
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
    ca_pem, server_name = options.text("ca_pem"), options.text("server_name")
    certificate, key = _path(options, "client_certificate"), _path(options, "client_key")
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
        tls = None
        if found.tls:
            tls = tls_context(ca_pem, certificate, key)
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
    if tls is not None and server_name:
        tls = _named(tls, server_name)
    name = server_name or settings.host
    return LinkOptions(settings, tls, name, in_flight, min(low, high), high, up_s)


def _path(options: Options, key: str) -> Path | None:
    text = options.text(key)
    return Path(text) if text else None


class _Named(ssl.SSLContext):
    """Checks the peer against a name of the site file's choosing, not against the address dialled."""

    server_name: str

    def wrap_socket(self, *args: object, **kwargs: object) -> ssl.SSLSocket:
        kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(*args, **kwargs)  # type: ignore[arg-type]


def _named(tls: ssl.SSLContext, server_name: str) -> ssl.SSLContext:
    # The library dials and names the peer with one argument; the context is where they part.
    tls.__class__ = _Named
    assert isinstance(tls, _Named)
    tls.server_name = server_name
    return tls
