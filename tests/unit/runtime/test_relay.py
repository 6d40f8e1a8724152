"""Raw frames to a second centre: its own rule, bounded, and nothing is given up without a word."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from headgate.env import system_env
from headgate.errors import ChannelError
from headgate.runtime.relay import Relay, Rule

PATIENCE_S = 30


class Centre:
    """A second centre that keeps what it hears, and answers when it likes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.answers = True
        self.port = 0
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self._lines):
            line.transport.abort()
        while self._lines:
            await asyncio.sleep(0.01)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard.put_nowait(line)
                if self.answers:
                    writer.write(b"ok\n")
        self._lines.discard(writer)
        writer.close()

    async def hear(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()


@contextlib.asynccontextmanager
async def centre() -> AsyncIterator[Centre]:
    opened = Centre()
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def until(relay: Relay, what: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while relay.tally[what] != count:
            await asyncio.sleep(0.01)


def made(to: Centre, told: list[tuple[str, int, bool]], **more: object) -> Relay:
    rule = Rule.of({"to": f"tcp://127.0.0.1:{to.port}", **more})
    return Relay(system_env(), rule, lambda *said: told.append(said))


async def test_what_is_not_answered_is_sent_again_and_what_needs_no_answer_is_not() -> None:
    async with centre() as second:
        second.answers = False
        relay = made(second, [], timeout_s=0.1)
        relay.put("1", b"alive\n", False)
        relay.put("1", b"report\n", True)
        assert [await second.hear() for _ in range(3)] == [b"alive\n", b"report\n", b"report\n"]
        assert relay.tally["relayed"] == 1
        second.answers = True
        await until(relay, "relayed", 2)
        await relay.stop()


async def test_where_nobody_answers_a_frame_is_done_when_it_was_sent() -> None:
    async with centre() as second:
        second.answers = False
        relay = made(second, [], answers="none")
        for number in range(20):
            relay.put("1", b"%d\n" % number, True)
        assert [await second.hear() for _ in range(20)] == [b"%d\n" % n for n in range(20)]
        await relay.stop()


async def test_each_station_has_a_connection_of_its_own() -> None:
    async with centre() as second:
        relay = made(second, [])
        relay.put("1", b"a\n", True)
        relay.put("2", b"b\n", True)
        await until(relay, "relayed", 2)
        assert len(second._lines) == 2
        await relay.stop()


async def test_a_centre_that_is_away_costs_the_oldest_and_that_is_told_once_and_again_when_over() -> (
    None
):
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        await second.close()
        relay = made(second, told, keep_bytes=40, answers="none")
        for number in range(10):
            relay.put("1", b"number %d\n" % number, True)  # nine bytes each
        assert relay.tally == {"relayed": 0, "relay-waiting": 4, "relay-lost": 6}
        assert told == [("1", 1, True)]
        await second.open()
        await until(relay, "relayed", 4)
        assert told == [("1", 1, True), ("1", 6, False)]
        assert [await second.hear() for _ in range(4)][1:] == [
            b"number 7\n", b"number 8\n", b"number 9\n",
        ]  # fmt: skip
        await relay.stop()


async def test_what_waits_when_the_port_closes_is_told_as_lost() -> None:
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        second.answers = False
        relay = made(second, told)
        relay.put("1", b"a\n", True)
        await second.hear()
        await relay.stop()
    assert told == [("1", 1, False)]
    assert relay.given_up == 1


@pytest.mark.parametrize(
    "wrong",
    [{}, {"to": "udp://a:1"}, {"to": "tcp://a"}, {"to": "tcp://a:1", "answer": "none"},
     {"to": "tcp://a:1", "answers": "often"}, {"to": "tcp://a:1", "tries": 0}, "tcp://a:1"],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_told(wrong: object) -> None:
    with pytest.raises(ChannelError) as told:
        Rule.of(wrong)
    assert told.value.code == "HG-3605"
