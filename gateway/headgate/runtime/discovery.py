"""Finding plugins without importing them: entry points and a data manifest, read from metadata.

A plugin is one entry point in the group `headgate` of an installed distribution. What it wants and
brings stands in `headgate-plugin.toml` beside its code; both are read as data, so a broken or hostile
plugin cannot act by being looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from importlib.resources import files as packaged
from pathlib import Path

import msgspec

from headgate.errors import PluginError, Problem
from headgate.packages.manifest import MANIFEST, Manifest, parse
from headgate.sdk import API_VERSION

GROUP = "headgate"
#: The distribution whose code runs in the core.
OURS = "headgate"
#: The packages that our code lies in: a stranger who calls a distribution `headgate` is none of us.
_OUR_ROOTS = frozenset({"headgate", "headgate_drivers", "headgate_plugins"})


class Found(msgspec.Struct, frozen=True):
    """One plugin that is installed, before anything of it was imported."""

    name: str
    module: str
    distribution: str
    version: str
    manifest: Manifest | None = None
    problem: Problem | None = None
    #: Where the manifest lies, and with it what is signed; None without one.
    folder: Path | None = None
    #: Distributions that the metadata asks for, ours excepted.
    requires: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether it came with Headgate itself."""
        return self.distribution == OURS and self.module.partition(".")[0] in _OUR_ROOTS


def discover(distributions: Iterable[metadata.Distribution] | None = None) -> list[Found]:
    """Every installed plugin, ours first, then by distribution and name. Imports none of them."""
    found: dict[tuple[str, str], Found] = {}
    for distribution in metadata.distributions() if distributions is None else distributions:
        points = [e for e in distribution.entry_points if e.group == GROUP]
        if not points:
            continue
        name = metadata_name(distribution)
        file = None if name == OURS else _manifest_file(distribution)
        manifest, problem = (None, None) if file is None else _manifest(file, name)
        requires = _requires(distribution)
        folder = None if file is None else Path(str(file.locate())).parent
        for point in points:
            # A path listed twice on sys.path shows its distributions twice; the first wins, as in import.
            if (name, point.name) in found:
                continue
            module = point.value.partition(":")[0]
            one = Found(
                point.name, module, name, distribution.version, manifest, problem, folder, requires
            )
            if one.ours:
                one = msgspec.structs.replace(one, manifest=_own_manifest(module))
            found[name, point.name] = one
    return sorted(found.values(), key=lambda f: (not f.ours, f.distribution, f.name))


def metadata_name(distribution: metadata.Distribution) -> str:
    """The distribution's name in the one spelling that is compared."""
    return str(distribution.metadata["Name"] or "?").lower().replace("_", "-")


def _manifest_file(distribution: metadata.Distribution) -> metadata.PackagePath | None:
    # An editable install lists no package files; then there is no manifest to read either.
    return next((file for file in distribution.files or () if file.name == MANIFEST), None)


def _own_manifest(module: str) -> Manifest | None:
    """What a plugin of ours says beside its code; None without a word: then it is imported at once."""
    package, *below = module.split(".")
    try:
        return parse(packaged(package).joinpath(*below, MANIFEST).read_text("utf-8").encode())
    except (OSError, ModuleNotFoundError, PluginError):
        return None


def requirements(distribution: str) -> tuple[str, ...]:
    """What an installed distribution asks for, extras included; nothing where there is none."""
    try:
        return _requires(metadata.distribution(distribution))
    except metadata.PackageNotFoundError:
        return ()


def _requires(distribution: metadata.Distribution) -> tuple[str, ...]:
    names = (re.match(r"[A-Za-z0-9._-]+", each) for each in distribution.requires or ())
    return tuple(sorted({spelt(found.group()) for found in names if found} - {OURS}))


def spelt(name: str) -> str:
    """A distribution's name in the one spelling that is compared."""
    return name.lower().replace("_", "-").replace(".", "-")


def _manifest(file: metadata.PackagePath, name: str) -> tuple[Manifest | None, Problem | None]:
    where = f"{name}: {file}"
    try:
        manifest = parse(file.read_binary())
    except OSError as error:
        return None, Problem(where, "HG-2006", {"plugin": name, "reason": str(error.strerror)})
    except PluginError as error:
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
