"""The fast devices, C and Python: one behaviour, asked byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

C_SOURCE = Path(__file__).parents[3] / "bench" / "sim" / "modbus_devices.c"
COUNT = 3


@pytest.fixture(
    params=["python", pytest.param("c", marks=pytest.mark.peer("gcc"))],
)
def devices(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The ready line of three running devices; stopped by SIGTERM, which must end well."""
    command = [sys.executable, "-m", "headgate_simulators.fast_modbus"]
    if request.param == "c":
        command = [str(tmp_path / "modbus_devices")]
        subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", *command, C_SOURCE], check=True)
    with subprocess.Popen([*command, "0", str(COUNT)], stdout=subprocess.PIPE, text=True) as ran:
        assert ran.stdout is not None
        yield json.loads(ran.stdout.readline())
        ran.terminate()
    assert ran.returncode == 0


def read(transaction: int, unit: int, first: int, count: int, function: int = 3) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, unit, function, first, count)


async def talk(port: int, request: bytes, answers: int) -> list[bytes]:
    """Send `request` and take so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    got = []
    for _ in range(answers):
        head = await reader.readexactly(6)
        got.append(head + await reader.readexactly(int.from_bytes(head[4:], "big")))
    writer.close()
    await writer.wait_closed()
    return got


def words(answer: bytes) -> tuple[int, ...]:
    assert answer[8] == len(answer) - 9
    return struct.unpack(f">{answer[8] // 2}H", answer[9:])


async def test_clock_sequence_and_values_stand_where_they_should(devices: dict[str, Any]) -> None:
    before = time.time_ns() // 1_000_000
    (answer,) = await talk(devices["ports"][1], read(0x0102, 9, 0, 125), 1)
    after = time.time_ns() // 1_000_000
    assert answer[:9] == bytes.fromhex("0102 0000 00fd 09 03 fa")
    low, high, sequence, *values = words(answer)
    assert before & 0xFFFFFFFF <= (high << 16 | low) <= after & 0xFFFFFFFF
    assert sequence == 1
    for register, value in enumerate(values, 3):
        assert 0 <= value - (1000 + 10 * register + 1) <= 200


async def test_pipelined_requests_are_answered_in_order(devices: dict[str, Any]) -> None:
    asked = b"".join(read(i, 1, i % 5, 1 + i % 100) for i in range(500))
    answers = await talk(devices["ports"][2], asked, 500)
    assert [int.from_bytes(answer[:2], "big") for answer in answers] == list(range(500))
    assert [len(words(answer)) for answer in answers] == [1 + i % 100 for i in range(500)]
    covered = [i for i in range(500) if i % 5 <= 2 < i % 5 + 1 + i % 100]
    told = [words(answers[i])[2 - i % 5] for i in covered]
    assert told == list(range(1, len(covered) + 1))


async def test_a_request_in_pieces_is_one_request(devices: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", devices["ports"][0])
    writer.write(read(1, 1, 10, 1)[:7])
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.01)
    writer.write(read(1, 1, 10, 1)[7:])
    assert len(words(await reader.readexactly(11))) == 1
    writer.close()
    await writer.wait_closed()


async def test_the_first_port_carries_every_unit(devices: dict[str, Any]) -> None:
    asked = b"".join(read(unit, unit, 2, 1) for unit in (1, 2, 3, 3, 77))
    answers = await talk(devices["ports"][0], asked, 5)
    assert [answer[6] for answer in answers] == [1, 2, 3, 3, 77]
    assert [words(answer)[0] for answer in answers] == [1, 1, 1, 2, 2]
    reader, writer = await asyncio.open_connection("127.0.0.1", devices["stat_port"])
    told = json.loads(await reader.read())
    writer.close()
    await writer.wait_closed()
    assert told == {
        "transactions": 5,
        "registers": 5,
        "exceptions": 0,
        "bytes": 55,
        "seq": [2, 1, 2],
    }


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (read(7, 1, 0, 0), 3),
        (read(7, 1, 0, 126), 3),
        (read(7, 1, 999, 2), 2),
        (read(7, 1, 65535, 125), 2),
        (read(7, 1, 0, 1, function=6), 1),
        (bytes.fromhex("0007 0000 0002 01 07"), 1),
        (bytes.fromhex("0007 0000 0004 01 03 0000"), 3),
    ],
)
async def test_what_cannot_be_read_is_refused(
    devices: dict[str, Any], asked: bytes, code: int
) -> None:
    (answer,) = await talk(devices["ports"][0], asked, 1)
    assert answer == struct.pack(">HHHBBB", 7, 0, 3, 1, asked[7] | 0x80, code)


async def test_it_hangs_up_on_what_is_not_modbus(devices: dict[str, Any]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", devices["ports"][0])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):  # where it had not read everything
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
