"""Options that the commands of several simulators share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[int, typer.Option(help="Everything that varies follows from it.")]
Speed = Annotated[float, typer.Option(help="World seconds in one real second.")]
To = Annotated[str, typer.Option(help="ADDR:PORT of the centre that they dial.")]
Udp = Annotated[bool, typer.Option("--udp", help="Datagrams instead of TCP.")]
Pictures = Annotated[float, typer.Option(help="World seconds between pictures; 0: none.")]
Answer = Annotated[float, typer.Option(help="Seconds to wait for a confirmation.")]
Redial = Annotated[float, typer.Option(help="Seconds until a lost line is dialled.")]
Behind = Annotated[float, typer.Option(help="World seconds of looks kept from before the start.")]
Serial = Annotated[int, typer.Option(help="The first serial number (65533: wraps soon).")]
TruthAt = Annotated[Path | None, typer.Option(help="Keep the truth here (JSON lines; made anew).")]
Faults = Annotated[list[str] | None, typer.Option(help="DEVICE:KIND[=VALUE]; may be repeated.")]
Storms = Annotated[list[str] | None, typer.Option(help="PEAK[:DURATION][@START]; may be repeated.")]
PrintSite = Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")]
Heartbeat = Annotated[str, typer.Option(help="Heartbeat in that fragment.")]
Control = Annotated[
    Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
]
