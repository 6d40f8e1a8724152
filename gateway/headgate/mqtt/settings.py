"""Where a broker is, who we are to it, and what passes: data."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from headgate.errors import ConfigError, Problem

Version = Literal["5", "3.1.1"]

_SCHEMES = {"mqtt": (False, 1883), "mqtts": (True, 8883), "mqtt+unix": (False, 1883)}
# sun_path of unix(7), without the zero at its end.
_LONGEST_PATH = 107


class Will(msgspec.Struct, frozen=True):
    """What the broker says for us when we are gone without a word."""

    topic: str
    payload: bytes
    retain: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and who we are to it.

    `session_s` 0 starts clean each time; above 0 the broker keeps subscriptions and queued messages
    that many seconds (with 3.1.1: until it forgets by itself), which needs a stable `identifier`.
    `window` bounds what the broker may send before we acknowledge, and what we publish before it does.
    `unix`: a socket on this machine in place of host and port. `tls`: plain bytes will not do.
    """

    host: str
    port: int = 1883
    tls: bool = False
    unix: str | None = None
    username: str | None = None
    password: str | None = None
    identifier: str | None = None
    version: Version = "5"
    session_s: int = 0
    keepalive_s: int = 30
    timeout_s: float = 10.0
    window: int = 20

    def __repr__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        if self.unix is not None:
            return f"<mqtt+unix://{user}{self.unix}>"
        return f"<{'mqtts' if self.tls else 'mqtt'}://{user}{self.host}:{self.port}>"

    @property
    def broker(self) -> str:
        """Where it is, for a sentence: "platform.example:8883"."""
        return self.unix or f"{self.host}:{self.port}"

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        where: str = "broker",
        password: str | None = None,
        identifier: str | None = None,
        session_s: int = 0,
    ) -> Settings:
        """Settings from `mqtt[s]://[user[:password]@]host[:port][?version=3.1.1]`, `mqtt+unix:///path`.

        A password in a URL shows in process lists; `password` is for one that came another way.

        Raises:
            ConfigError: says what is wrong with the URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _bad_url(where, str(error)) from None
        if parts.scheme not in _SCHEMES:
            raise _bad_url(where, f"{parts.scheme or 'no'} scheme")
        unix = unquote(parts.path) if parts.scheme == "mqtt+unix" else None
        if unix is None and not parts.hostname:
            raise _bad_url(where, "no host")
        if unix is not None and (parts.hostname or not 1 < len(unix.encode()) <= _LONGEST_PATH):
            raise _bad_url(where, f"not a path of a socket, at most {_LONGEST_PATH} bytes")
        if (unix is None and parts.path not in ("", "/")) or parts.fragment:
            raise _bad_url(where, "a path")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        version = options.pop("version", "5")
        if version not in ("5", "3.1.1") or options:
            raise _bad_url(where, f"?{parts.query}")
        tls, usual_port = _SCHEMES[parts.scheme]
        return cls(
            host=parts.hostname or "localhost",
            port=usual_port if port is None else port,
            tls=tls,
            unix=unix,
            username=unquote(parts.username) if parts.username else None,
            password=password or (unquote(parts.password) if parts.password else None),
            version="5" if version == "5" else "3.1.1",
            identifier=identifier,
            session_s=session_s,
        )


def _bad_url(where: str, reason: str) -> ConfigError:
    return ConfigError([Problem(where, "HG-5030", {"reason": reason})])


class Message(msgspec.Struct, frozen=True):
    """One message from the broker. `mid` is what `Link.ack` tells the broker; 0 for QoS 0."""

    topic: str
    payload: bytes
    retain: bool
    qos: int
    mid: int
