"""Byte lines to devices, opened by URL. What a driver sees of them is `headgate.sdk.Channel`."""

from __future__ import annotations

from urllib.parse import urlsplit

from headgate.channels.base import (
    ChannelCounters,
    ChannelSettings,
    ChannelState,
    Direction,
    ManagedChannel,
    Tap,
)
from headgate.channels.tcp import TcpChannel
from headgate.env import Env
from headgate.errors import ConfigError, Problem

#: URL schemes that are one outgoing TCP connection, and the port each means when none is given.
TCP_SCHEMES = {"modbus+tcp": 502}

__all__ = [
    "TCP_SCHEMES",
    "ChannelCounters",
    "ChannelSettings",
    "ChannelState",
    "Direction",
    "ManagedChannel",
    "Tap",
    "TcpChannel",
    "open_channel",
]


def open_channel(env: Env, settings: ChannelSettings) -> ManagedChannel:
    """The channel that a URL names, not yet opened: call `open()` in a running loop.

    Raises:
        ConfigError: a scheme nobody knows, no host, or a port that is none.
    """
    where = f"channel {settings.id}"
    try:
        parts = urlsplit(settings.url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        fields: dict[str, str | int | float] = {"url": settings.url, "reason": str(error)}
        raise ConfigError([Problem(where, "HG-3011", fields)]) from error
    default_port = TCP_SCHEMES.get(parts.scheme)
    if default_port is None:
        known = ", ".join(sorted(TCP_SCHEMES))
        problem = Problem(where, "HG-3010", {"scheme": parts.scheme, "known": known})
        raise ConfigError([problem])
    if not host:
        problem = Problem(where, "HG-3011", {"url": settings.url, "reason": "no host"})
        raise ConfigError([problem])
    return TcpChannel(env, settings, host, port or default_port)
