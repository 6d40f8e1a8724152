"""The lying device: each lie is exactly the lie it says it is."""

from __future__ import annotations

import asyncio

import pytest

from headgate_simulators import byte_server as says
from headgate_simulators.byte_server import ByteServer, Lie

ASK = bytes.fromhex("0102 0000 0006 05 03 0007 0002")
RIGHT = bytes.fromhex("0102 0000 0007 05 03 04 0007 0008")


async def answer_to(server: ByteServer, request: bytes = ASK) -> bytes:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("lie", "answer"),
    [
        (says.honest(), RIGHT),
        (says.late(0.01), RIGHT),
        (says.byte_by_byte(0), RIGHT),
        (says.silent(), b""),
        (says.short(), RIGHT[:-1]),
        (says.wrong_unit(), bytes.fromhex("0102 0000 0007 06 03 04 0007 0008")),
        (says.wrong_transaction(), bytes.fromhex("0103 0000 0007 05 03 04 0007 0008")),
        (says.wrong_function(4), bytes.fromhex("0102 0000 0007 05 04 04 0007 0008")),
        (says.wrong_count(), bytes.fromhex("0102 0000 0009 05 03 06 0007 0008 0009")),
        (says.wrong_count(-1), bytes.fromhex("0102 0000 0005 05 03 02 0007")),
        (says.wrong_byte_count(), bytes.fromhex("0102 0000 0007 05 03 06 0007 0008")),
        (says.wrong_length(), bytes.fromhex("0102 0000 0009 05 03 04 0007 0008")),
        (says.exception(6), bytes.fromhex("0102 0000 0003 05 83 06")),
        (says.garbage_before(b"\xff"), b"\xff" + RIGHT),
        (says.twice(), RIGHT * 2),
        (says.close_mid_answer(5), RIGHT[:5]),
        (says.raw(b"\0"), b"\0"),
    ],
)
async def test_it_says_exactly_that(lie: Lie, answer: bytes) -> None:
    async with ByteServer([lie]) as server:
        assert await answer_to(server) == answer
        assert server.requests == [ASK]


async def test_lies_are_used_up_in_order_and_then_it_is_honest() -> None:
    async with ByteServer([says.silent(), says.exception(2)]) as server:
        answers = [await answer_to(server) for _ in range(3)]
    assert answers == [b"", bytes.fromhex("0102 0000 0003 05 83 02"), RIGHT]
    assert server.connections == 3


async def test_it_refuses_what_is_no_read() -> None:
    async with ByteServer() as server:
        answer = await answer_to(server, bytes.fromhex("0102 0000 0006 05 06 0007 0002"))
    assert answer == bytes.fromhex("0102 0000 0003 05 86 01")


async def test_it_ends_while_a_client_waits() -> None:
    async with ByteServer([says.late(3600)]) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(ASK)
        await server.asked.wait()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
