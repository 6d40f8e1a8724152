"""Values that a site file writes as text: durations, sizes, URLs, addresses, secret references.

Each has `parse(text)`, which raises `ValueError` with the reason in English, and a `str()` that
parses to the same value again.
"""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_UNITS_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,3})")
_LONGEST_URL = 2000


class Duration(msgspec.Struct, frozen=True, order=True):
    """A length of time, in whole microseconds. Written "5s", "250ms", "1min", "1h", "1d"."""

    us: int

    @property
    def s(self) -> float:
        """In seconds."""
        return self.us / 1_000_000

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "1.5s". Raises ValueError."""
        return cls(_scaled(text, _UNITS_US))

    def __str__(self) -> str:
        return _shortest(self.us, _UNITS_US, "s")


class Size(msgspec.Struct, frozen=True, order=True):
    """An amount of memory or disk. Written "64KiB", "4GiB" (powers of 1024) or "1MB" (of 1000)."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "64KiB". Raises ValueError."""
        return cls(_scaled(text, _UNITS_BYTES))

    def __str__(self) -> str:
        return _shortest(self.bytes, _UNITS_BYTES, "B")


class HostPort(msgspec.Struct, frozen=True):
    """Where to listen. Written "127.0.0.1:9469" or "[::1]:9469"."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "127.0.0.1:9469". Raises ValueError."""
        match = re.fullmatch(
            r"(?:\[([0-9A-Fa-f:.%]{2,64})\]|([0-9A-Za-z.-]{1,253})):([0-9]{1,5})", text
        )
        if match is None or int(match[3]) > 65535:
            raise ValueError("not host:port")
        return cls(match[1] or match[2], int(match[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Url(msgspec.Struct, frozen=True):
    """A connection: `modbus+tcp://10.0.3.21:502`, `modbus+rtu:///dev/ttyS1?baud=9600`.

    `host` is without brackets and may be empty; `path` starts with "/" or is empty. Never holds a
    user name or password.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    query: dict[str, str] = {}

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL. Raises ValueError; CredentialsError when it carries some."""
        if len(text) > _LONGEST_URL:
            raise ValueError(f"longer than {_LONGEST_URL} characters")
        if not text.isprintable() or " " in text:
            raise ValueError("it holds a space or a control character")
        if "://" not in text:
            raise ValueError("it has no scheme:// at its start")
        parts = urlsplit(text)
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*", parts.scheme):
            raise ValueError("the scheme must be lower-case letters, digits, + . -")
        if not text.lower().startswith(f"{parts.scheme}://"):
            raise ValueError("it has no scheme:// at its start")
        if "@" in parts.netloc:
            raise CredentialsError("user name or password in the URL")
        if parts.fragment:
            raise ValueError("it has a # part")
        port = parts.port  # raises ValueError itself when out of range
        if parts.netloc.endswith(":"):
            raise ValueError("the port is missing after the colon")
        host = parts.hostname or ""
        if port is not None and not host:
            raise ValueError("the host is missing")
        if not re.fullmatch(r"[^\s/\\?#<>\"{}|^`]*", host):
            raise ValueError("the host holds a character that no host has")
        pairs = parse_qsl(
            parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), max_num_fields=50
        )
        query = dict(pairs)
        if len(query) != len(pairs):
            raise ValueError("a key stands twice after the ?")
        return cls(parts.scheme, host, port, unquote(parts.path), query)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        query = f"?{urlencode(self.query)}" if self.query else ""
        return f"{self.scheme}://{host}{port}{self.path}{query}"


class CredentialsError(ValueError):
    """A URL that carries a user name or password."""


class SecretRef(msgspec.Struct, frozen=True):
    """Where a secret is, never the secret: "env:NAME", "file:PATH", "systemd:NAME"."""

    kind: Literal["env", "file", "systemd"]
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference. Raises ValueError without the text: it may be a secret."""
        match = re.fullmatch(r"env:([A-Za-z_][A-Za-z0-9_]{0,127})", text)
        if match:
            return cls("env", match[1])
        match = re.fullmatch(r"systemd:([A-Za-z0-9_.-]{1,128})", text)
        if match and match[1] not in (".", ".."):
            return cls("systemd", match[1])
        if text.startswith("file:") and text.isprintable() and 5 < len(text) <= 1024:
            return cls("file", text[5:])
        raise ValueError("not env:NAME, file:PATH or systemd:NAME")

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


def _scaled(text: str, units: dict[str, int]) -> int:
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None or match[2] not in units:
        raise ValueError("not a number with a unit")
    whole, _, fraction = match[1].partition(".")
    # In whole numbers: 0.1 s is 100,000 us, not 99,999 of a rounded product.
    value: int
    value, rest = divmod(int(whole + fraction) * units[match[2]], 10 ** len(fraction))
    if rest or value >= 2**63:
        raise ValueError("not a whole number of the smallest unit")
    return value


def _shortest(value: int, units: dict[str, int], zero: str) -> str:
    if value == 0:
        return f"0{zero}"
    unit = max((u for u in units if value % units[u] == 0), key=lambda u: units[u])
    return f"{value // units[unit]}{unit}"
