"""`headgate check`: everything wrong with a site at once, and what it amounts to when nothing is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.paces import paces
from headgate.cli.terminal import FAILED, both, reader, site_path, tell
from headgate.config import Known, Loaded, Site, examine
from headgate.env import system_env
from headgate.errors import Problem
from headgate.messages import fix, render_problem, say, severity
from headgate.runtime import plugins
from headgate.runtime.busload import slowest
from headgate.runtime.installed import Installed, look

app = typer.Typer()

#: A type or scheme that nothing here knows.
_NOT_INSTALLED = {"HG-1205", "HG-1206", "HG-1208"}
#: A profile that is not there, or cannot be used.
_NO_PROFILE = {"HG-8040", "HG-8047"}
#: Where no line says its own; and about how many bits a request and its answer take, with the silence.
_USUAL_BAUD, _BITS_OF_A_REQUEST = 9600, 960
_UNKNOWN_KEY = {"HG-1100", "HG-1101"}


@app.command()
def command(
    path: Annotated[
        Path | None,
        typer.Argument(help=both("Folder or file.", "站点目录或文件。"), show_default=False),
    ] = None,
    profiles: Annotated[
        list[Path] | None,
        typer.Option(
            help=both("Further folder of profiles.", "其他 profile 目录。"), metavar="DIR"
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Literal["text", "json"], typer.Option(help=both("How to say it.", "输出格式。"))
    ] = "text",
) -> None:
    """检查站点文件，一次列出全部错误。 Find every mistake in a site file."""
    env = system_env()
    place = site_path(path)
    load = look(env, profiles or ())
    seen: list[Installed] = []

    def known(site: Site) -> Known:
        seen.append(load(site))
        return seen[-1].known()

    loaded = examine(env, place, known)
    found = list(loaded.problems)
    if seen and _NOT_INSTALLED & {p.code for p in found}:
        found += plugins.problems(seen[-1].registry)  # one that failed to load may be the reason
    if seen:
        found += _unread(seen[-1], found)
    requests: dict[str, int] = {}
    if loaded.partial is not None:
        counted, refused = seen[-1].plan(loaded.partial)
        requests.update(counted)
        found += refused
        # An unknown key was told already, with its line.
        told = {p.fields.get("key") for p in found if p.code in _UNKNOWN_KEY}
        found += [
            p
            for p in seen[-1].options(env, loaded.partial)
            if p.code not in _UNKNOWN_KEY or p.fields.get("key") not in told
        ]
        found += seen[-1].identity(env, loaded.partial)
    if format == "json":
        typer.echo(json.dumps(_as_json(loaded, found), ensure_ascii=False, indent=2))
    else:
        _say(place, loaded, found, seen, requests)
    if loaded.site is None or any(severity(p.code) == "error" for p in found):
        raise typer.Exit(FAILED)


def _unread(installed: Installed, found: Sequence[Problem]) -> Iterator[Problem]:
    """Why profiles that devices name are not there: mistakes in a file, a signature that does not hold."""
    library = installed.library
    for profile in {str(p.fields["profile"]): None for p in found if p.code in _NO_PROFILE}:
        yield from library.profiles.read(profile).problems
        yield from (p for p in library.refused if p.where.endswith(f"/{profile}"))


def _say(
    place: Path,
    loaded: Loaded,
    found: list[Problem],
    seen: list[Installed],
    requests: dict[str, int],
) -> None:
    for problem in found:
        typer.echo(render_problem(problem, reader()))
    errors = sum(severity(p.code) == "error" for p in found)
    if errors or loaded.site is None:
        tell("HG-9052", path=place, errors=errors, warnings=len(found) - errors)
        return
    site = loaded.site
    tell(
        "HG-9051",
        path=place,
        channels=len(site.channel),
        devices=len(site.device),
        stages=len(site.stage),
        uplinks=len(site.uplink),
    )
    points = sum(len(device.points) for device in seen[-1].resolved.values())
    _say_the_rate(site, points, requests)
    points_s = sum(
        len(device.points) / site.devices[name].interval.s
        for name, device in seen[-1].resolved.items()
    )
    for code, fields in paces(site, points_s):
        tell(code, **fields)


def _say_the_rate(site: Site, points: int, requests: Mapping[str, int]) -> None:
    """What is asked for, and what a line like the slowest of the site can carry."""
    rate = sum(count / site.devices[name].interval.s for name, count in requests.items())
    if not rate:
        tell("HG-9055", points=points)
        return
    asked = (site.devices[name] for name in requests)
    lines = ((str(site.channels[each.channel].url), each.line) for each in asked)
    baud = slowest(lines) or _USUAL_BAUD
    tell(
        "HG-9053",
        points=points,
        requests=_figure(rate),
        baud=baud,
        carries=_figure(baud / _BITS_OF_A_REQUEST),
    )


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _as_json(loaded: Loaded, found: list[Problem]) -> dict[str, Any]:
    lang = reader()
    return {
        "ok": loaded.site is not None and not any(severity(p.code) == "error" for p in found),
        "problems": [
            {
                "where": p.where,
                "code": p.code,
                "severity": severity(p.code),
                "fields": p.fields,
                "text": say(p.code, lang, **p.fields),
                "fix": fix(p.code, lang, **p.fields),
            }
            for p in found
        ],
    }
