"""Packages of others as the site file wants them: the policy, loaded; signed profiles, judged.

A file that cannot be used never stops the gateway: then less is trusted, and the sentence says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from headgate.config import Plugins, Site
from headgate.crypto.crl import RevocationList
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.crypto.x509 import Role, load_certificates
from headgate.env import Env, ReadFiles
from headgate.errors import HeadgateError, PluginError, Problem
from headgate.packages import Judge, Policy, Standing, Verified
from headgate.packages.catalogue import MAX_CATALOGUE, Catalogue
from headgate.packages.catalogue import parse as parse_catalogue
from headgate.packages.memory import Memory
from headgate.packages.memory import load as load_memory
from headgate.packages.memory import save as save_memory
from headgate.packages.shelf import Shelf
from headgate.packages.signature import CATALOGUE_LABEL, MAX_SIGNATURE, Trust, verify

log = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_FILE = 4 * 1024 * 1024


def memory_path(site: Site) -> Path:
    """Where this box remembers which packages ran."""
    return site.state_folder / "packages.json"


def remember(env: Env, site: Site, memory: Memory | None) -> None:
    """Keep which packages ran here, so that no older one ever does; the log says where the disk refuses."""
    path = memory_path(site)
    if memory is None or memory == load_memory(env.files, path):
        return
    try:
        save_memory(env.files, path, memory)
    except OSError as error:
        log.warning("package versions not written", extra={"error": str(error)})


def judge_of(env: Env, site: Site) -> tuple[Judge | None, Sequence[Problem]]:
    """Who judges packages on this box; nobody where no publisher is trusted, or everything is taken."""
    standing = standing_of(site.plugins)
    if standing in (Standing.CLOSED, Standing.DEVELOPMENT):
        return None, ()
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    problems: list[Problem] = []
    trust = Trust(
        _read(env, site, site.plugins.publishers, "publishers", load_certificates, problems) or (),
        tuple(
            crl
            for each in site.plugins.revocations
            if (crl := _read(env, site, each, "revocations", RevocationList.load, problems))
        ),
        _now(env),
    )
    memory = load_memory(env.files, memory_path(site))
    catalogue = lost = None
    if site.plugins.catalogue is not None:
        catalogue = _catalogue(env, site, trust, provider, memory.serial, problems)
        lost = catalogue is None
    policy = Policy(standing, trust, catalogue, bool(lost))
    return Judge(env.files, provider, policy, memory), problems


def standing_of(plugins: Plugins) -> Standing:
    """How packages are taken, from the switches of the site file."""
    if plugins.production:
        return Standing.PRODUCTION
    if plugins.development:
        return Standing.DEVELOPMENT
    return Standing.SIGNED if plugins.publishers is not None else Standing.CLOSED


def shelf_of(
    files: ReadFiles, judge: Judge | None, taken: Sequence[Verified], folders: Sequence[Path]
) -> tuple[Shelf, Sequence[Verified], Sequence[Problem]]:
    """Profile folders as they may be read: what is signed from memory, what is not taken hidden.

    `taken` are the plugins that were judged; their own profiles come from the bytes that were judged.
    """
    packages: dict[Path, Mapping[str, bytes]] = {each.root: each.files for each in taken}
    profiles: list[Verified] = []
    problems: list[Problem] = []
    hidden: set[Path] = set()
    for folder in folders if judge is not None else ():
        if any(root == folder or root in folder.parents for root in packages):
            continue
        for name in _models(files, folder):
            root = folder / name
            assert judge is not None
            if judge.policy.standing is not Standing.PRODUCTION and not judge.signed(root):
                continue
            try:
                profile = judge.judge("profile", name, root)
            except PluginError as error:
                problems.append(_problem(error, str(root), name))
                hidden.add(root)
            else:
                profiles.append(profile)
                packages[root] = profile.files
    return Shelf(files, packages, hidden), profiles, problems


def _problem(error: HeadgateError, where: str, name: str) -> Problem:
    fields = {key: str(value) for key, value in error.fields.items()}
    return Problem(where, error.code, {"plugin": name, **fields})


def _models(files: ReadFiles, folder: Path) -> list[str]:
    names = []
    for vendor in _folders(files, folder):
        names += [f"{vendor}/{model}" for model in _folders(files, folder / vendor)]
    return names


def _folders(files: ReadFiles, folder: Path) -> list[str]:
    found = []
    try:
        names = files.list(folder)
    except OSError:
        return []
    for name in names:
        if name[0] in "._":
            continue
        try:
            files.list(folder / name)
        except OSError:
            continue
        found.append(name)
    return found


def _read(
    env: Env,
    site: Site,
    written: str | None,
    key: str,
    load: Callable[[bytes], T],
    problems: list[Problem],
) -> T | None:
    if written is None:
        return None
    path = site.path(written)
    try:
        return load(env.files.read(path, 0, _MAX_FILE))
    except OSError as error:
        reason = error.strerror or str(error)
    except HeadgateError as error:
        reason = str(error)
    problems.append(
        Problem(f"plugins.{key}", "HG-2039", {"key": key, "path": str(path), "reason": reason})
    )
    return None


def _catalogue(
    env: Env,
    site: Site,
    trust: Trust,
    provider: CryptoProvider,
    serial: int,
    problems: list[Problem],
) -> Catalogue | None:
    assert site.plugins.catalogue is not None
    path = site.path(site.plugins.catalogue)
    try:
        text = env.files.read(path, 0, MAX_CATALOGUE + 1)
        proof = env.files.read(path.with_name(path.name + ".sig"), 0, MAX_SIGNATURE + 1)
        verify(CATALOGUE_LABEL, text, proof, Role.TECHNICIAN, trust, provider)
        catalogue = parse_catalogue(text)
        if catalogue.serial < serial:
            raise PluginError(f"serial {catalogue.serial}, and {serial} was followed before")
    except (OSError, PluginError) as error:
        problems.append(
            Problem("plugins.catalogue", "HG-2033", {"plugin": str(path), "reason": str(error)})
        )
        return None
    return catalogue


def _now(env: Env) -> datetime | None:
    """Now, where the clock is trusted: a box that booted in 1970 judges no dates."""
    state, _ = env.clock.wall_state()
    if state == "unsynced":
        return None
    return datetime.fromtimestamp(env.clock.wall_us() / 1e6, UTC)
