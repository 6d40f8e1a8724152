"""The serial channel on a pseudo-terminal: exclusive, patient, drained, back after a replug."""

from __future__ import annotations

import asyncio
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ptybus import PtyPort, pty_port

from headgate.channels import ChannelSettings, ChannelState, ManagedChannel, open_channel
from headgate.env import system_env
from headgate.errors import ChannelClosed, ChannelError, ChannelTimeout, ConfigError
from headgate.sdk import Frame, LineSettings


class Fours:
    """Frames of four bytes without a key of their own."""

    unique_keys = False

    def next(self, buffer: bytearray) -> Frame | None:
        if len(buffer) < 4:
            return None
        payload = bytes(buffer[:4])
        del buffer[:4]
        return Frame(None, payload)


FOURS = Fours()


@asynccontextmanager
async def line(
    folder: Path, query: str = "baud=115200", **settings: Any
) -> AsyncIterator[tuple[ManagedChannel, PtyPort]]:
    with pty_port(folder) as port:
        given = {"retry_first_s": 0.01, "retry_cap_s": 0.02, **settings}
        url = f"modbus+rtu://{port.path}?{query}"
        channel = open_channel(system_env(), ChannelSettings("c1", url, **given))
        channel.open()
        await channel.settled()
        try:
            yield channel, port
        finally:
            await channel.close()


async def until(channel: ManagedChannel, state: ChannelState) -> None:
    reached = asyncio.Event()
    if channel.state is not state:
        channel.on_state = lambda new: reached.set() if new is state else None
        await reached.wait()
        channel.on_state = None


def answering(port: PtyPort, answer: Callable[[bytes], bytes | None]) -> None:
    def heard(data: bytes) -> None:
        said = answer(data)
        if said is not None:
            port.say(said)

    port.heard = heard


async def test_an_answer_reaches_who_asked(tmp_path: Path) -> None:
    async with line(tmp_path) as (channel, port):
        answering(port, lambda data: data[::-1])
        assert await channel.exchange(b"abcd", FOURS) == b"dcba"
        assert channel.depth == 1


async def test_the_port_is_ours_alone(tmp_path: Path) -> None:
    async with line(tmp_path) as (channel, port):
        url = f"modbus+rtu://{port.path}"
        other = open_channel(system_env(), ChannelSettings("c2", url))
        other.open()
        await other.settled()
        assert other.state is ChannelState.DOWN
        assert "another process" in other.reason
        await other.close()
        answering(port, lambda data: data)
        assert await channel.exchange(b"abcd", FOURS) == b"abcd"


async def test_a_late_answer_never_becomes_the_next_request_s_value(tmp_path: Path) -> None:
    async with line(tmp_path, timeout_s=0.05, quiet_s=0.02) as (channel, port):
        late: list[bytes] = []

        def heard(data: bytes) -> None:
            if data == b"old?":
                late.append(data)
                loop.call_later(0.08, port.say, b"OLD!")
            else:
                port.say(b"NEW!")

        loop = asyncio.get_running_loop()
        port.heard = heard
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"old?", FOURS)
        assert await channel.exchange(b"new?", FOURS, timeout_s=2) == b"NEW!"
        assert late
        assert channel.counters.dropped_bytes == 4


async def test_the_silent_one_pays_for_the_silence_that_must_follow(tmp_path: Path) -> None:
    async with line(tmp_path, timeout_s=0.1, quiet_s=0.02) as (channel, port):
        loop = asyncio.get_running_loop()
        port.heard = lambda data: loop.call_later(0.13, port.say, b"OLD!")  # type: ignore[assignment]
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"old?", FOURS)
        # The late answer has come and gone before anybody else's turn.
        assert channel.counters.dropped_bytes == 4


