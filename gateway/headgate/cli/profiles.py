"""`headgate profiles`: what devices we know, one of them in full, its cases run, a new one begun."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate.env import Env, system_env
from headgate.errors import HeadgateError, Problem, ProfileError
from headgate.messages import Language, language, render_problem

if TYPE_CHECKING:
    from headgate.profiles import Library, PointSpec, Profile, Variant
    from headgate.runtime.plugins import Registry

app = typer.Typer(
    no_args_is_help=True,
    help="Device profiles: list, show, test, begin a new one. 设备配置文件：列出、查看、测试、新建。",
)

Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--profiles",
        metavar="DIR",
        help="Also look here; may be repeated. 另外的配置目录，可重复。",
    ),
]
_VENDOR_MODEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})/([A-Za-z0-9][A-Za-z0-9._-]{0,63})")


@app.command("list")
def list_(profiles: Folders = None) -> None:
    """列出全部配置。 Every profile that is found, and everything that is wrong with one."""
    env, lang = _world()
    library = _library(env, profiles, _plugins())
    rows = [
        (p.id, p.driver, " ".join(v.name for v in p.variants), _title(p, lang), str(p.where))
        for p in sorted(library.profiles.values(), key=lambda p: p.id)
    ]
    for line in _columns(rows):
        typer.echo(line)
    _tell((*library.notices, *library.problems), lang)
    if library.problems:
        raise typer.Exit(1)


@app.command()
def show(
    profile_id: Annotated[str, typer.Argument(metavar="VENDOR/MODEL")],
    profiles: Folders = None,
) -> None:
    """查看一个配置。 One profile in full: its params, and each variant's points."""
    env, lang = _world()
    library = _library(env, profiles, _plugins())
    try:
        profile = library.find(profile_id)
    except ProfileError as error:
        # Broken in its own file says more than "there is none of that id".
        raise _own(library, profile_id) or error from None
    typer.echo(f"{profile.id}  {_title(profile, lang)}\n{profile.where}\n{profile.source}")
    typer.echo("\n[params]")
    for line in _columns(_param_rows(profile, lang)):
        typer.echo(line)
    for variant in profile.variants:
        typer.echo(f"\n[{_heading(variant, len(profile.variants))}]")
        for line in _columns(_point_rows(variant)):
            typer.echo(line)


@app.command("test")
def run_cases(
    profile_id: Annotated[str | None, typer.Argument(metavar="[VENDOR/MODEL]")] = None,
    profiles: Folders = None,
) -> None:
    """运行用例。 Run the recorded cases of one profile, or of all."""
    env, lang = _world()
    plugins = _plugins()
    library = _library(env, profiles, plugins)
    chosen = list(library.profiles.values())
    problems: list[Problem] = list(library.problems)
    if profile_id is not None:
        try:
            chosen, problems = [library.find(profile_id)], []
        except ProfileError as error:
            raise _own(library, profile_id) or error from None
    for profile in sorted(chosen, key=lambda p: p.id):
        problems += _run_cases(env, profile, plugins, lang)
    if problems:
        _tell(problems, lang)
        raise typer.Exit(1)


@app.command()
def new(
    profile_id: Annotated[str, typer.Argument(metavar="VENDOR/MODEL")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Folder of profiles. 存放目录。")
    ] = Path("profiles"),
    driver: Annotated[
        Literal["modbus", "serial", "serial-polled"],
        typer.Option(
            help="Registers; a sensor that talks; one that is asked. 寄存器、主动上报或问答式串口传感器。"
        ),
    ] = "modbus",
) -> None:
    """新建配置模板。 Begin a profile: a commented folder with a case, which passes as it is."""
    from headgate.profiles.template import template

    env, _ = _world()
    names = _VENDOR_MODEL.fullmatch(profile_id)
    if names is None:
        raise HeadgateError(
            f"{profile_id!r} is not VENDOR/MODEL", code="HG-8045", profile=profile_id
        )
    folder = into / names[1] / names[2]
    if env.files.list(folder):
        raise HeadgateError(f"{folder} is there already", code="HG-8044", path=str(folder))
    for path, text in template(names[1], names[2], driver).items():
        env.files.make_folder((folder / path).parent)
        env.files.replace(folder / path, text.encode())
        typer.echo(str(folder / path))


