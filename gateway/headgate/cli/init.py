"""`headgate init`: a site file to start from, in both languages, that `headgate check` accepts."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.terminal import both, tell
from headgate.errors import HeadgateError

app = typer.Typer()

#: Where the texts lie; `site.toml` always, the example's parts on demand.
_PARTS = ("10-gauges.toml", "90-platform.toml")
_GATEWAY_ID = re.compile(r"[a-z0-9-]{1,64}")


@app.command()
def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help=both("Where to write.", "写入的目录。"))
    ],
    gateway: Annotated[
        str, typer.Option(metavar="ID", help=both("Id of this gateway.", "网关编号。"))
    ] = "my-gateway",
    example: Annotated[
        bool,
        typer.Option(
            "--example", help=both("With two gauges and a platform.", "带两台示例设备和平台。")
        ),
    ] = False,
) -> None:
    """生成可直接修改的站点文件。 Write a site file to start from.

    Never overwrites: when one of the files is there already, nothing is written.
    """
    if not _GATEWAY_ID.fullmatch(gateway):
        raise typer.BadParameter("1 to 64 of a-z 0-9 -", param_hint="--gateway")
    texts = {folder / "site.toml": _text("site.toml").replace("my-gateway", gateway)}
    if example:
        texts.update({folder / "site.d" / name: _text(name) for name in _PARTS})
    there = next((path for path in texts if path.exists()), None)
    if there is not None:
        raise HeadgateError(f"{there} exists", code="HG-9003", path=str(there))
    for path, text in texts.items():
        _write(path, text)
    (folder / "site.d").mkdir(exist_ok=True)
    for path in texts:
        tell("HG-9054", path=path)
    tell("HG-9050", folder=folder)


def _text(name: str) -> str:
    return (files("headgate.cli") / "site" / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path.parent, error) from None
    try:
        # "x": a file that came meanwhile is not overwritten either.
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise HeadgateError(f"{path} exists", code="HG-9003", path=str(path)) from None
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path: Path, error: OSError) -> HeadgateError:
    reason = error.strerror or type(error).__name__
    return HeadgateError(f"{path}: {reason}", code="HG-9004", path=str(path), reason=reason)
