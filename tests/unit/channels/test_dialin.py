"""Lines that dial in: who is let in, who is not, and what a newer connection does to an older one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.channels import ChannelSettings, ChannelState, open_channel
from headgate.channels import dialin as dialin_room
from headgate.channels.dialin import DialInChannel
from headgate.env import Env, system_env
from headgate.errors import ChannelClosed, ChannelTimeout, ConfigError
from headgate.sdk import Frame


class Fours:
    unique_keys = False

    def next(self, buffer: bytearray) -> Frame | None:
        if len(buffer) < 4:
            return None
        payload = bytes(buffer[:4])
        del buffer[:4]
        return Frame(None, payload)


FOURS = Fours()


@asynccontextmanager
async def waiting(
    *queries: str, env: Env | None = None, **settings: Any
) -> AsyncIterator[list[DialInChannel]]:
    """Channels that share one port, in the order of their queries."""
    world = env or system_env()
    channels = []
    for number, query in enumerate(queries):
        url = f"modbus+dtu+listen://127.0.0.1:0?{query}"
        channel = open_channel(world, ChannelSettings(f"dtu{number}", url, **settings))
        assert isinstance(channel, DialInChannel)
        channel.open()
        await channel.settled()
        channels.append(channel)
    try:
        yield channels
    finally:
        for channel in channels:
            await channel.close()


class Dtu:
    """The far side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, channel: DialInChannel, *pieces: bytes) -> Dtu:
        number = channel.listening_on
        assert number
        dtu = cls(*await asyncio.open_connection("127.0.0.1", number))
        for piece in pieces:
            dtu.writer.write(piece)
            await dtu.writer.drain()
        return dtu

    async def answer(self, *answers: bytes) -> None:
        await self.reader.readexactly(4)
        for answer in answers:
            self.writer.write(answer)
            await self.writer.drain()

    async def hung_up_on(self) -> bool:
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def hang_up(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def until(channel: DialInChannel, state: ChannelState) -> None:
    reached = asyncio.Event()
    if channel.state is not state:
        channel.on_state = lambda new: reached.set() if new is state else None
        await reached.wait()
        channel.on_state = None


async def polled(channel: DialInChannel, dtu: Dtu, *answers: bytes) -> bytes:
    await until(channel, ChannelState.UP)
    answering = asyncio.ensure_future(dtu.answer(*answers))
    try:
        return await channel.exchange(b"ask?", FOURS, timeout_s=5)
    finally:
        await answering


@pytest.mark.parametrize(
    ("query", "pieces"),
    [
        ("registration=DTU-0001", [b"DTU-0001"]),
        ("registration=DTU-0001", [b"DTU", b"-00", b"01\r\n"]),
        ("registration=hex:00FF0A", [b"\0\xff\n"]),
        ("registration=DTU-1&heartbeat=hex:FE", [b"DTU-1\xfe"]),
        ("registration=DTU-1", [b"DTU-1DTU-1"]),
    ],
)
async def test_a_dtu_is_known_by_its_registration(query: str, pieces: list[bytes]) -> None:
    async with waiting(query) as (channel,):
        dtu = await Dtu.dial(channel, *pieces)
        assert await polled(channel, dtu, b"good") == b"good"
        await dtu.hang_up()


async def test_nobody_has_dialled_in_yet_is_a_line_that_is_down() -> None:
    async with waiting("registration=A1") as (channel,):
        assert channel.state is ChannelState.DOWN
        assert channel.reason == "it has not dialled in yet"
        with pytest.raises(ChannelClosed):
            await channel.exchange(b"ask?", FOURS)


async def test_many_share_a_port_and_one_name_may_begin_another() -> None:
    env = system_env()
    async with waiting("registration=DTU-1", "registration=DTU-12", env=env) as (one, twelve):
        assert one.listening_on == twelve.listening_on
        second = await Dtu.dial(twelve, b"DTU-1", b"2")
        first = await Dtu.dial(one, b"DTU-1")
        assert await polled(one, first, b"one!") == b"one!"
        assert await polled(twelve, second, b"two!") == b"two!"
        await first.hang_up()
        await second.hang_up()


async def test_a_stranger_is_refused_and_the_log_says_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with waiting("registration=DTU-1") as (channel,):
        with caplog.at_level(logging.WARNING):
            for said in (b"DTU-2", b"DTU-12", b"GET / HTTP/1.1\r\n\r\n"):
                dtu = await Dtu.dial(channel, said)
                assert await dtu.hung_up_on()
                await dtu.hang_up()
        assert channel.state is ChannelState.DOWN
        refusals = [r for r in caplog.records if getattr(r, "code", "") == "HG-3014"]
        assert len(refusals) == 1
        assert vars(refusals[0])["said"] == b"DTU-2".hex(" ")


async def test_who_talks_on_without_a_registration_is_refused() -> None:
    async with waiting("registration=DTU-1") as (channel,):
        dtu = await Dtu.dial(channel, b"x" * 4096)
        assert await dtu.hung_up_on()
        await dtu.hang_up()


async def test_who_says_nothing_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialin_room, "REGISTER_WITHIN_S", 0.05)
    async with waiting("registration=DTU-1") as (channel,):
        dtu = await Dtu.dial(channel)
        assert await dtu.hung_up_on()
        await dtu.hang_up()


async def test_a_slow_trickle_does_not_buy_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialin_room, "REGISTER_WITHIN_S", 0.3)
    async with waiting("registration=DTU-0001") as (channel,):
        dtu = await Dtu.dial(channel, b"D")

        async def trickle() -> None:
            while not dtu.writer.is_closing():
                dtu.writer.write(b"D")
                await asyncio.sleep(0.05)

        trickling = asyncio.ensure_future(trickle())
        assert await dtu.hung_up_on()
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        await dtu.hang_up()


