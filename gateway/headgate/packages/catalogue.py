"""The city's list of packages that may run: exactly these, until a date. Signed by a technician.

A vendor's signature says who made a package; the list says that somebody here wants it. It is what
stops an old version with a known hole, one that was never meant for this city, and a thief of a
publisher's key.

Source: docs/reference/packages.md, section 4.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from headgate.errors import PluginError

MAX_CATALOGUE: Final = 1024 * 1024
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One package: its manifest's SM3 fixes every file of it."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    version: Annotated[str, Meta(min_length=1, max_length=40)]
    manifest: _Digest


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may run. `serial` rises from list to list; after `expires` nothing new is taken."""

    serial: Annotated[int, Meta(ge=1, le=1 << 53)]
    issued: Annotated[datetime, Meta(tz=True)]
    expires: Annotated[datetime, Meta(tz=True)]
    package: Annotated[tuple[Allowed, ...], Meta(max_length=5_000)] = ()

    def has(self, name: str, version: str, manifest: str) -> bool:
        """Whether exactly this is on the list."""
        return Allowed(name, version, manifest) in self.package


def parse(text: bytes) -> Catalogue:
    """A list from its file.

    Raises:
        PluginError: too long, or not such a list.
    """
    try:
        if len(text) > MAX_CATALOGUE:
            raise ValueError(f"larger than {MAX_CATALOGUE} bytes")
        return msgspec.toml.decode(text, type=Catalogue)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise PluginError(f"catalogue: {error}", code="HG-2030", reason=str(error)) from None


def dump(catalogue: Catalogue) -> bytes:
    """A list as its file: the same bytes for the same list."""
    lines = [
        f"serial = {catalogue.serial}",
        f"issued = {catalogue.issued.isoformat()}",
        f"expires = {catalogue.expires.isoformat()}",
    ]
    for each in sorted(catalogue.package, key=lambda p: (p.name, p.version, p.manifest)):
        lines += ["", "[[package]]"]
        lines += [
            f"{key} = {msgspec.json.encode(getattr(each, key)).decode()}"
            for key in ("name", "version", "manifest")
        ]
    return ("\n".join(lines) + "\n").encode()
