"""`headgate certs`: development certificates, a small CA, and what a file says."""

from __future__ import annotations

import typer

from headgate.cli.certs import dev, found, issue, revoke, show

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Development certificates; a small CA; what a file says. 开发证书、小型 CA、查看文件。",
)
for part in (dev, found, issue, revoke, show):
    app.registered_commands += part.app.registered_commands
