"""Whether a certificate is for the name that was dialled. Pure.

Only subjectAltName counts: a common name is a label. A wildcard stands for exactly one whole left-most
label, never for an address. Source: RFC 6125, section 6; RFC 9525, section 6.3.
"""

from __future__ import annotations

import ipaddress
import re

from headgate.crypto.extensions import Names

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def bears(names: Names, wanted: str) -> bool:
    """Whether `wanted`, a host name or an address, is one of a certificate's names."""
    if (address := parse_address(wanted)) is not None:
        return str(address) in names.ip
    asked = as_certified(wanted)
    return bool(asked) and any(_is(pattern.removesuffix("."), asked) for pattern in names.dns)


def parse_address(text: str) -> Address | None:
    """The IP address that `text` is, without brackets; None when it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def as_certified(name: str) -> str:
    """A host name as certificates bear it (ASCII, lower case, no dot at the end); empty when it is none."""
    try:
        text = name.lower().removesuffix(".").encode("idna").decode("ascii")
    except UnicodeError:
        return ""
    return text if all(_LABEL.fullmatch(label) for label in text.split(".")) else ""


def listed(names: Names) -> str:
    """All names, for a sentence."""
    return ", ".join((*names.dns, *names.ip)) or "no name"


def _is(pattern: str, asked: str) -> bool:
    first, _, rest = pattern.partition(".")
    if first != "*":
        return "*" not in pattern and pattern == asked
    left, _, right = asked.partition(".")
    # Two labels must remain behind the star: "*.cn" would be every city.
    return bool(left) and "." in rest and "*" not in rest and right == rest