async def test_a_cancelled_request_is_drained_like_one_that_timed_out(tmp_path: Path) -> None:
    async with line(tmp_path, timeout_s=0.2, quiet_s=0.02) as (channel, port):
        asked = asyncio.Event()
        port.heard = lambda data: asked.set()
        task = asyncio.ensure_future(channel.exchange(b"old?", FOURS))
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        # Slower than the late answer is: who does not wait takes that one.
        port.heard = lambda data: loop.call_later(0.1, port.say, b"NEW!")  # type: ignore[assignment]
        loop.call_later(0.05, port.say, b"OLD!")
        assert await channel.exchange(b"new?", FOURS) == b"NEW!"


async def test_an_answer_that_has_begun_is_waited_for_to_its_end(tmp_path: Path) -> None:
    # At 1200 baud the longest frame takes seconds; the timeout speaks of its beginning.
    async with line(tmp_path, "baud=1200", timeout_s=0.05) as (channel, port):
        loop = asyncio.get_running_loop()

        def heard(data: bytes) -> None:
            for at in range(4):
                loop.call_later(0.04 + at * 0.04, port.say, b"wxyz"[at : at + 1])

        port.heard = heard
        assert await channel.exchange(b"abcd", FOURS) == b"wxyz"


async def test_an_answer_that_stops_half_way_is_a_timeout(tmp_path: Path) -> None:
    async with line(tmp_path, timeout_s=0.03) as (channel, port):
        answering(port, lambda data: b"ab")
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"abcd", FOURS)


async def test_an_echo_is_taken_off(tmp_path: Path) -> None:
    async with line(tmp_path, "baud=115200&echo=1") as (channel, port):
        answering(port, lambda data: data + b"wxyz")
        assert await channel.exchange(b"abcd", FOURS) == b"wxyz"
    async with line(tmp_path) as (channel, port):  # the same adapter, not told
        answering(port, lambda data: data + b"wxyz")
        assert await channel.exchange(b"abcd", FOURS) == b"abcd"


async def test_an_echo_is_no_sign_of_life(tmp_path: Path) -> None:
    async with line(tmp_path, "baud=115200&echo=1", timeout_s=0.02) as (channel, port):
        answering(port, lambda data: data)
        with pytest.raises(ChannelTimeout):
            await channel.exchange(b"abcd", FOURS)
        assert channel.counters.bytes_received == 0


async def test_an_adapter_without_the_echo_it_was_said_to_have_still_answers(
    tmp_path: Path,
) -> None:
    async with line(tmp_path, "baud=115200&echo=1") as (channel, port):
        answering(port, lambda data: b"wxyz")
        assert await channel.exchange(b"abcd", FOURS) == b"wxyz"


async def test_line_settings_change_with_the_transaction(tmp_path: Path) -> None:
    async with line(tmp_path, "baud=9600") as (channel, port):
        speeds = []

        def answer(data: bytes) -> bytes:
            speeds.append(port.attributes[4])
            return data

        answering(port, answer)
        await channel.exchange(b"abcd", FOURS)
        await channel.exchange(b"abcd", FOURS, settings=LineSettings(baud=2400))
        await channel.exchange(b"abcd", FOURS)
        assert speeds == [termios.B9600, termios.B2400, termios.B9600]


@pytest.mark.parametrize("settings", ["baud=19200&bits=7&parity=E", "baud=9600&parity=O"])
async def test_a_pseudo_terminal_opens_again_whatever_it_is_said_to_be(
    tmp_path: Path, settings: str
) -> None:
    # It has neither parity nor 7 bits, and says so only when nothing else changes: the second time.
    with pty_port(tmp_path) as port:
        url = f"serial://{port.path}?{settings}"
        for _ in range(3):
            channel = open_channel(system_env(), ChannelSettings("bus", url))
            channel.open()
            try:
                await channel.settled()
                assert channel.state is ChannelState.UP, channel.reason
                answering(port, lambda data: data)
                assert await channel.exchange(b"abcd", FOURS) == b"abcd"
                again = LineSettings(baud=19200, parity="E")
                assert await channel.exchange(b"abcd", FOURS, settings=again) == b"abcd"
            finally:
                await channel.close()


