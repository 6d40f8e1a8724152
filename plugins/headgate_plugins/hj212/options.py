"""What a site file says of a bureau: who we are to it, and which point is which factor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from headgate.sdk import UplinkContext
from headgate.sdk.options import Options
from headgate_drivers.hj212.sealed import key_of

#: Keys that every uplink has; those that mean nothing here are passed over.
COMMON = (
    "url", "ack", "protocol", "client_id", "username", "password", "ca_pem", "client_certificate",
    "client_key", "server_name", "link", "trust", "tls_minimum", "crl", "sidecar_user", "keepalive_s",
    "timeout_s", "in_flight", "reconnect_min_s", "reconnect_max_s", "topic", "unsynced", "language",
    "epoch", "version", "up_s",
)  # fmt: skip
OWN = (
    "mn", "st", "edition", "zone", "realtime", "minutes", "hours", "days", "least", "times",
    "answer_timeout", "tries", "factors", "secret",
)  # fmt: skip
_MN = re.compile(r"[0-9A-Za-z_.-]{1,40}")
_CODE = re.compile(r"[0-9A-Za-z]{2,8}")
_FLAGS = {"2017": 1, "2025": 2}


class Source(msgspec.Struct, frozen=True):
    """One factor: which point of which device it is, times `scale`, written with `digits` decimals."""

    code: str
    device: str
    point: str
    scale: float = 1.0
    digits: int = 3


class Terms(msgspec.Struct, frozen=True):
    """Everything about one bureau. `realtime_s` 0: none. `epoch`: of this start. `key`: CP is encrypted."""

    uplink: str
    host: str
    port: int
    mn: str
    st: str
    pw: str
    version: int
    zone: str
    realtime_s: int
    minutes_s: int
    hours: bool
    days: bool
    least: float
    device_times: bool
    answer_s: float
    tries: int
    reconnect_min_s: float
    reconnect_max_s: float
    epoch: bytes
    sources: tuple[Source, ...]
    key: bytes | None = None

    @property
    def peer(self) -> str:
        """Where it is."""
        return f"{self.host}:{self.port}"


def read_terms(context: UplinkContext) -> Terms:
    """The terms of an uplink.

    Raises:
        ConfigError: with every mistake.
    """
    options = Options(f"uplink {context.id}", context.options)

    def wrong(key: str, what: str) -> None:
        options.problem(key, "HG-3636", uplink=context.id, what=what)

    url = urlsplit(str(context.options.get("url", "")))
    if url.scheme != "hj212" or not url.hostname or not url.port:
        wrong("url", f"{context.options.get('url')} is no hj212://HOST:PORT")
    mn = options.text("mn", longest=40) or ""
    if _MN.fullmatch(mn) is None:
        wrong("mn", f"mn {mn!r} is none")
    st = options.text("st", longest=2) or "32"
    if not (len(st) == 2 and st.isdecimal()):
        wrong("st", f"st {st!r} is not two digits")
    zone = options.text("zone", longest=64) or "Asia/Shanghai"
    try:
        ZoneInfo(zone)
    except (ValueError, KeyError, OSError):
        wrong("zone", f"{zone} is no time zone")
        zone = "Asia/Shanghai"
    minutes_s = options.duration("minutes", 600.0, low_s=60.0, high_s=3600.0)
    if 3600 % minutes_s:
        wrong("minutes", f"{minutes_s:g} s do not divide an hour")
    realtime_s = options.duration("realtime", 30.0, high_s=3600.0)
    if realtime_s % 1:
        wrong("realtime", f"{realtime_s:g} s are no whole seconds")
    sources = tuple(
        source
        for code, written in options.table("factors").items()
        if (source := _source(options, context.id, code, written)) is not None
    )
    if not sources:
        wrong("factors", "no factor is named")
    edition = options.choice("edition", ("2017", "2025"), "2017")
    secret = options.text("secret")
    key = None if secret is None else key_of(secret)
    if secret is not None and (key is None or edition != "2025"):
        wrong("secret", "secret is no key of 32 hex characters, or edition is not 2025")
    terms = Terms(
        uplink=context.id,
        host=url.hostname or "",
        port=url.port or 0,
        mn=mn,
        st=st,
        pw=str(context.options.get("password") or ""),
        version=_FLAGS[edition],
        zone=zone,
        realtime_s=int(realtime_s),
        minutes_s=int(minutes_s),
        hours=options.flag("hours", True),
        days=options.flag("days", True),
        least=options.number("least", 0.75, low=0.0, high=1.0),
        device_times=options.choice("times", ("device", "gateway"), "device") == "device",
        answer_s=options.duration("answer_timeout", 5.0, low_s=0.05, high_s=600.0),
        tries=options.whole("tries", 3, low=1, high=10),
        reconnect_min_s=float(context.options.get("reconnect_min_s", 1.0)),
        reconnect_max_s=float(context.options.get("reconnect_max_s", 90.0)),
        epoch=bytes.fromhex(str(context.options.get("epoch") or "")),
        sources=sources,
        key=key,
    )
    options.check(COMMON)
    return terms


def _source(options: Options, uplink: str, code: str, written: Any) -> Source | None:
    def wrong(reason: str) -> None:
        options.problem(f"factors.{code}", "HG-3630", uplink=uplink, factor=code, reason=reason)

    entry: Any = {"from": written} if isinstance(written, str) else written
    if not isinstance(entry, Mapping) or not isinstance(entry.get("from"), str):
        wrong("no from")
        return None
    device, slash, point = entry["from"].partition("/")
    scale, digits = entry.get("scale", 1.0), entry.get("digits", 3)
    if _CODE.fullmatch(code) is None:
        wrong("no factor's code")
    elif not (device and slash and point):
        wrong(f"{entry['from']!r} is not DEVICE/POINT")
    elif odd := sorted(set(entry) - {"from", "scale", "digits"}):
        wrong(f"nothing knows {', '.join(odd)}")
    elif (
        isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < abs(scale) < 1e12
    ):
        wrong("scale is no number but 0")
    elif isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= 9:
        wrong("digits is not 0 to 9")
    else:
        return Source(code, device, point, float(scale), digits)
    return None
