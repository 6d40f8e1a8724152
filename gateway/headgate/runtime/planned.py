"""What a driver says of a profile before any device uses it, with file and line."""

from __future__ import annotations

import re
from pathlib import Path as File

import msgspec

from headgate.env import Env
from headgate.errors import Problem, ProfileError
from headgate.profiles import Profile, Variant, resolve
from headgate.profiles.lines import Path, index, line_of
from headgate.runtime.fitting import placeholders
from headgate.sdk import Driver, ListeningDriver, PollingDriver, StreamingDriver, day_starts

_PLACE = re.compile(
    r'device "[^"]*": (?:(?P<table>frame|quirks)(?:\.(?P<key>\w+))?|point "(?P<point>[^"]*)")'
)
#: The address stands for a device that there is not: what is wrong with it is the site's matter.
_OF_THE_SITE = re.compile(r'device "[^"]*": address')


def planned(env: Env, profile: Profile, driver: Driver) -> list[Problem]:
    """Points, frame and quirks that the driver cannot read, of every variant; each mistake once."""
    if driver.transport == "own":
        return []  # an address out of the air would be refused, and says nothing of the profile
    try:
        lines = index(env.files.read(File(profile.where)).decode("utf-8", "replace"))
    except OSError:
        lines = {(): 1}
    found: list[Problem] = []
    for at, variant in enumerate(profile.variants):
        for problem in _of(profile, variant, driver):
            if not _OF_THE_SITE.match(problem.where):
                where = f"{profile.where}:{_line(problem.where, variant, at, lines)}"
                told = msgspec.structs.replace(problem, where=where)
                if told not in found:
                    found.append(told)
    return found


def _of(profile: Profile, variant: Variant, driver: Driver) -> tuple[Problem, ...]:
    alone = msgspec.structs.replace(
        profile, variants=(msgspec.structs.replace(variant, when_unknown=True),)
    )
    try:
        device = resolve(
            alone,
            device_id=profile.model,
            number=1,
            channel="check",
            address=1,
            sm3=lambda _: bytes(32),
            params=placeholders(profile),
        )
        if isinstance(driver, StreamingDriver | ListeningDriver):
            driver.check(device)
        elif isinstance(driver, PollingDriver):
            driver.plan(device)
        day_starts(device)
    except ProfileError as error:
        return error.problems
    return ()


def _line(where: str, variant: Variant, at: int, lines: dict[Path, int]) -> str:
    found = _PLACE.match(where)
    if found is None:
        return f"{lines[()]}"
    if found["table"]:
        path: Path = (found["table"], *([found["key"]] if found["key"] else []))
        own: Path = ("variant", at, *path)
        line = lines.get(own) or lines.get(path) or line_of(path, lines)
        return f"{line}: {'.'.join(map(str, path))}"
    names = [point.name for point in variant.points]
    place = names.index(found["point"]) if found["point"] in names else 0
    for path in (("variant", at, "point", place), ("point", place)):
        if path in lines:
            return f"{lines[path]}: point {found['point']}"
    return f"{lines[()]}: point {found['point']}"
