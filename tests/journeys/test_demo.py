"""`headgate demo` as people and scripts run it, and a gateway killed in the middle of an outage.

Every part is a process of its own on real sockets; `headgate verify` counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.demo.road import Road

#: Eight processes begin at once; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(180)
WITHIN_S = 60.0
DEMO = [sys.executable, "-c", "from headgate.cli import main; main()", "demo", "--lang", "en"]


@asynccontextmanager
async def demo(
    *arguments: str, temporary: Path | None = None, **environment: str
) -> AsyncIterator[Process]:
    """`headgate demo` as a script runs it."""
    process = await asyncio.create_subprocess_exec(
        *DEMO, *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **({"TMPDIR": str(temporary)} if temporary else {}), **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def flowing(process: Process) -> None:
    """Return when the demo's page shows something."""
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while b"looks stored" not in (line := await process.stdout.readline()):
            assert line, (await process.stderr.read()).decode()


def children_of(folder: Path) -> list[str]:
    """Command lines that name a folder: parts of a demo that still run."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            line = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in line:
            found.append(line)
    return found


async def gone(folder: Path) -> None:
    """Return when no part runs any more."""
    async with asyncio.timeout(WITHIN_S):
        while children_of(folder):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def road(folder: Path) -> AsyncIterator[Road]:
    """A road on which something already flows."""
    async with Road(folder, count=4) as made:
        await stored(made, 8)
        yield made


async def stored(made: Road, looks: int) -> None:
    """Return when this many looks are in the platform's table."""
    query = (
        "SELECT count(*) FROM reading WHERE quality < 2 AND point IN"
        " (SELECT id FROM points WHERE point = 'sample')"
    )
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                with closing(sqlite3.connect(f"file:{made.store}?mode=ro", uri=True)) as database:
                    ((count,),) = database.execute(query)
            except sqlite3.Error:
                count = 0  # not made yet
            if count >= looks:
                return
            made.check()
            await asyncio.sleep(0.05)


async def waiting(made: Road, records: int) -> None:
    """Return when this many records wait in the gateway."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            status = await made.ask("status")
            if status and sum(each["outbox"]["records"] for each in status["uplinks"]) >= records:
                return
            await asyncio.sleep(0.05)


async def verdict(made: Road) -> dict[str, Any]:
    """What verify found, once all has arrived and all is stopped."""
    assert await made.finish(WITHIN_S), made.gateway.tail()
    status, words = await made.verify("--format", "json")
    found: dict[str, Any] = json.loads(words)
    assert status == (0 if found["good"] else 1)
    return found


def wrong(found: dict[str, Any]) -> dict[str, int]:
    kinds = ("missing", "doubled", "changed", "unexpected", "unaccounted", "counted_twice")
    return {kind: found["counts"][kind] for kind in kinds if found["counts"][kind]}


def devices_stored(store: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        query = "SELECT DISTINCT p.device FROM reading AS r JOIN points AS p ON p.id = r.point"
        return [device for (device,) in database.execute(query)]


# ---------------------------------------------------------------- the demo


async def test_the_demo_ends_with_a_good_verdict(tmp_path: Path) -> None:
    # At once, on ports of their own: with all that this machine has, and as if it had neither a
    # broker nor a D-Bus.
    bare, whole = tmp_path / "bare", tmp_path / "whole"
    bare.mkdir()
    whole.mkdir()
    runs = [_judged(bare, "amqtt", bare=True)]
    if shutil.which("mosquitto"):
        runs.append(_judged(whole, "mosquitto", bare=False))
    await asyncio.gather(*runs)


async def _judged(place: Path, broker: str, *, bare: bool) -> None:
    folder = place / "kept"
    arguments = ("--seconds", "12", "--plain", "--broker", broker, "--keep", str(folder))
    async with demo(*arguments, **({"PATH": str(place)} if bare else {})) as process:
        said, complaints = await process.communicate()
    text = said.decode()
    assert process.returncode == 0, text + complaints.decode()
    assert "Verdict: good." in text
    assert "taken away" in text and "The broker is back" in text
    assert not children_of(folder)
    without_tags = bare or not shutil.which("dbus-daemon")
    left_out = "No tags by BLE today: dbus-daemon is not on this machine"
    assert (left_out in text) is without_tags
    kinds = {"gauges", "covers", "stations", "pumps"} | (set() if without_tags else {"tags"})
    assert {f"{kind}.truth.jsonl" for kind in kinds} <= set(os.listdir(folder))
    stored_of = {device.partition("-0")[0] for device in devices_stored(folder / "platform.db")}
    assert {"gauge", "cover", "probe", "ps", "st"} <= stored_of
    assert ("manhole-cover-ble" in stored_of) is not without_tags


async def test_a_demo_that_ends_takes_its_parts_with_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The sockets of a demo lie below these, and the path of a socket has 107 bytes.
    below = tmp_path_factory.mktemp("d")
    temporary, kept = below / "t", below / "k"
    temporary.mkdir()
    async with (
        demo("--plain", temporary=temporary) as interrupted,
        demo("--plain", "--keep", str(kept)) as killed,
    ):
        await asyncio.gather(flowing(interrupted), flowing(killed))
        assert children_of(temporary) and children_of(kept)
        interrupted.send_signal(signal.SIGTERM)
        killed.kill()
        await asyncio.gather(interrupted.communicate(), killed.communicate())
    assert interrupted.returncode == 130
    assert not children_of(temporary)
    assert not os.listdir(temporary)
    await gone(kept)


async def test_a_folder_that_is_not_empty_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    async with demo("--keep", str(tmp_path)) as process:
        _, complaints = await process.communicate()
    assert process.returncode == 1 and b"HG-9512" in complaints
    assert os.listdir(tmp_path) == ["mine"]


# ---------------------------------------------------------------- kill -9


async def test_a_gateway_killed_in_an_outage_loses_nothing_that_it_kept(tmp_path: Path) -> None:
    async with road(tmp_path) as made:
        await made.broker.stop()
        await waiting(made, 8)
        await made.gateway.kill()
        await asyncio.sleep(1)  # off for a while: there must be something to be told
        await made.start_gateway()
        await waiting(made, 12)
        await made.broker.start()
        await stored(made, 40)
        found = await verdict(made)
    assert not wrong(found), found
    counts = found["counts"]
    # What the gauges answered in the last instants before the kill was not on disk yet; it is told.
    assert counts["matched"] + counts["in_gap"] == counts["truth"] >= 40, counts
    assert counts["in_gap"] <= 8
    assert [gap["reason"] for gap in found["gaps"] if gap["reason"] == "gateway-off"]
