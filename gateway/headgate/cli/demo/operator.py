"""An operator far away, who starts a pump: `headgate command`, with a key of their own, same broker."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from headgate.cli.demo.child import Child
from headgate.cli.demo.field import PUMPS
from headgate.cli.demo.page import Page
from headgate.cli.demo.road import GATEWAY, Road

#: What is commanded: station, point, value.
WANTED = ("ps-001", "pump2_run", "true")
WAIT_S = 10


async def command(road: Road, page: Page) -> None:
    """Have the pump started and say what came of it; never in the way of the demo.

    Nothing where no pump station is in the field. Cancelled, nobody is left behind.
    """
    if all(each.name != PUMPS for each in road.field):
        return
    desk = _desk(road.folder, road.broker.url)
    words = ["command", "do", GATEWAY, *WANTED, "--lease", "10min", "--yes", "--wait", str(WAIT_S)]
    child = Child.headgate(
        "operator",
        [*words, "--format", "json", "--operator", str(desk)],
        road.folder / "operator.log",
    )
    device, point, value = WANTED
    try:
        await child.start()
        page.tell("HG-9530", device=device, point=point, value=value)
        await child.wait()
    except asyncio.CancelledError:
        raise
    finally:
        await child.stop()
    page.tell("HG-9531", device=device, point=point, **_ending(child))


def _desk(folder: Path, broker: str) -> Path:
    """The operator's file."""
    path = folder / "operator.toml"
    path.write_text(
        f'key = "pki/operator.key"\nca = "pki/ca.crt"\nbroker = "{broker}"\njournal = "commands.db"\n',
        encoding="utf-8",
    )
    return path


def _ending(child: Child) -> dict[str, Any]:
    """Where it stands by the last line that the operator's command said."""
    said: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        for line in child.log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                said = json.loads(line)
    value = said.get("read_back")
    return {
        "state": said.get("state") or "-",
        "read": str(value).lower() if isinstance(value, bool) else "-" if value is None else value,
    }