async def test_a_flood_of_strangers_leaves_the_known_ones_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialin_room, "MAX_STRANGERS", 4)
    async with waiting("registration=DTU-1") as (channel,):
        known = await Dtu.dial(channel, b"DTU-1")
        await until(channel, ChannelState.UP)
        flood = [await Dtu.dial(channel) for _ in range(12)]
        refused = flood[4:]
        assert all([await dtu.hung_up_on() for dtu in refused])
        assert await polled(channel, known, b"good") == b"good"
        for dtu in (known, *flood):
            await dtu.hang_up()


async def test_the_newest_connection_replaces_the_one_before() -> None:
    async with waiting("registration=DTU-1") as (channel,):
        old = await Dtu.dial(channel, b"DTU-1")
        await until(channel, ChannelState.UP)
        asking = asyncio.ensure_future(channel.exchange(b"ask?", FOURS, timeout_s=600))
        await old.reader.readexactly(4)
        new = await Dtu.dial(channel, b"DTU-1")
        with pytest.raises(ChannelClosed):
            await asking
        assert await old.hung_up_on()
        assert await polled(channel, new, b"new!") == b"new!"
        assert channel.counters.connects == 2
        await old.hang_up()
        await new.hang_up()


async def test_a_dtu_that_hangs_up_may_come_again() -> None:
    async with waiting("registration=DTU-1") as (channel,):
        for _ in range(2):
            dtu = await Dtu.dial(channel, b"DTU-1")
            assert await polled(channel, dtu, b"good") == b"good"
            await dtu.hang_up()
            await until(channel, ChannelState.DOWN)


async def test_heartbeats_and_repeated_registrations_are_no_answers() -> None:
    async with waiting("registration=DTU-1&heartbeat=ping") as (channel,):
        dtu = await Dtu.dial(channel, b"DTU-1")
        await until(channel, ChannelState.UP)
        for chatter in (b"ping", b"pingping", b"DTU-1", b"ping\r\n"):
            answering = asyncio.ensure_future(chatty(dtu, chatter))
            assert await channel.exchange(b"ask?", FOURS, timeout_s=5) == b"good"
            await answering
        await dtu.hang_up()


async def chatty(dtu: Dtu, chatter: bytes) -> None:
    await dtu.reader.readexactly(4)
    dtu.writer.write(chatter)
    await dtu.writer.drain()
    await asyncio.sleep(0.02)  # so that the answer is a piece of its own, as on a mobile network
    dtu.writer.write(b"good")


async def test_a_heartbeat_keeps_a_dtu_whose_device_is_silent() -> None:
    async with waiting("registration=D1&heartbeat=ping", timeout_s=0.03, silent_limit=3) as (
        channel,
    ):
        dtu = await Dtu.dial(channel, b"D1")
        await until(channel, ChannelState.UP)
        for _ in range(6):
            dtu.writer.write(b"ping")
            with pytest.raises(ChannelTimeout):
                await channel.exchange(b"ask?", FOURS)
        assert channel.counters.connects == 1
        await dtu.hang_up()


async def test_a_connection_on_which_nothing_comes_back_is_dropped_so_that_it_dials_anew() -> None:
    async with waiting("registration=D1", timeout_s=0.03, silent_limit=3) as (channel,):
        dtu = await Dtu.dial(channel, b"D1")
        await until(channel, ChannelState.UP)
        for _ in range(3):
            with pytest.raises(ChannelTimeout):
                await channel.exchange(b"ask?", FOURS)
        assert channel.state is ChannelState.DOWN
        assert (await dtu.reader.read(100)).startswith(b"ask?")
        await dtu.hang_up()


async def test_a_late_answer_over_a_dial_in_line_is_not_the_next_one_s() -> None:
    async with waiting("registration=D1", timeout_s=0.05, quiet_s=0.02) as (channel,):
        dtu = await Dtu.dial(channel, b"D1")
        await until(channel, ChannelState.UP)
        asking = asyncio.ensure_future(channel.exchange(b"old?", FOURS))
        await dtu.reader.readexactly(4)
        asyncio.get_running_loop().call_later(0.07, dtu.writer.write, b"OLD!")
        with pytest.raises(ChannelTimeout):
            await asking
        assert await polled(channel, dtu, b"new!") == b"new!"
        await dtu.hang_up()


async def test_a_port_taken_by_another_is_tried_again() -> None:
    taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    number = taken.sockets[0].getsockname()[1]
    url = f"modbus+dtu+listen://127.0.0.1:{number}?registration=D1"
    settings = ChannelSettings("d", url, retry_first_s=0.01, retry_cap_s=0.02)
    channel = open_channel(system_env(), settings)
    channel.open()
    await channel.settled()
    assert channel.state is ChannelState.DOWN
    assert channel.counters.connect_failures
    taken.close()
    await taken.wait_closed()
    assert isinstance(channel, DialInChannel)
    dtu: Dtu | None = None
    while dtu is None:
        await asyncio.sleep(0.01)
        if channel.listening_on:
            dtu = await Dtu.dial(channel, b"D1")
    assert await polled(channel, dtu, b"good") == b"good"
    await channel.close()
    await dtu.hang_up()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "no registration"),
        ("?registration=hex:0G", "hex"),
        ("?registration=a&heartbeat=hex:1", "hex"),
    ],
)
def test_a_dial_in_url_that_is_none_says_why(query: str, reason: str) -> None:
    url = f"modbus+dtu+listen://0.0.0.0:9000{query}"
    with pytest.raises(ConfigError) as wrong:
        open_channel(system_env(), ChannelSettings("c1", url))
    assert reason in str(wrong.value.problems[0].fields["reason"])
