"""The control socket of a simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from headgate_simulators.control import ControlSocket, say


async def test_a_command_arrives_however_deep_the_folder_lies(tmp_path: Path) -> None:
    folder = tmp_path / ("deep-" * 20) / ("er-" * 20)
    folder.mkdir(parents=True)
    heard: list[object] = []
    control = ControlSocket(folder / "gauges.sock", lambda said: heard.append(dict(said)))
    await control.start()
    try:
        answer = await asyncio.to_thread(say, control.path, {"hold": True})
    finally:
        await control.stop()
    assert answer == {"ok": True}
    assert heard == [{"hold": True}]
    assert list(folder.iterdir()) == []
