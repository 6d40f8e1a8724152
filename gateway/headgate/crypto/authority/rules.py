"""What this CA does not issue: against a role's terms, for a taken name, for a key already in use."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from headgate.crypto.authority.register import Issued, Register
from headgate.crypto.policy import TERMS, may_bear
from headgate.crypto.x509 import Certificate, Names, Role
from headgate.errors import SecurityError

# A box whose clock is a little behind accepts what was made a minute ago.
BACKDATED: Final = timedelta(days=1)

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks for."""

    role: Role
    name: str
    names: Names = Names()
    life: timedelta | None = None
    """Instead of the role's own."""
    path_length: int = 0
    """For Role.CA, how many CAs may follow below it."""
    replaces: str | None = None
    """The serial of the certificate that this one renews."""


def checked_names(hosts: Iterable[str]) -> Names:
    """Host names and addresses as a certificate has them: lower case, ASCII, none twice.

    Raises:
        SecurityError: neither a host name nor an address.
    """
    dns: dict[str, None] = {}
    ip: dict[str, None] = {}
    for host in hosts:
        try:
            ip[str(ipaddress.ip_address(host))] = None
        except ValueError:
            if not _HOST_NAME.fullmatch(host.lower()):
                raise SecurityError(
                    f"{host!r} is neither a host name nor an address", code="HG-6230", host=host
                ) from None
            dns[host.lower()] = None
    return Names(tuple(dns), tuple(ip))


def check_terms(ca: Certificate, wanted: Wanted) -> None:
    """Return when the role may bear the names and stand below this CA."""
    role, name = wanted.role, wanted.name
    if not may_bear(role, name):
        raise SecurityError(
            f"{name!r} cannot be the name of a {role.value}",
            code="HG-6220", name=name, role=role.value,
        )  # fmt: skip
    if bool(wanted.names) is not (role is Role.PLATFORM_LINK):
        raise SecurityError(
            "host names belong to platform links, and to nothing else", code="HG-6221"
        )
    checked_names((*wanted.names.dns, *wanted.names.ip))
    limit = ca.path_length
    if role is Role.CA and limit is not None and not 0 <= wanted.path_length < limit:
        raise SecurityError(
            f"below this CA may stand {limit} more CAs",
            code="HG-6222", limit=limit, wanted=wanted.path_length + 1,
        )  # fmt: skip


def span(ca: Certificate, wanted: Wanted, now: datetime) -> tuple[datetime, datetime]:
    """From when to when: never longer than the CA itself, and a role's own life is cut to that."""
    if not ca.not_before <= now <= ca.not_after:
        raise SecurityError(
            "this CA's certificate is not valid now",
            code="HG-6218", start=f"{ca.not_before:%Y-%m-%d}", end=f"{ca.not_after:%Y-%m-%d}",
        )  # fmt: skip
    try:
        end = now + (wanted.life or TERMS[wanted.role].life)
    except OverflowError:
        end = datetime.max.replace(tzinfo=now.tzinfo)
    if wanted.life is not None and not now < end <= ca.not_after:
        raise SecurityError(
            f"until {end:%Y-%m-%d} is longer than the CA itself is valid, or no time at all",
            code="HG-6219", end=f"{end:%Y-%m-%d}", ca=f"{ca.not_after:%Y-%m-%d}",
        )  # fmt: skip
    return max(now - BACKDATED, ca.not_before), min(end, ca.not_after)


def check_key(register: Register, ca: Certificate, spki: bytes, key: str, wanted: Wanted) -> None:
    """No key serves two purposes or two holders, and none comes back after a revocation.

    `key` is SM3 of `spki` as the register has it.
    """
    if spki == ca.spki:
        raise SecurityError("that is the CA's own key", code="HG-6224", name=wanted.name, held="CA")
    for issued in register.of_key(key):
        if (issued.role, issued.name) != (wanted.role, wanted.name):
            held = f"{issued.name} ({issued.role.value})"
            raise SecurityError(
                f"the key is in use by {held}", code="HG-6224", name=wanted.name, held=held
            )
        if register.revocation(issued) is not None:
            raise SecurityError(
                f"certificate {issued.serial} of this key was revoked",
                code="HG-6225", serial=issued.serial,
            )  # fmt: skip


def check_free(held: Iterable[Issued], key: str, wanted: Wanted) -> None:
    """One holder per name: a second one must be a renewal, or come after a revocation.

    `held` is what the name holds today; what it holds for this very key does not count, for that was
    made for this holder and never reached anybody.
    """
    others = [issued for issued in held if issued.key != key]
    if others:
        last = others[-1]
        raise SecurityError(
            f"{wanted.name} holds certificate {last.serial}",
            code="HG-6223", name=wanted.name, role=wanted.role.value, serial=last.serial,
            end=f"{last.not_after:%Y-%m-%d}",
        )  # fmt: skip
