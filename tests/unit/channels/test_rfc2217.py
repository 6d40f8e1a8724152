"""A serial server that lets its port be set: agreed, set per transaction, believed only when confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.channels import ChannelSettings, ChannelState, ManagedChannel, open_channel
from headgate.channels.telnet import LONGEST, Telnet, escaped
from headgate.env import system_env
from headgate.errors import ChannelClosed, ChannelError, ChannelTimeout
from headgate.sdk import Delimited, LineSettings

LINES = Delimited(b"\r\n")
IAC, SB, SE = b"\xff", b"\xff\xfa", b"\xff\xf0"
#: WILL, DO, WONT, DONT of COM-PORT-OPTION and of binary transmission, as RFC 854 numbers them.
WILL_PORT, DO_PORT, DONT_PORT = b"\xff\xfb\x2c", b"\xff\xfd\x2c", b"\xff\xfe\x2c"
DONT_BINARY = b"\xff\xfe\x00"


class Server:
    """Written from the RFCs alone: confirms what it is set to, and echoes what it is sent."""

    def __init__(self) -> None:
        self.greeting = DO_PORT
        #: What was set, in order: (command, value).
        self.set: list[tuple[int, int]] = []
        #: What is confirmed instead of what was asked, by command; None: nothing.
        self.instead: dict[int, int | None] = {}
        self.heard = b""
        self.echo = True
        self.before_echo = b""
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                byte = await reader.readexactly(1)
                if byte != IAC:
                    self.data(byte)
                    continue
                verb = await reader.readexactly(1)
                if verb == IAC:
                    self.data(IAC)
                elif verb == b"\xfa":
                    said = await reader.readuntil(SE)
                    self.command(said[1], said[2:-2].replace(IAC * 2, IAC))
                else:
                    option = await reader.readexactly(1)
                    if IAC + verb + option == WILL_PORT:
                        writer.write(self.greeting)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def command(self, command: int, raw: bytes) -> None:
        assert self.writer is not None
        value = int.from_bytes(raw, "big")
        self.set.append((command, value))
        told = self.instead.get(command, value)
        if told is not None:
            body = told.to_bytes(len(raw), "big").replace(IAC, IAC * 2)
            self.writer.write(SB + b"\x2c" + bytes([command + 100]) + body + SE)

    def data(self, byte: bytes) -> None:
        assert self.writer is not None
        self.heard += byte
        if self.echo and self.heard.endswith(b"\r\n"):
            answer, self.heard = self.heard.replace(IAC, IAC * 2), b""
            self.writer.write(self.before_echo + answer)

    def lines(self, command: int) -> list[int]:
        return [value for known, value in self.set if known == command]


@asynccontextmanager
async def line(
    server: Server, query: str = "baud=9600", **given: Any
) -> AsyncIterator[ManagedChannel]:
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.get_running_loop().create_task(server.serve(reader, writer)))

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0)
    url = f"serial+rfc2217://127.0.0.1:{listener.sockets[0].getsockname()[1]}?{query}"
    options = {"retry_first_s": 0.01, "retry_cap_s": 0.02, "timeout_s": 20.0, **given}
    channel = open_channel(system_env(), ChannelSettings("c1", url, **options))
    channel.open()
    await channel.settled()
    try:
        yield channel
    finally:
        await channel.close()
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server.writer is not None:
            server.writer.close()
        await listener.wait_closed()


async def test_the_port_is_set_before_anybody_is_asked() -> None:
    server = Server()
    async with line(server, "baud=2400&parity=E&bits=7&stop=2") as channel:
        assert channel.state is ChannelState.UP
        assert server.set[:4] == [(1, 2400), (2, 7), (3, 3), (4, 2)]
        assert (5, 1) in server.set  # no flow control, which would swallow bytes


async def test_bytes_that_telnet_means_otherwise_reach_the_device_as_they_are() -> None:
    every = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") + b"\xff\xff\xf0\xff"
    async with line(Server()) as channel:
        assert await channel.exchange(every + b"\r\n", LINES) == every


async def test_line_settings_change_with_the_transaction_and_only_then() -> None:
    server = Server()
    async with line(server) as channel:
        for settings_ in (None, LineSettings(2400, 8, "E"), LineSettings(2400, 8, "E"), None):
            await channel.exchange(b"a\r\n", LINES, settings=settings_)
        assert server.lines(1) == [9600, 2400, 9600]
        assert server.lines(3) == [1, 3, 1]


async def test_what_the_server_tells_of_its_lines_is_no_data() -> None:
    server = Server()
    # A change of modem lines, a line error, and an option it would like, all in front of the answer.
    server.before_echo = SB + b"\x2c\x6b\xff\xff" + SE + SB + b"\x2c\x6a\x02" + SE + b"\xff\xfb\x01"
    async with line(server) as channel:
        assert await channel.exchange(b"a\r\n", LINES) == b"a"


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [(DONT_PORT, "does not speak RFC 2217"), (DONT_BINARY, "refuses binary")],
)
async def test_a_server_that_cannot_is_down_and_says_why(greeting: bytes, reason: str) -> None:
    server = Server()
    server.greeting = greeting
    async with line(server) as channel:
        assert channel.state is ChannelState.DOWN
        assert reason in channel.reason


async def test_a_raw_port_that_only_echoes_is_no_such_server() -> None:
    server = Server()
    server.greeting = b"login: "
    async with line(server, connect_timeout_s=0.1) as channel:
        assert channel.state is ChannelState.DOWN
        assert "0.1 s" in channel.reason


async def test_a_server_that_keeps_another_speed_is_not_asked_at_it() -> None:
    server = Server()
    async with line(server) as channel:
        server.instead = {1: 9600}
        with pytest.raises(ChannelError) as refused:
            await channel.exchange(b"a\r\n", LINES, settings=LineSettings(2400))
        assert refused.value.code == "HG-3012"
        assert "keeps baud 9600, 2400 was asked for" in str(refused.value)
        assert server.heard == b""


async def test_after_a_setting_that_failed_half_way_the_next_one_is_set_whole() -> None:
    server = Server()
    async with line(server) as channel:
        server.instead = {3: 1}  # the speed is taken, the parity is not
        with pytest.raises(ChannelError):
            await channel.exchange(b"a\r\n", LINES, settings=LineSettings(2400, 8, "E"))
        server.instead = {}
        assert await channel.exchange(b"b\r\n", LINES) == b"b"
        assert server.lines(1) == [9600, 2400, 9600]


async def test_a_server_that_confirms_nothing_any_more_fails_the_one_who_wanted_it() -> None:
    server = Server()
    async with line(server, connect_timeout_s=0.2) as channel:
        server.instead = dict.fromkeys((1, 2, 3, 4))
        with pytest.raises(ChannelError, match="does not confirm"):
            await channel.exchange(b"a\r\n", LINES, settings=LineSettings(2400))
        server.instead = {}
        assert await channel.exchange(b"b\r\n", LINES) == b"b"


async def test_after_silence_what_the_server_still_holds_is_thrown_away_there() -> None:
    server = Server()
    server.echo = False
    async with line(server, timeout_s=0.05, quiet_s=0.01) as channel:
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"a\r\n", LINES)
        server.echo, server.heard = True, b""
        assert await channel.exchange(b"b\r\n", LINES, timeout_s=20) == b"b"
        assert server.lines(12) == [3, 3]  # once when it came up, once for the silence


async def test_a_server_that_goes_while_it_is_being_set_closes_the_line() -> None:
    server = Server()
    async with line(server) as channel:
        server.instead = dict.fromkeys((1, 2, 3, 4))
        waiting = asyncio.ensure_future(
            channel.exchange(b"a\r\n", LINES, settings=LineSettings(2400))
        )
        while len(server.lines(1)) < 2:
            await asyncio.sleep(0)
        server.instead = {}
        assert server.writer is not None
        server.writer.close()
        with pytest.raises(ChannelClosed):
            await waiting


# ---------------------------------------------------------------- the stream


@given(st.binary(max_size=200), st.integers(1, 7))
def test_data_comes_out_as_it_went_in_however_it_is_cut(data: bytes, size: int) -> None:
    telnet, stream = Telnet(), escaped(data)
    parts = [telnet.feed(stream[i : i + size]) for i in range(0, len(stream), size)]
    assert b"".join(plain for plain, _ in parts) == data
    assert not any(said for _, said in parts)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([b"\xff", b"\xfa", b"\xf0", b"\x2c", b"\xfd", b"x" * 99]), max_size=60)
)
def test_a_hostile_stream_is_bounded_and_never_raises(parts: list[bytes]) -> None:
    telnet = Telnet()
    for part in parts:
        telnet.feed(part)
        assert len(telnet._told or b"") <= LONGEST


def test_a_subnegotiation_without_an_end_costs_itself_alone() -> None:
    telnet = Telnet()
    assert telnet.feed(SB + b"\x2c\x65" + b"x" * 5000) == (b"", [])
    assert telnet.feed(SE + b"plain") == (b"plain", [])
