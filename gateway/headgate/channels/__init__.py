"""Byte lines to devices, opened by URL. What a driver sees of them is `headgate.sdk.Channel`.

Each kind of line is imported when one is opened: most boxes have one or two.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from headgate.channels.base import (
    ChannelCounters,
    ChannelSettings,
    ChannelState,
    Direction,
    ManagedChannel,
    Tap,
    TlsFiles,
)
from headgate.env import Env
from headgate.errors import ConfigError, Problem
from headgate.sdk import line_of

__all__ = [
    "SCHEMES",
    "ChannelCounters",
    "ChannelSettings",
    "ChannelState",
    "Direction",
    "ManagedChannel",
    "Tap",
    "TlsFiles",
    "check_url",
    "open_channel",
]

_Open = Callable[[Env, ChannelSettings, SplitResult, int], ManagedChannel]


def _tcp(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.tcp import TcpChannel

    return TcpChannel(env, settings, _host(url), url.port or port)


def _tls(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.tcp import TlsChannel

    if settings.tls is None and settings.tls_files is None:
        settings = msgspec.structs.replace(settings, tls_files=TlsFiles())
    return TlsChannel(env, settings, _host(url), url.port or port)


def _udp(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.udp import UdpChannel

    return UdpChannel(env, settings, _host(url), url.port or port)


def _bus(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.bus import BusChannel

    return BusChannel(env, settings, _host(url), url.port or port, line_of(settings.url))


def _rfc2217(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.rfc2217 import Rfc2217Channel

    return Rfc2217Channel(env, settings, _host(url), url.port or port, line_of(settings.url))


def _serial(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.serial import SerialChannel

    return SerialChannel(env, settings, _path(url), line_of(settings.url))


def _dial_in(env: Env, settings: ChannelSettings, url: SplitResult, port: int) -> ManagedChannel:
    from headgate.channels.dialin import DialInChannel

    return DialInChannel(env, settings, _host(url), url.port or port, line_of(settings.url))


#: What each URL scheme opens, and the port it means when none is given.
SCHEMES: dict[str, tuple[_Open, int]] = {
    "modbus+tcp": (_tcp, 502),
    "modbus+tls": (_tls, 802),
    "modbus+udp": (_udp, 502),
    "modbus+rtu+tcp": (_bus, 502),
    "modbus+ascii+tcp": (_bus, 502),
    "modbus+rtu+rfc2217": (_rfc2217, 2217),
    "modbus+ascii+rfc2217": (_rfc2217, 2217),
    "modbus+rtu": (_serial, 0),
    "modbus+ascii": (_serial, 0),
    "modbus+dtu+listen": (_dial_in, 0),
    "serial": (_serial, 0),
    "serial+tcp": (_bus, 4001),  # the first raw TCP port of most serial servers
    "serial+rfc2217": (_rfc2217, 2217),
}


def open_channel(env: Env, settings: ChannelSettings) -> ManagedChannel:
    """The channel that a URL names, not yet opened: call `open()` in a running loop.

    Raises:
        ConfigError: a scheme nobody knows, no host or path, a port or an option that is none.
    """
    if problems := check_url(settings.id, settings.url):
        raise ConfigError(problems)
    parts = urlsplit(settings.url)
    opener, port = SCHEMES[parts.scheme]
    return opener(env, settings, parts, port)


def check_url(channel_id: str, url: str) -> tuple[Problem, ...]:
    """What is wrong with the URL of a channel, where its scheme is one of ours. Touches nothing."""
    where = f"channel {channel_id}"
    try:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            known = ", ".join(sorted(SCHEMES))
            return (Problem(where, "HG-3010", {"scheme": parts.scheme, "known": known}),)
        opener, _ = SCHEMES[parts.scheme]
        line_of(url)
        if opener is _serial:
            _path(parts)
        else:
            _host(parts)
        port = parts.port  # raises ValueError itself when it is none
        if opener is _dial_in:
            if port is None:
                raise ValueError("no port")
            from headgate.channels.dialin import packets_of

            packets_of(url)
    except ValueError as error:
        return (Problem(where, "HG-3011", {"url": url, "reason": str(error)}),)
    return ()


def check_port(channel_id: str, url: str, where: str) -> tuple[Problem, ...]:
    """What is wrong with the URL of a port that stations dial. Touches nothing."""
    try:
        parts = urlsplit(url)
        if not parts.port:
            raise ValueError("no port")
    except ValueError as error:
        return (Problem(where, "HG-3011", {"url": url, "reason": str(error)}),)
    return ()


def _path(url: SplitResult) -> str:
    path = unquote(url.path)
    if url.netloc or path in ("", "/"):
        raise ValueError("no path; three slashes: scheme:///dev/serial/by-id/...")
    return path


def _host(url: SplitResult) -> str:
    if not url.hostname:
        raise ValueError("no host")
    return url.hostname
