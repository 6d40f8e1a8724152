"""A technician's session: write, discover, trace, and what a saved trace is good for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "runtime"), str(HERE.parent / "channels")]

from test_errands import PROFILE, VALVE, Unit, running  # noqa: E402

from headgate.channels import ChannelSettings, open_channel  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate_simulators.replay import Replay, ReplayServer, read_trace  # noqa: E402

MAIN = "from headgate.cli import main; main()"


class Done:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


async def shell(folder: Path, *words: str, stdin: str | None = None) -> Done:
    """One command as a person runs it, against the gateway of that folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *words,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        env={**os.environ, "HEADGATE_LANG": "en",
             "HEADGATE_SOCKET": str(folder / "state" / "headgate.sock")},
    )  # fmt: skip
    out, err = await process.communicate(None if stdin is None else stdin.encode())
    await asyncio.sleep(0)
    assert b"Traceback" not in err, err.decode()
    return Done(process.returncode or 0, out.decode(), err.decode())


async def test_nothing_is_written_unless_somebody_says_yes(tmp_path: Path) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE):
        done = await shell(tmp_path, "write", "v1", "position", "62.5", stdin="y\n")
        assert done.status == 1
        assert "Nothing was written" in done.out
        assert unit.writes == []
        done = await shell(tmp_path, "write", "v1", "position", "62.5", "--yes")
        assert done.status == 0, done.err
        assert "Point position of v1 is 62.5 % now (raw 625, read back)" in done.out
        assert unit.registers[10] == 625


async def test_a_write_that_is_refused_says_why_and_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE):
        done = await shell(tmp_path, "write", "v1", "position", "120", "--yes")
        assert done.status == 1
        assert "HG-9142" in done.err
        assert "0.0 to 100.0" in done.err


async def test_a_value_that_does_not_stay_is_a_failure(tmp_path: Path) -> None:
    unit = Unit()
    unit.deaf_to_writes = True
    async with running(tmp_path, unit, VALVE):
        done = await shell(tmp_path, "write", "v1", "position", "1", "--yes")
        assert done.status == 1
        assert "reads back as raw 500" in done.out


async def test_discovery_lists_who_answers_and_what_fits(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE):
        done = await shell(
            tmp_path, "discover", "bus", "--units", "1-4", "--timeout", "0.2",
            "--profile", "test/valve",
        )  # fmt: skip
        assert done.status == 0, done.err
        lines = done.out.splitlines()
        assert lines[0] == "unit 1  = v1"
        assert lines[1].split()[:2] == ["test/valve", "2/2"]
        assert "position 50 %" in lines[1]
        assert "Asked 4 of 4, found 3." in done.out


async def test_ctrl_c_ends_a_discovery_with_what_was_found(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MAIN, "discover", "bus", "--units", "1-247",
            "--profile", "test/valve", stdout=subprocess.PIPE, cwd=tmp_path,
            env={**os.environ, "HEADGATE_LANG": "en", "PYTHONUNBUFFERED": "1",
                 "HEADGATE_SOCKET": str(tmp_path / "state" / "headgate.sock")},
        )  # fmt: skip
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"unit 1")
        process.send_signal(signal.SIGINT)
        rest = await process.stdout.read()
        assert await process.wait() == 130
        assert b"of 247, found" in rest
        await asyncio.sleep(0)


async def test_a_saved_trace_is_a_case_and_a_device_at_once(tmp_path: Path) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE):
        for seconds in ("0.5", "5", "20"):  # a busy machine may show nothing in the shortest
            done = await shell(tmp_path, "trace", "bus", "--seconds", seconds, "--save", "t.txt")
            assert done.status == 0, done.err
            if " < " in done.out:
                break
        assert " > " in done.out
        assert " < " in done.out
    case = (
        "profiles", "case", "t.txt", "--profile", "test/valve", "--unit", "1", "--profiles",
        "profiles", "--name", "as-found",
    )  # fmt: skip
    done = await shell(tmp_path, *case)
    assert done.status == 0, done.err
    expected = (tmp_path / "profiles/test/valve/cases/as-found/expected.toml").read_text()
    assert "position = 50.0" in expected
    assert "pressure = 200" in expected
    done = await shell(tmp_path, "profiles", "test", "test/valve", "--profiles", "profiles")
    assert done.status == 0, done.out + done.err
    assert "as-found" in done.out
    assert (await shell(tmp_path, *case)).status == 1  # it does not write over a case

    # And the same file answers as the device did.
    async with ReplayServer.of_file(tmp_path / "t.txt") as server:
        await reads_the_valve(tmp_path, f"modbus+tcp://127.0.0.1:{server.port}")


async def test_a_trace_that_is_cut_off_is_saved_up_to_there(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MAIN, "trace", "bus", "--save", "t.txt",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
            env={**os.environ, "HEADGATE_SOCKET": str(tmp_path / "state" / "headgate.sock")},
        )  # fmt: skip
        assert process.stdout is not None
        shown = [await process.stdout.readline() for _ in range(2)]
        process.terminate()  # as `timeout` does
        _, err = await process.communicate()
    assert (process.returncode, b"Traceback" in err) == (0, False), err.decode()
    first = shown[0].decode().split(maxsplit=2)[2].strip()
    assert first in (tmp_path / "t.txt").read_text()


