"""`headgate enroll`: this box's certificates: what is missing, a request, taking in what came back."""

from __future__ import annotations

import typer

from headgate.cli.enroll import bring, online, request, status
from headgate.cli.terminal import both

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=both("This box's certificates.", "本机证书：申请、导入、在线登记。"),
)
for part in (status, request, bring, online):
    app.registered_commands += part.app.registered_commands