@app.command()
def case(
    trace: Annotated[Path, typer.Argument(metavar="FILE", help="A saved trace. 跟踪文件。")],
    profile_id: Annotated[str, typer.Option("--profile", metavar="VENDOR/MODEL")],
    unit: Annotated[str, typer.Option(help="Address of the unit. 从站号。")] = "1",
    name: Annotated[str, typer.Option(help="Name of the case. 用例名。")] = "recorded",
    firmware: Annotated[str | None, typer.Option(help="Its firmware. 固件版本。")] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="What the site says. 设备参数。")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of cases. 用例目录。")
    ] = None,
    profiles: Folders = None,
) -> None:
    """由跟踪文件生成用例。 Make a case of a saved trace: its frames, and what they say today."""
    from headgate.profiles.recording import case_of, exchanges_of, last_said

    env, _ = _world()
    plugins = _plugins()
    profile = _library(env, profiles, plugins).find(profile_id)
    kind = plugins.drivers.get(profile.driver)
    driver = kind() if kind else None
    select, replay = getattr(driver, "looks_at", None), getattr(driver, "replay", None)
    if select is None and driver is not None and replay is not None and (codec := driver.codec()):
        select = partial(last_said, codec, replay)
    if select is None or replay is None:
        fields: dict[str, str | int | float] = {"driver": profile.driver, "profile": profile.id}
        raise ProfileError([Problem(profile.where, "HG-8041", fields)])
    if not _VENDOR_MODEL.fullmatch(f"case/{name}"):
        raise HeadgateError(f"{name!r} is no name", code="HG-8045", profile=name)
    try:
        text = env.files.read(trace).decode("utf-8", "replace")
    except OSError as error:
        reason = error.strerror or str(error)
        raise HeadgateError("not read", code="HG-9155", path=str(trace), reason=reason) from error
    files = case_of(
        profile,
        exchanges_of(text, str(trace)),
        select,
        replay,
        address=unit if unit.startswith("0") or not unit.isdigit() else int(unit),
        firmware=firmware,
        params=dict(_param(word) for word in param or ()),
        title=f"Recorded from {trace.name}",
    )
    folder = (into or Path(profile.where).parent / "cases") / name
    if env.files.list(folder):
        raise HeadgateError(f"{folder} is there already", code="HG-8044", path=str(folder))
    env.files.make_folder(folder)
    for file, content in files.items():
        env.files.replace(folder / file, content.encode())
        typer.echo(str(folder / file))


def _param(word: str) -> tuple[str, str | int | float | bool]:
    """`key=value`: a number where it looks like one, a truth, else a text."""
    key, _, value = word.partition("=")
    if value in ("true", "false"):
        return key, value == "true"
    for kind in (int, float):
        try:
            return key, kind(value)
        except ValueError:
            continue
    return key, value


# ---------------------------------------------------------------- what the commands share


def _world() -> tuple[Env, Language]:
    env = system_env()
    return env, language(env.variable)


def _plugins() -> Registry:
    from headgate.runtime.plugins import load

    return load()


def _library(env: Env, folders: Sequence[Path] | None, plugins: Registry) -> Library:
    from headgate.profiles import load, search_path
    from headgate.runtime.plugins import PointKeys

    return load(env.files, search_path(folders or (), plugins.profile_folders), PointKeys(plugins))


def every_profile(plugins: Registry) -> Iterable[Profile]:
    """All profiles that this machine has."""
    return _library(system_env(), None, plugins).profiles.values()


def _own(library: Library, profile_id: str) -> ProfileError | None:
    """What is wrong with the file of `profile_id`, when that is why it is not there."""
    own = library.profiles.read(profile_id).problems
    return ProfileError(own) if own else None


