"""A vendor's driver for stations that dial in: its own tests, and a contract that tells what it breaks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import SpoolError
from headgate.sdk import AttendingDriver, Channel, Deliver, Device, Origin, Roll, Unframed
from headgate.testing import FakeChannel, FakeListener, make_device, run_driver_contract

EXAMPLE = Path(__file__).parents[2] / "examples" / "dial-in-plugin"
DEVICE = make_device(address="1")
ENV = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")]),
}


def test_its_own_tests_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path),
         "-c", os.devnull, str(EXAMPLE / "tests")],
        cwd=tmp_path, env=ENV, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_the_sdk_and_nothing_else_of_ours() -> None:
    lines = [
        line
        for file in (EXAMPLE / "acme_rtu9").glob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith(("from headgate", "import headgate"))
    ]
    assert lines
    assert all(line.startswith("from headgate.sdk import") for line in lines), lines


def test_its_lines_are_decoded_where_it_may_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"$REP,A0017,41,20260715080000,21337,12610*24\r\n")

    # As pip would have installed it.
    metadata = tmp_path / "acme_rtu9-1.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rtu9\nVersion: 1.0.0\n")
    (metadata / "entry_points.txt").write_text("[headgate]\nacme-rtu9 = acme_rtu9\n")
    (metadata / "RECORD").write_text("acme_rtu9/headgate-plugin.toml,,\n")
    (tmp_path / "acme_rtu9").symlink_to(EXAMPLE / "acme_rtu9")
    env = {**ENV, "HEADGATE_LANG": "en"}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])

    def decode(*more: str) -> subprocess.CompletedProcess[str]:
        words = ["decode", "acme-rtu9", "--file", "log.txt", *more]
        return subprocess.run(
            [sys.executable, "-c", "from headgate.cli import main; main()", *words],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    told = decode("--development")
    assert told.returncode == 0, told.stderr
    assert "station  A0017" in told.stdout
    refused = decode()
    assert refused.returncode == 1 and "HG-9170" in refused.stderr


class Echoing(AttendingDriver):
    """Says back what it was told, when it should; others below do it wrongly."""

    name = "echoing"
    schemes = ("echoing+listen",)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        async for piece in channel.frames(Unframed()):
            device = roll.claim("1", channel)
            assert device is not None
            await self.take(channel, device, piece.payload, deliver)

    async def take(self, channel: Channel, device: Device, said: bytes, deliver: Deliver) -> None:
        try:
            await deliver(self.blocks(channel, device, said), self.origin(said))
        except SpoolError:
            return
        await channel.send(said)

    def blocks(self, channel: Channel, device: Device, said: bytes) -> Sequence[Any]:
        return [device.block(channel.now_us(), {"value": len(said) & 0xFFFF})]

    def origin(self, said: bytes) -> Origin:
        return Origin("1", "said", 0, None, said)


class TooSoon(Echoing):
    async def take(self, channel: Channel, device: Device, said: bytes, deliver: Deliver) -> None:
        storing = asyncio.ensure_future(
            deliver(self.blocks(channel, device, said), self.origin(said))
        )
        for _ in range(4):  # the core has it by now; the disk does not
            await asyncio.sleep(0)
        await channel.send(said)
        await asyncio.gather(storing, return_exceptions=True)


class AllTheSame(Echoing):
    async def take(self, channel: Channel, device: Device, said: bytes, deliver: Deliver) -> None:
        with suppress(SpoolError):
            await deliver(self.blocks(channel, device, said), self.origin(said))
        await channel.send(said)


class NeverTheSame(Echoing):
    count = 0

    def origin(self, said: bytes) -> Origin:
        self.count += 1
        return Origin("1", "said", self.count, None, said)


async def _contract(driver: AttendingDriver) -> None:
    port = FakeListener([FakeChannel(incoming=[b"one", b"two"])])
    await run_driver_contract(driver, DEVICE, port, hostile=20)


async def test_a_driver_that_acknowledges_what_is_on_disk_keeps_the_contract() -> None:
    await _contract(Echoing())


@pytest.mark.parametrize(
    ("driver", "promise"),
    [
        (TooSoon(), "acknowledged what is not on disk"),
        (AllTheSame(), "acknowledged what is not on disk"),
        (NeverTheSame(), "a repetition has the origin of the first time"),
    ],
    ids=["too-soon", "all-the-same", "never-the-same"],
)
async def test_a_driver_that_breaks_a_promise_is_told_which(
    driver: AttendingDriver, promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        await _contract(driver)
