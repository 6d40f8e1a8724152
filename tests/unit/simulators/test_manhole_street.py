"""The street by itself: what it says, what it does when told to, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import binascii
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate_simulators.faults import Fault
from headgate_simulators.manhole_street import frames
from headgate_simulators.manhole_street.site import site_fragment
from headgate_simulators.manhole_street.street import ManholeStreet, StreetPlan
from headgate_simulators.ports import PtyPort, TcpPort
from headgate_simulators.truth import TruthList


@asynccontextmanager
async def caller(
    street: ManholeStreet, line: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = street.ports[line]
    assert isinstance(port, TcpPort)
    reader, writer = await asyncio.open_connection(port.host, port.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def street(**wanted: Any) -> tuple[ManholeStreet, TruthList]:
    truth = TruthList()
    given: dict[str, Any] = {"covers": 2, "heartbeat_s": 0.05, **wanted}
    return ManholeStreet(StreetPlan(**given), truth), truth


async def a_word(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(3)
    return head + await reader.readexactly(head[2])


async def test_covers_speak_in_whole_words_and_keep_the_truth_of_them() -> None:
    running, truth = street()
    async with running, caller(running, "covers") as (reader, _):
        words = [await a_word(reader) for _ in range(6)]
    for word in words:
        assert word[:2] == b"\x7e\x43"
        assert binascii.crc_hqx(word, 0xFFFF) == 0
    looks = truth.looks()
    assert len(looks) >= 6
    for name in ("cover-001", "cover-002"):
        samples = [look["sample"] for look in truth.looks(name)]
        assert samples == list(range(1, len(samples) + 1))


async def test_nobody_listens_nobody_speaks() -> None:
    running, truth = street()
    async with running:
        await asyncio.sleep(0.3)
    assert truth.looks() == []


async def test_an_alarm_is_repeated_until_it_is_acknowledged() -> None:
    running, _ = street(covers=1, heartbeat_s=60)
    async with running, caller(running, "covers") as (reader, writer):
        await running.command({"lid": "cover-001", "open": True})
        first = await a_word(reader)
        again = await a_word(reader)
        assert first == again
        assert first[8] == frames.ALARM
        body = b"\x7e\x41\x07" + first[3:8]
        writer.write(body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big"))
        await running.command({"lid": "cover-001", "open": False})
        closed = await a_word(reader)
        assert closed[7] == (first[7] + 1) & 0xFF


async def test_a_damaged_word_is_no_look_and_steps_no_counter() -> None:
    running, truth = street(covers=1)
    running.fault(Fault.make("cover-001", "wrong-checksum"), on=True)
    async with running, caller(running, "covers") as (reader, _):
        word = await a_word(reader)
        assert binascii.crc_hqx(word, 0xFFFF) != 0
        await running.command({"fault": "wrong-checksum", "device": "cover-001", "on": False})
        while binascii.crc_hqx(await a_word(reader), 0xFFFF):
            pass
    assert truth.looks()[0]["sample"] == 1
    assert [line["fault"] for line in truth.lines if "fault" in line][0:1] == ["wrong-checksum"]


async def test_probe_and_gas_head_answer_what_they_are_asked_and_nothing_else() -> None:
    running, _ = street()
    async with running:
        async with caller(running, "probe") as (reader, writer):
            writer.write(b"#02R\r#01R\r")
            answer = await reader.readline()
            assert answer.startswith(b"#01 D=")
            body, _, check = answer.strip().partition(b"*")
            assert int(check, 16) == frames.crc16_modbus(body)
        async with caller(running, "gas") as (reader, writer):
            writer.write(bytes.fromhex("FF0186000000000000" + "FF0186000000000079"))
            told = await reader.readexactly(9)
            assert sum(told[1:]) & 0xFF == 0


async def test_pseudo_terminals_come_and_go_under_their_names(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "line")
    heard = asyncio.Event()
    port.heard = lambda data: heard.set()
    await port.plug()
    ours = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
    os.write(ours, b"x")
    await heard.wait()
    await port.pull()
    with pytest.raises(OSError, match="Input/output error"):
        os.write(ours, b"x")
    os.close(ours)
    assert not port.path.exists()
    await port.plug()
    assert port.path.is_symlink()
    await port.pull()


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"fault": "exception", "device": "*", "on": True},
        {"fault": "silent", "device": "cover-999", "on": True},
        {"fault": "blocked", "device": "cover-001", "on": True},
        {"lid": "cover-999", "open": True},
        {"plug": "nothing", "in": False},
    ],
)
async def test_a_command_that_makes_no_sense_says_why(command: dict[str, object]) -> None:
    running, _ = street()
    with pytest.raises(ValueError, match=r"\w"):
        await running.command(command)


async def test_the_site_of_a_street_names_every_line_once() -> None:
    running, _ = street()
    async with running:
        text = site_fragment(running.description, "10s")
    assert text.count("[[channel]]") == 4
    assert text.count("[[device]]") == 5
    assert 'address = "00120011"' in text
