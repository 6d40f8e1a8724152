"""A running gateway changes its record key: asked for on the box, and by a platform."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from kit.running import Site

from headgate.cli.client import call
from headgate.env import system_env
from headgate.model import Event

MAIN = [sys.executable, "-c", "from headgate.cli import main; main()"]


def ask(site: Site, name: str) -> Any:
    return next(call(site._socket, name))


def kept(site: Site) -> list[bytes]:
    """Ids of the keys whose grant is on disk, oldest first."""
    db = sqlite3.connect(f"file:{site.state / 'state.db'}?mode=ro", uri=True)
    try:
        return [key for (key,) in db.execute("SELECT key_id FROM grants ORDER BY rowid")]
    finally:
        db.close()


async def test_the_key_is_changed_on_the_box_and_its_grant_is_on_disk_when_it_says_so(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, "")
    async with site.running():
        await site.until(lambda status: status["writer"]["commits"])
        before = set(kept(site))
        said = [(await asyncio.to_thread(ask, site, "rotate-key"))["key"] for _ in range(2)]
        after = set(kept(site))
        assert {bytes.fromhex(each) for each in said} == after - before
    told = [i.fields["key"] for i in site.stored() if isinstance(i, Event) and i.kind == "key"]
    assert told == said
    audit = b"".join(path.read_bytes() for path in sorted((site.state / "audit").iterdir()))
    assert audit.count(b"key-rotated") == 2


async def test_a_platforms_ask_is_followed_and_told(tmp_path: Path) -> None:
    site = Site(tmp_path, "")
    async with site.running(system_env()) as gateway:
        await site.until(lambda status: status["writer"]["commits"])
        (current,) = kept(site)
        for _ in range(3):  # somebody on the way repeats it
            gateway._rotation.asked([current])
        await gateway._rotation.close()
        assert len(kept(site)) == 2
    told = [i.fields for i in site.stored() if isinstance(i, Event) and i.kind == "key"]
    assert [fields["why"] for fields in told] == ["asked for by the platform"]


async def test_a_technician_does_it_from_the_shell(tmp_path: Path) -> None:
    site = Site(tmp_path, "")
    words = [*MAIN, "--lang", "en", "keys", "rotate", str(tmp_path)]
    async with site.running():
        await site.until(lambda status: status["writer"]["commits"])
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
        newest = kept(site)[-1].hex()
    assert done.returncode == 0, done.stderr
    assert f"sealed with a new key from now on: {newest}" in done.stdout + done.stderr
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "HG-9110" in done.stderr
