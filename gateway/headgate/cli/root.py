"""`headgate`: global options and the list of commands.

Nothing of a command is imported before it is used, so that help is at hand at once on a small box.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.main import get_command as command_of

from headgate.cli import commands
from headgate.cli.terminal import both, reader

# Taken from wherever they stand, so that `headgate check --lang zh` works as one expects.
_GLOBAL = ("--lang", "--site")


class LazyGroup(TyperGroup):
    """The root: knows every command by name, and imports the one that is used."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # By name only, for "did you mean".
        self.commands = dict.fromkeys(commands.COMMANDS)  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in the order of a day's work."""
        return list(commands.COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, imported now; None when there is none of that name."""
        if cmd_name not in commands.COMMANDS:
            return None
        app = commands.load(cmd_name)
        command = command_of(app) if isinstance(app, typer.Typer) else app
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands from the table: importing them all would take a second."""
        chinese = reader() == "zh"
        rows = [(name, c.zh if chinese else c.en) for name, c in commands.COMMANDS.items()]
        with formatter.section("命令" if chinese else "Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The gate between a city's sensors and its platform. 城市传感设备与物联网平台之间的网关。",
)


@app.callback()
def root(
    lang: Annotated[
        Literal["zh", "en"] | None,
        typer.Option(
            help=both("Language of messages.", "消息语言。"),
            show_default=False,
            is_eager=True,  # before --help, which speaks it
            callback=lambda value: _remember("HEADGATE_LANG", value),
        ),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE",
            help=both("The site: $HEADGATE_SITE, ./site.toml, /etc/headgate.", "站点目录或文件。"),
            show_default=False,
            callback=lambda value: _remember("HEADGATE_SITE", value),
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help=both("Print the version.", "显示版本。"),
            is_eager=True,  # no command is needed to be told
            callback=lambda asked: _say_version() if asked else None,
        ),
    ] = False,
) -> None:
    """Take the global options; commands find them in the environment."""


def command(given: Sequence[str]) -> None:
    """Run the command that was asked for, and leave the process."""
    command_of(app).main(args=_globals_first(given), prog_name="headgate")


def _say_version() -> None:
    from importlib.metadata import version

    typer.echo(f"headgate {version('headgate')}")
    raise typer.Exit


def _remember(variable: str, value: str | None) -> str | None:
    if value is not None:
        os.environ[variable] = value
    return value


def _globals_first(given: Sequence[str]) -> list[str]:
    """The arguments with `--lang X` and `--site X` moved before the command."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(given)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _GLOBAL:
            first += [word, *(value for value in [next(words, None)] if value is not None)]
        elif word.startswith(tuple(f"{name}=" for name in _GLOBAL)):
            first.append(word)
        else:
            rest.append(word)
    return first + rest
