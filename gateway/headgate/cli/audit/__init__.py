"""`headgate audit`: read, check and hand over the log of security events. Reads only; a gateway may run."""

from __future__ import annotations

import typer

from headgate.cli.audit import export, show, verify
from headgate.cli.terminal import both

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=both("The log of security events.", "安全审计日志。"),
)
for part in (verify, export, show):
    app.registered_commands += part.app.registered_commands
