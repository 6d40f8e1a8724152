"""Finding plugins without importing them: entry points and a data manifest, read from metadata.

A plugin is one entry point in the group `headgate` of an installed distribution. What it wants and
brings stands in `headgate-plugin.toml` beside its code; both are read as data, so a broken or hostile
plugin cannot act by being looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

import msgspec

from headgate.errors import Problem
from headgate.sdk import API_VERSION

GROUP = "headgate"
MANIFEST = "headgate-plugin.toml"
#: The distribution whose code runs in the core.
OURS = "headgate"
_MANIFEST_LIMIT = 64 * 1024


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plugin says of itself, as data.

    `api` is the oldest SDK version it works with, as "major.minor"; another major does not match.
    `registers` names what it brings ("driver:acme-th20"); `rights` what it asks for ("tcp:10.0.0.0/8:502");
    `sm3` the digest of each file, by path inside the distribution.
    """

    api: str
    registers: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    sm3: dict[str, str] = {}
    extra: str | None = None


class Found(msgspec.Struct, frozen=True):
    """One plugin that is installed, before anything of it was imported."""

    name: str
    module: str
    distribution: str
    version: str
    manifest: Manifest | None = None
    problem: Problem | None = None

    @property
    def ours(self) -> bool:
        """Whether it came with Headgate itself."""
        return self.distribution == OURS


def discover(distributions: Iterable[metadata.Distribution] | None = None) -> list[Found]:
    """Every installed plugin, ours first, then by distribution and name. Imports none of them."""
    found: dict[tuple[str, str], Found] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        points = [e for e in distribution.entry_points if e.group == GROUP]
        if not points:
            continue
        name = metadata_name(distribution)
        manifest, problem = (None, None) if name == OURS else _manifest(distribution, name)
        for point in points:
            # A path listed twice on sys.path shows its distributions twice; the first wins, as in import.
            found.setdefault(
                (name, point.name),
                Found(
                    point.name,
                    point.value.partition(":")[0],
                    name,
                    distribution.version,
                    manifest,
                    problem,
                ),
            )
    return sorted(found.values(), key=lambda f: (not f.ours, f.distribution, f.name))


def metadata_name(distribution: metadata.Distribution) -> str:
    """The distribution's name in the one spelling that is compared."""
    return str(distribution.metadata["Name"] or "?").lower().replace("_", "-")


def _manifest(
    distribution: metadata.Distribution, name: str
) -> tuple[Manifest | None, Problem | None]:
    files = [f for f in distribution.files or () if f.name == MANIFEST]
    if not files:
        return None, None
    where = f"{name}: {files[0]}"
    try:
        # An editable install lists no package files; then there is no manifest to read either.
        text = str(distribution.read_text(str(files[0])) or files[0].read_text())
        if len(text) > _MANIFEST_LIMIT:
            raise ValueError(f"larger than {_MANIFEST_LIMIT} bytes")
        manifest = msgspec.toml.decode(text, type=Manifest)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return None, Problem(where, "HG-2006", {"plugin": name, "reason": str(error)})
    if not api_matches(manifest.api):
        return manifest, Problem(
            where, "HG-2007", {"plugin": name, "wanted": manifest.api, "have": API_VERSION}
        )
    return manifest, None


def api_matches(wanted: str, have: str = API_VERSION) -> bool:
    """Whether a plugin made for SDK `wanted` works with `have`: same major, not newer."""
    try:
        wanted_major, wanted_minor = (int(part) for part in wanted.split("."))
        major, minor = (int(part) for part in have.split("."))
    except ValueError:
        return False
    return wanted_major == major and wanted_minor <= minor
