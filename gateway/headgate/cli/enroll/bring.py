"""`headgate enroll import`: what the CA gave, from a stick; all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.enroll.desk import ask
from headgate.cli.terminal import FAILED, both, reader, tell
from headgate.errors import ConfigError, Problem
from headgate.messages import fix, say

app = typer.Typer(rich_markup_mode=None)

_MAX_FILE = 4 * 1024 * 1024


@app.command("import", help=both("Take in certificates from files.", "从文件导入证书。"))
def bring(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help=both("Files or a folder.", "文件或目录。")),
    ],
    site: Annotated[Path | None, typer.Option("--at", help=both("Site.", "站点。"))] = None,
    trust: Annotated[
        str,
        typer.Option(
            metavar="FINGERPRINT",
            help=both("Of a new root, compared with paper.", "新根证书的指纹（与书面核对）。"),
            show_default=False,
        ),
    ] = "",
) -> None:
    """Check everything, say every mistake, and change nothing unless there is none."""
    told(ask(site, "enroll-import", files=_read(files), trust=trust))


def told(said: dict[str, Any]) -> None:
    """What came of an import; exit status 1 when there were mistakes."""
    for note in said["notes"]:
        typer.echo(say(note["code"], reader(), **note["fields"]))
    for mistake in said["mistakes"]:
        fields = mistake["fields"]
        typer.echo(f"{say(mistake['code'], reader(), **fields)} [{mistake['code']}]", err=True)
        typer.echo(f"    {fix(mistake['code'], reader(), **fields)}", err=True)
    if said["mistakes"]:
        tell("HG-6184", mistakes=len(said["mistakes"]))
        raise typer.Exit(FAILED)
    if said["gained"]:
        tell("HG-6182", gained="; ".join(said["gained"]))
    else:
        tell("HG-6183")


def _read(named: list[Path]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path in named:
        try:
            every = sorted(path.iterdir()) if path.is_dir() else [path]
            for each in every:
                # What a folder holds besides (other folders, links into nowhere) was not meant.
                if each.is_file() or each == path:
                    with each.open("rb") as file:
                        found[_name(each, found)] = file.read(_MAX_FILE + 1)
        except OSError as error:
            reason = error.strerror or str(error)
            fields: dict[str, str | int | float] = {"file": str(path), "reason": reason}
            problems.append(Problem(str(path), "HG-6150", fields))
    if problems:
        raise ConfigError(problems)
    return found


def _name(path: Path, known: dict[str, bytes]) -> str:
    return path.name if path.name not in known else str(path)