def _run_cases(env: Env, profile: Profile, plugins: Registry, lang: Language) -> Iterable[Problem]:
    """Run every case of a profile, say how each went; what went wrong."""
    from headgate.profiles.case_files import load_cases
    from headgate.profiles.cases import run
    from headgate.runtime.planned import planned

    try:
        cases = load_cases(env.files, profile)
    except ProfileError as error:
        return error.problems
    kind = plugins.drivers.get(profile.driver)
    driver = kind() if kind else None
    if driver is not None and (wrong := planned(env, profile, driver)):
        return wrong
    replay = getattr(driver, "replay", None)
    if replay is None:
        return [
            Problem(profile.where, "HG-8041", {"driver": profile.driver, "profile": profile.id})
        ]
    problems: list[Problem] = []
    covered = set()
    for case in cases:
        variant, found = run(profile, case, replay)
        covered.add(variant)
        typer.echo(
            f"{'FAIL' if found else 'ok':4}  {profile.id}  {variant}  {Path(case.name).name}"
        )
        problems += found
    bare = [variant.name for variant in profile.variants if variant.name not in covered]
    fields = [{"profile": profile.id, "variant": name} for name in bare]
    _tell([Problem(profile.where, "HG-8046", {**field}) for field in fields], lang)
    return problems


def _title(profile: Profile, lang: Language) -> str:
    return (profile.title_zh if lang == "zh" else "") or profile.title


def _param_rows(profile: Profile, lang: Language) -> list[tuple[str, ...]]:
    return [
        (
            key,
            param.unit if param.type != "text" else param.type,
            "" if param.default is None else f"= {param.default}",
            "" if param.range is None else f"{param.range[0]:g} .. {param.range[1]:g}",
            (param.title_zh if lang == "zh" else "") or param.title,
        )
        for key, param in profile.params.items()
    ]


def _heading(variant: Variant, count: int) -> str:
    span = variant.firmware
    words = [variant.name]
    words += [f"from {span.from_}"] if span.from_ else []
    words += [f"below {span.below}"] if span.below else []
    words += list(span.one_of)
    words += ["when_unknown"] if variant.when_unknown and count > 1 else []
    return ", ".join(words)


def _point_rows(variant: Variant) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for point in variant.points:
        place = " ".join(
            str(point.source[key]) for key in ("area", "register") if key in point.source
        )
        rest = " ".join(
            f"{key}={value}"
            for key, value in point.source.items()
            if key not in ("area", "register")
        )
        sentinels = " ".join(str(value) for value in point.sentinels)
        span = "" if point.range is None else f"{point.range[0]} .. {point.range[1]}"
        rows.append(
            (
                point.name,
                point.unit,
                point.type,
                place,
                rest,
                _conversion(point),
                span,
                f"none: {sentinels}" if sentinels else "",
                "" if point.access.value == "r" else point.access.value,
                point.title,
            )
        )
    return rows


def _conversion(point: PointSpec) -> str:
    """How raw becomes engineering, in a few words: a table of many pairs by its ends."""
    line = (("scale", point.scale), ("offset", point.offset))
    words = [f"{key}={number}" for key, number in line if number is not None]
    if point.polynomial is not None:
        words.append("polynomial=" + ", ".join(str(number) for number in point.polynomial))
    if point.lookup:
        pairs = [f"{raw}: {value}" for raw, value in point.lookup]
        shown = pairs if len(pairs) <= 8 else [pairs[0], f"{len(pairs) - 2} more", pairs[-1]]
        words.append(f"lookup ({point.between}) " + ", ".join(shown))
    if point.bits is not None:
        words.append(f"bits={point.bits.shift}, width {point.bits.width}")
    if point.deadband is not None:
        words.append(f"deadband={point.deadband}")
    return " ".join(words)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, columns aligned, empty columns left out."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width
        ).rstrip()
        for row in rows
    ]


def _tell(problems: Iterable[Problem], lang: Language) -> None:
    for problem in problems:
        typer.echo(render_problem(problem, lang), err=True)
