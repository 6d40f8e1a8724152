"""`headgate schema`: the JSON Schema of files that people write, for editors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import typer

from headgate.cli.terminal import both
from headgate.config.schema import schema

app = typer.Typer()

_SCHEMAS: Mapping[str, Callable[[], Mapping[str, object]]] = {"site": schema}


@app.command()
def command(
    file: Annotated[
        Literal["site"], typer.Argument(help=both("Which file.", "哪种文件。"))
    ] = "site",
) -> None:
    """输出 JSON Schema，供编辑器使用。 Print the JSON Schema of a site file."""
    text = json.dumps(_SCHEMAS[file](), ensure_ascii=False, indent=2)
    typer.echo(text)
