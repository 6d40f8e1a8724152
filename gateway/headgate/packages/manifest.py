"""What a package says of itself, as data: `headgate-plugin.toml`.

Source: docs/reference/packages.md, section 1.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from headgate.errors import PluginError

MANIFEST: Final = "headgate-plugin.toml"
SIGNATURE: Final = "headgate-plugin.sig"
MAX_MANIFEST: Final = 512 * 1024
MAX_FILES: Final = 2_000

#: 1.4 or 1.4.0.2: what can be compared without guessing. The longest number is one that a fast-forward
#: would write; nine digits are more than any maker needs.
_VERSION: Final = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,3}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

_Text = Annotated[str, Meta(max_length=200)]
_List = Annotated[tuple[_Text, ...], Meta(max_length=200)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plugin or profile says of itself.

    `api` is the oldest SDK version it works with, as "major.minor"; another major does not match.
    `registers` names what it brings ("driver:acme-th20"); `rights` what it asks for
    ("tcp:10.0.0.0/8:502"); `requires` the distributions it imports beside the SDK; `sm3` the digest of
    each file, by path below the manifest's folder. `name` is the distribution's, or `vendor/model`.
    `schemes` are those of each driver's channels, by its name: what our own plugins bring is known from
    here before any is imported.
    """

    api: _Text
    kind: Literal["plugin", "profile"] = "plugin"
    name: _Text = ""
    version: _Text = ""
    registers: _List = ()
    rights: _List = ()
    requires: _List = ()
    extra: str | None = None
    schemes: Annotated[dict[str, _List], Meta(max_length=200)] = {}
    sm3: Annotated[dict[str, str], Meta(max_length=MAX_FILES)] = {}


def parse(data: bytes) -> Manifest:
    """A manifest from its file.

    Raises:
        PluginError: too long, not TOML, an unknown key, or a path or digest that cannot be meant.
    """
    try:
        if len(data) > MAX_MANIFEST:
            raise ValueError(f"larger than {MAX_MANIFEST} bytes")
        manifest = msgspec.toml.decode(data, type=Manifest)
        for path, digest in manifest.sm3.items():
            if not sound_path(path) or path in (MANIFEST, SIGNATURE):
                raise ValueError(f"a path that is not taken: {path[:80]!r}")
            if not _DIGEST.fullmatch(digest):
                raise ValueError(f"not an SM3 digest: {digest[:80]!r}")
        folded = {path.casefold() for path in manifest.sm3}
        if len(folded) != len(manifest.sm3):
            raise ValueError("two paths that differ in capitals only")
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise PluginError(str(error), code="HG-2006", plugin="-", reason=str(error)) from None
    return manifest


def dump(manifest: Manifest) -> bytes:
    """A manifest as its file: the same bytes for the same manifest."""
    lines = [
        f"{key} = {_quoted(getattr(manifest, key))}" for key in ("api", "kind", "name", "version")
    ]
    lines += [
        f"{key} = [{', '.join(map(_quoted, getattr(manifest, key)))}]"
        for key in ("registers", "rights", "requires")
    ]
    if manifest.extra is not None:
        lines.append(f"extra = {_quoted(manifest.extra)}")
    if manifest.schemes:
        lines += ["", "[schemes]"]
        lines += [
            f"{_quoted(name)} = [{', '.join(map(_quoted, schemes))}]"
            for name, schemes in sorted(manifest.schemes.items())
        ]
    lines += [
        "",
        "[sm3]",
        *(f"{_quoted(p)} = {_quoted(d)}" for p, d in sorted(manifest.sm3.items())),
    ]
    return ("\n".join(lines) + "\n").encode()


def sound_path(path: str) -> bool:
    """Whether a path stays inside, is spelt one way only, and means the same on every file system."""
    segments = path.split("/")
    return len(path) <= 400 and len(segments) <= 12 and all(map(_SEGMENT.fullmatch, segments))


def version_key(version: str) -> tuple[int, ...]:
    """What versions are compared by: 1.4 is 1.4.0 is below 1.10.

    Raises:
        PluginError: not one to four numbers with dots.
    """
    if not _VERSION.fullmatch(version):
        raise PluginError(f"version {version[:80]!r}", code="HG-2021", version=version[:80])
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


def _quoted(text: str) -> str:
    # A TOML basic string is a JSON string.
    return msgspec.json.encode(text).decode()
