"""What every command needs of the person at the terminal: language, site, and a way to tell them.

tell("HG-9050", path=path)              a sentence and its next step, on standard output
path = site_path(given)                 where the site file is
code = failed(error)                    an error, on standard error, and the exit status
"""

from __future__ import annotations

import os
import sys

import typer

from headgate.cli.places import site_path
from headgate.errors import HeadgateError
from headgate.messages import Language, fix, language, render_error, say

__all__ = [
    "FAILED", "USAGE", "both", "failed", "reader", "site_path", "tell",
]  # fmt: skip

#: Exit statuses: what was asked for did not work; it was asked for wrongly.
FAILED = 1
USAGE = 2


def reader() -> Language:
    """The reader's language: `--lang`, which sets HEADGATE_LANG, or the environment's."""
    return language(os.environ.get)


def both(english: str, chinese: str) -> str:
    """A help text in both languages: options are declared before the reader is known."""
    return f"{english} {chinese}"


def tell(code: str, /, **fields: object) -> None:
    """Say a sentence of the catalogue, and below it what comes next."""
    typer.echo(say(code, reader(), **fields))
    advice = fix(code, reader(), **fields)
    if advice:
        typer.echo(f"    {advice}")


def failed(error: HeadgateError) -> int:
    """Tell of an error on standard error and give the exit status."""
    sys.stdout.flush()  # what was said before it stands before it
    typer.echo(render_error(error, reader()), err=True)
    return FAILED
