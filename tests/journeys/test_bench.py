"""What `make bench` counts is counted rightly: at a low rate nothing is lost, doubled or bad.

Only correctness is asserted here: how fast it went belongs to the machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.peer("mosquitto", "gcc")
async def test_a_low_load_arrives_whole(tmp_path: Path) -> None:
    figures = tmp_path / "figures.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench", "rate",
        "--devices", "10", "--registers", "20", "--interval", "200", "--seconds", "3",
        "--json", str(figures),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    got = json.loads(figures.read_text())
    assert {key: got[key] for key in ("lost", "holes", "doubled", "bad")} == {
        "lost": 0, "holes": 0, "doubled": 0, "bad": 0,
    }  # fmt: skip
    assert got["points_s"] > 0