async def reads_the_valve(folder: Path, url: str) -> None:
    from headgate.columns import readings
    from headgate.profiles import load, resolve
    from headgate_drivers.modbus import ModbusDriver

    profile = load(system_env().files, [folder / "profiles"]).find("test/valve")
    device = resolve(
        profile, device_id="d", number=1, channel="c", address=1, sm3=lambda _: bytes(32)
    )
    channel = open_channel(system_env(), ChannelSettings("c", url))
    channel.open()
    await channel.settled()
    try:
        driver = ModbusDriver()
        block = await driver.read(channel, device, driver.plan(device))
        assert [r.raw for r in readings(block, device.table)] == [500, 200]
    finally:
        await channel.close()


async def test_a_trace_of_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "profiles/test/valve").mkdir(parents=True)
    (tmp_path / "profiles/test/valve/profile.toml").write_text(PROFILE)
    words = ("--profile", "test/valve", "--profiles", "profiles")
    done = await shell(tmp_path, "profiles", "case", "none.txt", *words)
    assert "HG-9155" in done.err
    (tmp_path / "bad.txt").write_text("> zz\n")
    done = await shell(tmp_path, "profiles", "case", "bad.txt", *words)
    assert "bad.txt:1" in done.err
    (tmp_path / "other.txt").write_text("> 02 03 00 0A 00 02 E4 3A\n")
    done = await shell(tmp_path, "profiles", "case", "other.txt", *words)
    assert "HG-8043" in done.err


@pytest.mark.parametrize("text", ["< 01", "> zz", "? 01"])
def test_what_is_no_trace_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        read_trace(text)


def test_a_recorded_device_gives_back_the_transaction_and_takes_its_answers_in_turn() -> None:
    def tcp(number: int, body: str) -> bytes:
        data = bytes.fromhex(body)
        return number.to_bytes(2, "big") + bytes((0, 0, 0, len(data))) + data

    ask = "01 03 00 00 00 01"
    told: Any = [
        (tcp(1, ask), tcp(1, "01 03 02 00 01")),
        (tcp(2, ask), tcp(2, "01 03 02 00 02")),
        (tcp(3, "02 03 00 00 00 01"), b""),
    ]
    replay = Replay(told)
    got = [replay.answer(tcp(9, ask)) for _ in range(3)]
    assert got == [tcp(9, f"01 03 02 00 0{n}") for n in (1, 2, 1)]
    assert replay.answer(tcp(9, "02 03 00 00 00 01")) is None
    assert (replay.requests, replay.unknown) == (1, 1)


OWNED = """\
# headgate: machine-owned
[[device]]
id = "v2"
channel = "bus"
address = 2
profile = "test/valve"
"""


async def test_a_replaced_unit_keeps_its_number_and_the_platform_hears_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "site.d").mkdir()
    made = tmp_path / "site.d" / "imported-street.toml"
    made.write_text(OWNED)
    async with running(tmp_path, Unit(), VALVE) as (gateway, _):
        number = gateway._field.devices["v2"].number
        words = ("--serial", "SN 2026-7", "--firmware", "1.10", "--profiles", "profiles")
        done = await shell(tmp_path, "devices", "replace", "v2", *words)
        assert done.status == 0, done.err
        assert f"Its number {number}" in done.out
        device = gateway._field.devices["v2"]
        assert (device.number, device.firmware) == (number, "1.10")
        assert device.labels == {"serial": "SN 2026-7"}
        # A file of a person's is not touched: what to write there is said.
        before = (tmp_path / "site.toml").read_bytes()
        done = await shell(tmp_path, "devices", "replace", "v1", *words)
        assert done.status == 0, done.err
        assert "site.toml:" in done.out
        assert 'labels.serial = "SN 2026-7", firmware = "1.10"' in done.out
        assert (tmp_path / "site.toml").read_bytes() == before
        done = await shell(tmp_path, "devices", "replace", "v3", *words)
        assert (done.status, "HG-9120" in done.err) == (1, True)
    text = made.read_bytes()
    done = await shell(
        tmp_path, "devices", "replace", "v2", "--serial", "X", "--profiles", "profiles"
    )
    assert (done.status, "HG-9110" in done.err) == (1, True)
    assert made.read_bytes() == text  # nobody to write it down: nothing changes


async def test_a_list_is_taken_over_by_the_running_gateway(tmp_path: Path) -> None:
    (tmp_path / "street.csv").write_bytes(
        "设备编号,名称,通道,地址,设备型号\r\nv2,二号阀,bus,2,test/valve\r\n".encode("gb18030")
    )
    async with running(tmp_path, Unit(), VALVE) as (gateway, _):
        words = ("devices", "import", "street.csv", "--profiles", "profiles")
        done = await shell(tmp_path, *words)
        assert done.status == 0, done.err
        assert set(gateway._field.devices) == {"v1"}  # nobody asked for it
        done = await shell(tmp_path, *words, "--reload")
        assert done.status == 0, done.err
        assert "v2" in done.out
        assert set(gateway._field.devices) == {"v1", "v2"}
        assert "position" in (await shell(tmp_path, "read", "v2")).out
