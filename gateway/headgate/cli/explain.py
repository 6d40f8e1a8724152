"""`headgate explain`: what a message means, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from headgate.cli.terminal import both, reader
from headgate.errors import HeadgateError
from headgate.messages import Entry, entries, explain

app = typer.Typer()

_LABELS = {
    "en": {"error": "error", "warning": "warning", "info": "notice", "do": "What to do"},
    "zh": {"error": "错误", "warning": "警告", "info": "提示", "do": "处理办法"},
}


@app.command()
def command(
    code: Annotated[
        str,
        typer.Argument(metavar="HG-nnnn|all", help=both("Which message.", "消息编号，或 all。")),
    ],
) -> None:
    """解释一条消息的含义和处理办法。 Say what a message means and what to do."""
    if code == "all":
        for name, each in entries().items():
            if not each.reserved:
                _show(name, each)
        return
    found = explain(code)
    if found is None:
        raise HeadgateError(f"no message {code}", code="HG-9005", name=code)
    _show(next(name for name, each in entries().items() if each is found), found)


def _show(code: str, entry: Entry) -> None:
    lang = reader()
    labels = _LABELS[lang]
    typer.echo(f"{code} ({labels[entry.severity]}): {entry.text(lang)}")
    typer.echo(f"    {labels['do']}: {entry.fix(lang)}")
