"""What a channel's entry says about one server: security, user, publishing. Checked off the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from headgate.sdk import ConfigError, Problem
from headgate.sdk.options import Options

#: From the weakest that is allowed to the strongest. Basic128Rsa15 and Basic256 are broken: refused.
POLICIES: Final = ("Aes128Sha256RsaOaep", "Basic256Sha256", "Aes256Sha256RsaPss")
MODES: Final = ("SignAndEncrypt", "Sign")
#: What the core itself puts beside the driver's own options.
_CORE: Final = (
    "url", "username", "password", "timeout_s", "connect_timeout_s", "reconnect_min_s",
    "reconnect_max_s", "ca", "client_certificate", "client_key", "server_name", "folder", "gateway",
)  # fmt: skip


class Settings(msgspec.Struct, frozen=True):
    """One server, and how we speak to it. Holds a password: never logged.

    `security` is a policy, `best` (the strongest offered, never none) or `None`.
    """

    url: str
    security: str = "best"
    mode: str = "SignAndEncrypt"
    trust: str = "listed"
    username: str | None = None
    password: str | None = None
    plain_password: bool = False
    user_certificate: str | None = None
    user_key: str | None = None
    read: str = "subscribe"
    publishing_s: float = 1.0
    sampling_s: float = 1.0
    session_s: float = 60.0
    skew_s: float = 5.0
    history_s: float = 7 * 86_400.0
    resubscribe_s: float = 60.0
    events: str = ""
    events_severity: int = 1
    timeout_s: float = 4.0
    connect_timeout_s: float = 5.0
    certificate: str | None = None
    key: str | None = None
    folder: Path = Path()
    gateway: str = "headgate"

    @property
    def application_uri(self) -> str:
        """The name we go by in OPC UA; our application certificate carries it."""
        return f"urn:headgate:{self.gateway}"

    @property
    def host(self) -> str:
        """Name or address of the server, as the url has it."""
        return urlsplit(self.url).hostname or ""


def settings_of(where: str, options: Mapping[str, Any]) -> Settings:
    """The settings of one channel.

    Raises:
        ConfigError: every option that is wrong.
    """
    own = {key: value for key, value in options.items() if key not in _CORE}
    read = Options(where, own)
    security = read.choice("security", ("best", "None", *POLICIES), "best")
    settings = Settings(
        url=_without_user(str(options.get("url", ""))),
        security=security,
        mode=read.choice("mode", MODES, "SignAndEncrypt"),
        trust=read.choice("trust", ("listed", "any"), "listed"),
        username=options.get("username"),
        password=options.get("password"),
        plain_password=read.flag("plain_password", default=False),
        user_certificate=read.text("user_certificate"),
        user_key=read.text("user_key"),
        read=read.choice("read", ("subscribe", "poll"), "subscribe"),
        publishing_s=read.duration("publishing", 1.0, low_s=0.01, high_s=3600),
        sampling_s=read.duration("sampling", 1.0, high_s=3600),
        session_s=read.duration("session", 60.0, low_s=5, high_s=3600),
        skew_s=read.duration("clock_skew", 5.0, low_s=0.1),
        history_s=read.duration("history", 7 * 86_400.0),
        resubscribe_s=read.duration("resubscribe", 60.0, low_s=0.1, high_s=86_400),
        events=read.text("events") or "",
        events_severity=read.whole("events_severity", 1, low=1, high=1000),
        timeout_s=max(1.0, float(options.get("timeout_s", 4.0))),
        connect_timeout_s=float(options.get("connect_timeout_s", 5.0)),
        certificate=options.get("client_certificate"),
        key=options.get("client_key"),
        folder=Path(options.get("folder", ".")) / "opcua",
        gateway=str(options.get("gateway", "headgate")),
    )
    read.check()
    if bool(settings.user_certificate) != bool(settings.user_key):
        raise ConfigError([Problem(f"{where}: user_certificate", "HG-3321", {})])
    return settings


def _without_user(url: str) -> str:
    """A user and password in the url would be sent by the library, and logged: not from there."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{authority.rpartition('@')[2]}{slash}{path}"
