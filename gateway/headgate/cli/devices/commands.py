"""The commands: `import`, `export`, `list`, `replace`."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.devices.exporting import rows_of
from headgate.cli.devices.importing import Outcome, plan_import, put, site_of
from headgate.cli.devices.owned import list_name
from headgate.cli.devices.replacing import plan_replacement
from headgate.cli.devices.table import BYTES_LIMIT, Encoding, read_table, write_csv
from headgate.cli.reload import reload
from headgate.cli.terminal import FAILED, both, reader, site_path, tell
from headgate.config.files import main_file
from headgate.env import system_env
from headgate.errors import HeadgateError
from headgate.messages import render_problem

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True,
    help=both("Device lists in and out of the site.", "设备清单的导入、导出与更换。"),
)  # fmt: skip

Profiles = Annotated[
    list[Path] | None,
    typer.Option(help=both("Further folder of profiles.", "其他 profile 目录。"), metavar="DIR"),
]
_SHOWN_NAMES = 20


@app.command("import", help=both("Take a list into the site.", "把设备清单导入站点。"))
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv|xlsx")],
    name: Annotated[
        str | None,
        typer.Option(help=both("Name of the list; the file's.", "清单名，默认同文件名。")),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help=both("Only say it.", "只检查，不写入。"))
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help=both("Leave wrong rows out.", "跳过有错误的行。"))
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help=both("Remove what the list no longer has.", "删除清单中已没有的设备。")
        ),
    ] = False,
    then_reload: Annotated[
        bool, typer.Option("--reload", help=both("Have it taken over.", "随后让网关采用。"))
    ] = False,
    profiles: Profiles = None,
) -> None:
    """One file of its own in site.d/, written whole when every row is right. Again changes nothing."""
    env = system_env()
    table = read_table(_read(file), file.name)
    result = plan_import(
        env, main_file(site_path()), table, list_name(name or file.stem),
        profiles=profiles or (), partial=partial, prune=prune,
    )  # fmt: skip
    for problem in result.problems:
        typer.echo(render_problem(problem, reader()), err=True)
    _say(result)
    if not dry_run:
        result.write(env)
    if dry_run or not result.news:
        tell("HG-9232" if result.news else "HG-9231", path=result.path)
    else:
        tell("HG-9230" if not then_reload else "HG-9233", path=result.path)
    if then_reload and not dry_run:
        reload(site_path())
    if result.left_out:
        raise typer.Exit(FAILED)


def _say(result: Outcome) -> None:
    counted = {"unchanged": result.unchanged, "elsewhere": len(result.elsewhere)}
    tell(
        "HG-9234", added=len(result.added), changed=len(result.changed),
        removed=len(result.removed), **counted,
    )  # fmt: skip
    for mark, names in (("+", result.added), ("~", result.changed), ("-", result.removed)):
        for name in names[:_SHOWN_NAMES]:
            typer.echo(f"  {mark} {name}")
        if len(names) > _SHOWN_NAMES:
            typer.echo(f"  {mark} … {len(names) - _SHOWN_NAMES}")
    if result.gone:
        tell("HG-9235", count=len(result.gone), names=", ".join(result.gone[:_SHOWN_NAMES]))
    if result.left_out:
        tell("HG-9236", lines=", ".join(str(line) for line in result.left_out[:_SHOWN_NAMES]))


@app.command(help=both("Write the site's devices as a list.", "把站点设备导出为清单。"))
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv|xlsx")],
    encoding: Annotated[
        Encoding, typer.Option(help=both("Of a CSV file.", "CSV 文件的编码。"))
    ] = "utf-8-bom",
    force: Annotated[
        bool, typer.Option("--force", help=both("Overwrite.", "覆盖已有文件。"))
    ] = False,
    profiles: Profiles = None,
) -> None:
    """What `import` reads. UTF-8 with a mark opens rightly in today's spreadsheets, GB18030 in old ones."""
    env = system_env()
    site = site_of(env, main_file(site_path()), profiles or ())
    headings, rows = rows_of(site, reader())
    if file.suffix.lower() == ".xlsx":
        from headgate.cli.devices.sheet import write_sheet

        data = write_sheet(headings, rows)
    else:
        data = write_csv(headings, rows, encoding)
    if file.exists() and not force:
        raise HeadgateError(f"{file} exists", code="HG-9003", path=str(file))
    put(env, file, data)
    tell("HG-9237", path=file, count=len(rows))


@app.command("list", help=both("The site's devices, one line each.", "列出站点设备。"))
def list_(
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    profiles: Profiles = None,
) -> None:
    """What the site file says; `headgate status` tells how they are."""
    site = site_of(system_env(), main_file(site_path()), profiles or ())
    headings, rows = rows_of(site, reader())
    if form == "json":
        keys, rows = rows_of(site, "en")
        typer.echo(
            json.dumps([dict(zip(keys, row, strict=True)) for row in rows], ensure_ascii=False)
        )
        return
    shown = [headings, *rows]
    keep = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    widths = [max(_width(row[i]) for row in shown) for i in keep]
    for row in shown:
        cells = (row[i] + " " * (w - _width(row[i])) for i, w in zip(keep, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@app.command(help=both("A dead unit was replaced by another.", "登记设备更换。"))
def replace(
    device: Annotated[str, typer.Argument(help=both("Device id.", "设备编号。"))],
    serial: Annotated[
        str, typer.Option(help=both("Serial number of the new unit.", "新设备的序列号。"))
    ],
    firmware: Annotated[
        str | None, typer.Option(help=both("Its firmware.", "新设备的固件版本。"))
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(help=both("Its profile, if another.", "新的 profile（如有变化）。")),
    ] = None,
    profiles: Profiles = None,
) -> None:
    """Id, number and history stay. The running gateway sends an event `replaced` upstream."""
    env = system_env()
    main = main_file(site_path())
    plan = plan_replacement(
        env, main, device,
        serial=serial, firmware=firmware, profile=profile, profiles=profiles or (),
    )  # fmt: skip
    socket = socket_of(main)
    # Nothing is changed unless somebody is there to write it down.
    next(call(socket, "status"))
    if plan.owned and plan.keys:
        put(env, plan.path, plan.data)
        tell("HG-9054", path=plan.path)
    said = next(
        call(
            socket,
            "note-replaced",
            device=device,
            serial=serial,
            firmware=firmware,
            profile=profile,
        )
    )
    tell(
        "HG-9240", device=device, serial=serial, number=said["number"], before=said["before"] or "-"
    )
    if plan.owned and plan.keys:
        reload(main)
    elif plan.keys:
        wanted = ", ".join(f'{key} = "{value}"' for key, value in plan.keys.items())
        tell("HG-9241", where=plan.where, keys=wanted)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(BYTES_LIMIT + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise HeadgateError(
            f"{file}: {reason}", code="HG-9200", path=str(file), reason=reason
        ) from None


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
