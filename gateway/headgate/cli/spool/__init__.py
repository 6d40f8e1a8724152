"""`headgate spool`: look at what waits on disk, mend it, carry it away.

`check`, `dump` and `export` read only and may run beside a gateway; `repair` refuses to.
"""

from __future__ import annotations

import typer

from headgate.cli.spool import check, dump, export, repair
from headgate.cli.terminal import both

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help=both("The spool.", "本地缓存。")
)
for part in (check, dump, export, repair):
    app.registered_commands += part.app.registered_commands
