"""`headgate enroll online`: certificates from a service, by a one-time token."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.enroll.bring import told
from headgate.cli.enroll.desk import ask
from headgate.cli.terminal import both
from headgate.errors import SecurityError

app = typer.Typer(rich_markup_mode=None)

VARIABLE = "HEADGATE_ENROLL_TOKEN"
_LONGEST = 200


@app.command("online", help=both("Enrol with the CA's service.", "通过 CA 的服务在线登记。"))
def online(
    url: Annotated[str, typer.Argument(metavar="URL", help=both("https://...", "https://…"))],
    trust: Annotated[
        str,
        typer.Option(
            metavar="FINGERPRINT",
            help=both("The service's, from the paper.", "服务的指纹（书面）。"),
            show_default=False,
        ),
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=both("Where the token lies.", "令牌文件。")),
    ] = None,
    site: Annotated[Path | None, typer.Option("--at", help=both("Site.", "站点。"))] = None,
) -> None:
    """The token comes from HEADGATE_ENROLL_TOKEN, a file or the keyboard, never from an argument."""
    told(ask(site, "enroll-online", url=url, trust=trust, token=_token(token_file)))


def _token(file: Path | None) -> str:
    if file is not None:
        try:
            with file.open("rb") as source:
                return source.read(_LONGEST).decode("ascii", "replace").strip()
        except OSError as error:
            reason = error.strerror or str(error)
            raise SecurityError(
                f"{file}: {reason}", code="HG-6150", file=str(file), reason=reason
            ) from None
    if given := os.environ.get(VARIABLE):
        return given.strip()
    if sys.stdin.isatty():
        return str(typer.prompt("Token 令牌", hide_input=True)).strip()
    raise SecurityError("no token", code="HG-6196")
