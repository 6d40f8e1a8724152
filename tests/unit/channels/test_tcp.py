"""The TCP channel against a server that says what the test wants, when it wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from byteserver import Answer, ByteServer, Peer, byte_server

from headgate.channels import ChannelSettings, ChannelState, ManagedChannel, open_channel, tcp
from headgate.env import system_env
from headgate.errors import ChannelClosed, ChannelTimeout, ConfigError
from headgate.sdk import Frame


class Tagged:
    """Frames of four bytes; the first is the key, unique or not."""

    def __init__(self, unique: bool) -> None:
        self.unique_keys = unique

    def next(self, buffer: bytearray) -> Frame | None:
        if len(buffer) < 4:
            return None
        payload = bytes(buffer[:4])
        del buffer[:4]
        return Frame(payload[0], payload)


TAGGED, UNTAGGED = Tagged(True), Tagged(False)


@asynccontextmanager
async def line(answer: Answer, **settings: Any) -> AsyncIterator[tuple[ManagedChannel, ByteServer]]:
    async with byte_server(answer, size=4) as server:
        given = {"retry_first_s": 0.01, "retry_cap_s": 0.02, **settings}
        url = f"modbus+tcp://127.0.0.1:{server.port}"
        channel = open_channel(system_env(), ChannelSettings("c1", url, **given))
        channel.open()
        await channel.settled()
        try:
            yield channel, server
        finally:
            await channel.close()


async def until(channel: ManagedChannel, state: ChannelState) -> None:
    reached = asyncio.Event()
    if channel.state is not state:
        channel.on_state = lambda new: reached.set() if new is state else None
        await reached.wait()
        channel.on_state = None


async def echo(request: bytes, peer: Peer) -> None:
    peer.say(request)


async def test_an_answer_reaches_who_asked() -> None:
    async with line(echo) as (channel, _):
        assert await channel.exchange(b"\x01abc", TAGGED, key=1) == b"\x01abc"
        assert channel.counters.answers == 1
        assert channel.counters.bytes_sent == channel.counters.bytes_received == 4


async def test_many_requests_in_flight_get_their_own_answers_in_any_order() -> None:
    held: list[bytes] = []

    async def backwards(request: bytes, peer: Peer) -> None:
        held.append(request)
        if len(held) == 20:
            for answer in reversed(held):
                peer.say(answer)

    async with line(backwards, depth=20) as (channel, _):
        asked = [bytes([i]) + b"abc" for i in range(20)]
        got = await asyncio.gather(*(channel.exchange(a, TAGGED, key=a[0]) for a in asked))
        assert got == asked


async def test_an_answer_may_come_byte_by_byte() -> None:
    async def slowly(request: bytes, peer: Peer) -> None:
        for byte in request:
            peer.say(bytes([byte]))
            await peer.writer.drain()
            await asyncio.sleep(0)

    async with line(slowly) as (channel, _):
        for i in range(5):
            assert await channel.exchange(bytes([i]) + b"xyz", TAGGED, key=i) == bytes([i]) + b"xyz"


async def test_a_stale_answer_is_counted_and_dropped() -> None:
    async def stale_first(request: bytes, peer: Peer) -> None:
        peer.say(b"\xfeold" + request)

    async with line(stale_first) as (channel, _):
        assert await channel.exchange(b"\x01abc", TAGGED, key=1) == b"\x01abc"
        assert channel.counters.stale == 1


async def test_silence_is_a_timeout_and_the_next_request_is_fine() -> None:
    async def first_is_ignored(request: bytes, peer: Peer) -> None:
        if request[0] != 1:
            peer.say(request)

    async with line(first_is_ignored) as (channel, server):
        with pytest.raises(ChannelTimeout) as caught:
            await channel.exchange(b"\x01abc", TAGGED, key=1, timeout_s=0.02)
        assert caught.value.fields["timeout_s"] == 0.02
        assert await channel.exchange(b"\x02abc", TAGGED, key=2) == b"\x02abc"
        assert channel.counters.timeouts == 1
        assert server.connections == 1


async def test_a_shorter_deadline_is_not_held_up_by_a_longer_one() -> None:
    async def nothing(request: bytes, peer: Peer) -> None:
        return

    async with line(nothing, depth=2) as (channel, _):
        long = asyncio.ensure_future(channel.exchange(b"\x01abc", TAGGED, key=1, timeout_s=30))
        await asyncio.sleep(0)
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"\x02abc", TAGGED, key=2, timeout_s=0.02)
        assert not long.done()
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)


async def test_a_late_answer_without_unique_keys_never_reaches_the_next_request() -> None:
    late = asyncio.Event()

    async def answer(request: bytes, peer: Peer) -> None:
        if request == b"\x01one":
            await late.wait()
            peer.say(b"\x01OLD")
        else:
            peer.say(b"\x01NEW")

    async with line(answer) as (channel, server):
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"\x01one", UNTAGGED, key=1, timeout_s=0.05)
        second = asyncio.ensure_future(channel.exchange(b"\x01two", UNTAGGED, key=1, timeout_s=5))
        await asyncio.sleep(0)
        assert server.requests == [b"\x01one"]  # nothing is sent while the line is in doubt
        late.set()
        assert await second == b"\x01NEW"
        assert channel.counters.dropped_bytes == 4


async def test_a_cancelled_request_leaves_the_line_in_doubt() -> None:
    async def twice(request: bytes, peer: Peer) -> None:
        peer.say(b"\x01OLD" if request == b"\x01one" else b"\x01NEW")

    async with line(twice) as (channel, _):
        first = asyncio.ensure_future(channel.exchange(b"\x01one", UNTAGGED, key=1, timeout_s=0.2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert await channel.exchange(b"\x01two", UNTAGGED, key=1, timeout_s=5) == b"\x01NEW"


async def test_a_line_that_never_falls_quiet_is_opened_anew() -> None:
    stop = False

    async def babble(request: bytes, peer: Peer) -> None:
        while not stop and not peer.writer.is_closing():
            peer.say(b"noise")
            await asyncio.sleep(0.01)

    # Quiet would be five seconds without a byte: no busy machine makes the babbler pause for so long.
    async with line(babble, drain_limit_s=0.1, quiet_s=5.0) as (channel, server):
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"\x01one", UNTAGGED, key=99, timeout_s=0.05)
        with pytest.raises(ChannelClosed):
            await channel.exchange(b"\x01two", UNTAGGED, key=99, timeout_s=0.05)
        await until(channel, ChannelState.UP)
        assert server.connections == 2
        stop = True


async def test_a_lost_connection_fails_everybody_at_once_and_comes_back() -> None:
    async def hang_up(request: bytes, peer: Peer) -> None:
        if request[0] == 9:
            peer.hang_up()
        elif request[0] == 5:
            peer.say(request)

    async with line(hang_up, depth=3) as (channel, server):
        waiting = [
            asyncio.ensure_future(
                channel.exchange(bytes([i]) + b"abc", TAGGED, key=i, timeout_s=30)
            )
            for i in (1, 2, 9)
        ]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [ChannelClosed] * 3
        assert channel.state is ChannelState.DOWN
        with pytest.raises(ChannelClosed):
            await channel.exchange(b"\x05abc", TAGGED, key=5)
        await until(channel, ChannelState.UP)
        assert await channel.exchange(b"\x05abc", TAGGED, key=5) == b"\x05abc"
        assert server.connections == channel.counters.connects == 2


async def test_a_connection_on_which_nobody_answers_is_opened_anew() -> None:
    async def nothing(request: bytes, peer: Peer) -> None:
        return

    async with line(nothing, silent_limit=3) as (channel, server):
        for i in range(3):
            with pytest.raises(ChannelTimeout):
                await channel.exchange(bytes([i]) + b"abc", TAGGED, key=i, timeout_s=0.01)
        await until(channel, ChannelState.DOWN)
        await until(channel, ChannelState.UP)
        assert server.connections == 2


async def test_noise_without_a_request_does_not_pile_up() -> None:
    async def nothing(request: bytes, peer: Peer) -> None:
        return

    async with line(nothing) as (channel, server):
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"\x01abc", TAGGED, key=1, timeout_s=0.01)
        seen = asyncio.Event()
        total = 0

        def tap(direction: str, data: bytes, at_us: int) -> None:
            nonlocal total
            total += len(data)
            if total >= 1_000_000:
                seen.set()

        channel.add_tap(tap)
        server._peers[0].say(bytes(1_000_000))
        await seen.wait()
        assert channel.counters.stale == 250_000
        assert len(channel._buffer) < 4  # type: ignore[attr-defined]


async def test_a_tap_sees_every_byte_both_ways() -> None:
    seen: list[tuple[str, bytes]] = []

    def tap(direction: str, data: bytes, at_us: int) -> None:
        assert at_us > 0
        seen.append((direction, data))

    async with line(echo) as (channel, _):
        channel.add_tap(tap)
        await channel.exchange(b"\x01abc", TAGGED, key=1)
        channel.remove_tap(tap)
        await channel.exchange(b"\x02abc", TAGGED, key=2)
    assert seen == [("sent", b"\x01abc"), ("received", b"\x01abc")]


async def test_frames_of_a_talking_device_come_until_the_line_is_lost() -> None:
    async def talk(request: bytes, peer: Peer) -> None:
        for i in range(5):
            peer.say(bytes([i]) + b"say")
        await peer.writer.drain()
        peer.hang_up()

    async with line(talk) as (channel, _):
        await channel.send(b"\x00go!")
        got = [frame.key async for frame in channel.frames(TAGGED)]
    assert got == [0, 1, 2, 3, 4]


@asynccontextmanager
async def early(words: bytes) -> AsyncIterator[ManagedChannel]:
    """A line on which a device spoke, and has been heard, before anybody reads."""
    heard = asyncio.Event()

    async def talk(request: bytes, peer: Peer) -> None:
        peer.say(words)

    async with line(talk) as (channel, _):
        await channel.send(b"go!!")
        channel.add_tap(lambda way, _data, _at: heard.set() if way == "received" else None)
        while channel.counters.bytes_received < len(words):
            heard.clear()
            await heard.wait()
        yield channel


async def test_what_a_device_says_before_anybody_reads_a_new_line_is_read_first() -> None:
    async with early(b"\x01say\x02sa") as channel:
        frames = channel.frames(UNTAGGED)
        assert (await anext(frames)).payload == b"\x01say"
        await channel.send(b"more")
        assert (await anext(frames)).payload == b"\x02sa\x01"
        assert channel.counters.dropped_bytes == 0
        await frames.aclose()  # type: ignore[attr-defined]


async def test_of_what_came_early_the_newest_is_kept_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "EARLY_LIMIT", 8)
    async with early(b"\x01say\x02say\x03say") as channel:
        frames = channel.frames(UNTAGGED)
        assert [(await anext(frames)).payload[0] for _ in range(2)] == [2, 3]
        assert channel.counters.dropped_bytes == 4
        await frames.aclose()  # type: ignore[attr-defined]


async def test_early_words_that_are_old_are_not_told_as_if_said_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "EARLY_S", -1.0)
    async with early(b"\x01say") as channel:
        frames = channel.frames(UNTAGGED)
        reading = asyncio.ensure_future(anext(frames))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await channel.send(b"more")
        await reading
        assert channel.counters.dropped_bytes == 4
        await frames.aclose()  # type: ignore[attr-defined]


async def test_what_came_before_a_request_is_not_its_answer() -> None:
    async with early(b"\x01old") as channel:
        assert channel.counters.dropped_bytes == 0
        assert (
            await channel.exchange(b"ask!", UNTAGGED, key=1) == b"\x01old"
        )  # said again, to this one
        assert channel.counters.dropped_bytes == 4
        assert channel.counters.answers == 1


async def test_nobody_listens_and_the_reason_is_told() -> None:
    async with byte_server(echo) as server:
        port = server.port
    settings = ChannelSettings("c1", f"modbus+tcp://127.0.0.1:{port}", retry_first_s=0.01)
    channel = open_channel(system_env(), settings)
    channel.open()
    await channel.settled()
    assert channel.state is ChannelState.DOWN
    with pytest.raises(ChannelClosed) as closed:
        await channel.exchange(b"\x01abc", TAGGED, key=1)
    assert "refused" in str(closed.value).lower() or "connect" in str(closed.value).lower()
    await channel.close()
    assert channel.state is ChannelState.CLOSED


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("modbus+pigeon://10.0.0.1", "HG-3010"),
        ("modbus+tcp://", "HG-3011"),
        ("modbus+tcp://10.0.0.1:99999", "HG-3011"),
        ("modbus+tcp://[::1", "HG-3011"),
    ],
)
def test_a_url_that_is_none_is_a_config_error(url: str, code: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        open_channel(system_env(), ChannelSettings("c1", url))
    assert wrong.value.problems[0].code == code