async def test_two_who_ask_at_once_take_turns(tmp_path: Path) -> None:
    async with line(tmp_path) as (channel, port):
        answering(port, lambda data: data)
        asked = [b"aaaa", b"bbbb", b"cccc"]
        assert await asyncio.gather(*(channel.exchange(a, FOURS) for a in asked)) == asked


async def test_a_pulled_plug_is_seen_at_once_and_the_same_path_is_taken_again(
    tmp_path: Path,
) -> None:
    async with line(tmp_path) as (channel, port):
        asked = asyncio.Event()
        port.heard = lambda data: asked.set()
        waiting = asyncio.ensure_future(channel.exchange(b"abcd", FOURS, timeout_s=600))
        await asked.wait()
        port.pull()
        with pytest.raises(ChannelClosed):
            await waiting
        await until(channel, ChannelState.DOWN)
        port.plug()
        answering(port, lambda data: data)
        await until(channel, ChannelState.UP)
        assert await channel.exchange(b"abcd", FOURS) == b"abcd"
        assert channel.counters.connects == 2


async def test_a_port_that_is_not_there_is_down_and_says_so(tmp_path: Path) -> None:
    url = f"modbus+rtu://{tmp_path}/nothing"
    channel = open_channel(system_env(), ChannelSettings("c1", url))
    channel.open()
    await channel.settled()
    assert channel.state is ChannelState.DOWN
    assert "nothing" in channel.reason
    await channel.close()


async def test_what_is_no_serial_port_is_down_and_left_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    url = f"modbus+rtu://{tmp_path}/file"
    channel = open_channel(system_env(), ChannelSettings("c1", url))
    channel.open()
    await channel.settled()
    assert channel.state is ChannelState.DOWN
    await channel.close()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("modbus+rtu://dev/ttyS1", "no path"),
        ("modbus+rtu:///", "no path"),
        ("modbus+rtu:///dev/ttyS1?baud=fast", "baud=fast"),
        ("modbus+rtu:///dev/ttyS1?parity=X", "parity=X"),
        ("modbus+rtu:///dev/ttyS1?stop=3", "stop=3"),
        ("modbus+rtu:///dev/ttyS1?bits=9", "bits=9"),
    ],
)
def test_a_serial_url_that_is_none_says_why(url: str, reason: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        open_channel(system_env(), ChannelSettings("c1", url))
    assert reason in str(wrong.value.problems[0].fields["reason"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2400 8E1", "2400 8E1"),
        ("4800", "4800 8N1"),
        ("7o2", "9600 7O2"),
        ("19200 8n1.5", "19200 8N1.5"),
    ],
)
def test_line_settings_as_a_technician_writes_them(text: str, said: str) -> None:
    assert str(LineSettings().with_text(text)) == said


@pytest.mark.parametrize("text", ["", "8E", "fast", "9600 8X1", "1 8N1", "9600 8N1 x"])
def test_line_settings_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text itself is the message
        LineSettings().with_text(text)


async def test_settings_that_a_port_does_not_have_fail_one_look_and_the_next_sets_it_anew(
    tmp_path: Path,
) -> None:
    # As some adapters refuse a second stop bit: EINVAL, perhaps half done.
    async with line(tmp_path, "baud=9600") as (channel, port):
        answering(port, lambda data: data)
        await channel.exchange(b"abcd", FOURS)
        transport = channel._line.transport  # type: ignore[attr-defined]
        real, asked = transport.reconfigure_port, []

        async def refuses_stop_bits(**words: Any) -> None:
            asked.append(words["baudrate"])
            await real(baudrate=words["baudrate"])
            if words["stopbits"].name != "ONE":
                raise OSError(22, "Invalid argument")

        transport.reconfigure_port = refuses_stop_bits
        with pytest.raises(ChannelError) as refused:
            await channel.exchange(b"abcd", FOURS, settings=LineSettings(2400, 8, "N", 2.0))
        assert refused.value.code == "HG-3012"
        assert "2400 8N2" in str(refused.value)
        assert await channel.exchange(b"abcd", FOURS) == b"abcd"
        assert asked == [2400, 9600]
        assert port.attributes[4] == termios.B9600
