"""The serial drivers over real lines: pseudo-terminals and raw TCP, with what goes wrong on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.channels import ChannelSettings, ChannelState, ManagedChannel, open_channel
from headgate.columns import readings
from headgate.env import system_env
from headgate.errors import ChannelClosed, ChannelTimeout, ProtocolError, SpoolError
from headgate.model import Alarm, Event, Gap, GapReason, Plan
from headgate.runtime.streams import Stream, Talker
from headgate.sdk import Block, Device, DevicePoint, Point, PollingDriver, StreamingDriver
from headgate.testing.devices import make_device
from headgate_drivers.manhole import ManholeDriver
from headgate_drivers.serial import PolledSerialDriver, SerialDriver
from headgate_simulators.manhole_street import frames
from headgate_simulators.ports import Port, PtyPort, TcpPort

LINES = ["pty", "tcp"]


@asynccontextmanager
async def line(kind: str, folder: Path) -> AsyncIterator[tuple[ManagedChannel, Port]]:
    """An open channel and the far end of its line."""
    port: Port = PtyPort(folder / "port") if kind == "pty" else TcpPort("127.0.0.1")
    await port.plug()
    settings = ChannelSettings(
        "c", port.url, timeout_s=0.3, retry_first_s=0.01, retry_cap_s=0.02, quiet_s=0.01
    )
    channel = open_channel(system_env(), settings)
    channel.open()
    await channel.settled()
    assert channel.state is ChannelState.UP
    try:
        yield channel, port
    finally:
        await channel.close()
        await port.pull()


async def taken(port: Port) -> None:
    while not port.taken:
        await asyncio.sleep(0.01)


def probe(address: int = 1) -> Device:
    frame: dict[str, str | int] = {
        "request": "#{address:02d}R\r", "start": "#", "end": "\r\n", "separator": " ",
        "address_at": 1, "address_size": 2, "address_encoding": "ascii",
        "check": "crc16-modbus", "check_encoding": "hex", "check_mark": "*",
    }  # fmt: skip
    return make_device(
        [DevicePoint(Point("distance", "f64"), {"type": "float64", "prefix": "D="})],
        address=address,
        quirks={f"frame.{key}": value for key, value in frame.items()},
    )


def value(block: Block, device: Device) -> object:
    return next(iter(readings(block, device.table))).value


async def look(channel: ManagedChannel, device: Device, retries: int = 0) -> Block:
    import msgspec

    driver: PollingDriver = PolledSerialDriver()
    device = msgspec.structs.replace(device, retries=retries, timeout_s=0.3)
    return await driver.read(channel, device, driver.plan(device))


@pytest.mark.parametrize("kind", LINES)
async def test_an_asked_probe_answers(kind: str, tmp_path: Path) -> None:
    async with line(kind, tmp_path) as (channel, port):
        asked: list[bytes] = []

        def heard(data: bytes) -> None:
            asked.append(data)
            port.say(b"\x00\xff" + frames.probe_answer(1, 1204, 185, 7))

        port.heard = heard
        await taken(port)
        assert value(await look(channel, probe()), probe()) == 1.204
        assert b"".join(asked) == b"#01R\r"


@pytest.mark.parametrize("kind", LINES)
async def test_another_unit_s_answer_is_not_taken(kind: str, tmp_path: Path) -> None:
    async with line(kind, tmp_path) as (channel, port):
        port.heard = lambda data: port.say(frames.probe_answer(2, 9999, 185, 7))
        await taken(port)
        with pytest.raises(ChannelTimeout):
            await look(channel, probe())
        port.heard = lambda data: port.say(
            frames.probe_answer(2, 9999, 185, 7) + frames.probe_answer(1, 1204, 185, 7)
        )
        assert value(await look(channel, probe()), probe()) == 1.204


async def test_a_damaged_answer_is_asked_for_again_and_then_told_as_damaged(tmp_path: Path) -> None:
    async with line("tcp", tmp_path) as (channel, port):
        answers = [frames.probe_answer(1, 1204, 185, 7).replace(b"1.204", b"1.205"), b""]
        answers[1] = frames.probe_answer(1, 1204, 185, 8)
        port.heard = lambda data: port.say(answers.pop(0))
        await taken(port)
        assert value(await look(channel, probe(), retries=1), probe()) == 1.204
        answers += [frames.probe_answer(1, 1204, 185, 7).replace(b"1.204", b"1.205")]
        with pytest.raises(ProtocolError) as wrong:
            await look(channel, probe())
        assert wrong.value.code == "HG-3402"


async def test_a_silent_probe_is_silent(tmp_path: Path) -> None:
    async with line("tcp", tmp_path) as (channel, port):
        await taken(port)
        with pytest.raises(ChannelTimeout):
            await look(channel, probe())


# ---------------------------------------------------------------- what talks


class Kept:
    """A sink that keeps everything; `full` refuses blocks."""

    def __init__(self) -> None:
        self.all: list[object] = []
        self.news = asyncio.Event()
        self.full = False
        self.emptied = asyncio.Event()
        self.broken = False
        self.waited = 0
        self.kept = asyncio.Event()
        self.kept.set()

    def put(self, block: Block, device: Device) -> bool:
        if not self.full:
            self._keep(block)
        return not self.full

    def put_item(self, item: Gap | Event | Plan | Alarm) -> None:
        self._keep(item)

    async def durable(self) -> None:
        self.waited += 1
        if self.broken:
            raise SpoolError("the disk is full")
        await self.kept.wait()

    async def room(self) -> None:
        await self.emptied.wait()

    def _keep(self, item: object) -> None:
        self.all.append(item)
        self.news.set()

    async def until(self, kind: type, count: int) -> list[object]:
        while len(found := [item for item in self.all if isinstance(item, kind)]) < count:
            self.news.clear()
            await self.news.wait()
        return found


def cover(interval_us: int | None = 60_000_000) -> Device:
    points = [
        DevicePoint(Point("cover_open", "bool"), {"item": "cover_open"}),
        DevicePoint(Point("sample", "u32"), {"item": "sample"}),
    ]
    return make_device(points, address="00000011", interval_us=interval_us)


def word(flags: int, sample: int, kind: int = 1) -> bytes:
    state = frames.CoverState(flags, 7, 300, 3600, 185, sample)
    return frames.cover_word(0x11, sample & 0xFF, kind, state, -80)


@asynccontextmanager
async def stream(
    channel: ManagedChannel, driver: StreamingDriver, device: Device
) -> AsyncIterator[Kept]:
    kept = Kept()
    talker = Talker(device, lambda block: block, None)
    running = Stream(system_env(), kept, channel, driver, [talker])
    channel.on_state = running.line_changed
    try:
        yield kept
    finally:
        channel.on_state = None
        await running.stop()


@pytest.mark.parametrize("kind", LINES)
async def test_an_alarm_does_not_wait_for_room_behind_blocks(kind: str, tmp_path: Path) -> None:
    async with (
        line(kind, tmp_path) as (channel, port),
        stream(channel, ManholeDriver(), cover()) as kept,
    ):
        await taken(port)
        port.say(word(0, 1))
        await kept.until(Block, 1)
        kept.full = True
        port.say(word(1, 2, frames.ALARM))
        alarms = await kept.until(Alarm, 4)
        last = alarms[-1]
        assert isinstance(last, Alarm)
        assert (last.code, last.active) == ("cover-open", True)
        assert len([item for item in kept.all if isinstance(item, Block)]) == 1
        kept.full = False
        kept.emptied.set()
        await kept.until(Block, 2)


async def test_the_concentrator_is_answered(tmp_path: Path) -> None:
    async with line("pty", tmp_path) as (channel, port):
        said: asyncio.Queue[bytes] = asyncio.Queue()
        port.heard = said.put_nowait
        async with stream(channel, ManholeDriver(), cover()) as kept:
            await taken(port)
            port.say(word(1, 5, frames.ALARM))
            await kept.until(Alarm, 3)
            buffer = bytearray()
            while not (found := frames.acknowledged(buffer)):
                buffer += await said.get()
            assert found == [(0x11, 5)]


async def test_nothing_is_acknowledged_before_it_is_on_disk(tmp_path: Path) -> None:
    async with (
        line("tcp", tmp_path) as (channel, port),
        stream(channel, ManholeDriver(), cover()) as kept,
    ):
        said: asyncio.Queue[bytes] = asyncio.Queue()
        port.heard = said.put_nowait
        await taken(port)
        kept.kept.clear()
        port.say(word(1, 5, frames.ALARM))
        await kept.until(Alarm, 1)
        assert not [item for item in kept.all if isinstance(item, Block)]
        assert said.empty()
        kept.kept.set()
        assert frames.acknowledged(bytearray(await said.get())) == [(0x11, 5)]
        assert kept.waited == 3


async def test_what_the_disk_refused_is_taken_again_when_it_is_repeated(tmp_path: Path) -> None:
    async with (
        line("tcp", tmp_path) as (channel, port),
        stream(channel, ManholeDriver(), cover()) as kept,
    ):
        said: asyncio.Queue[bytes] = asyncio.Queue()
        port.heard = said.put_nowait
        await taken(port)
        kept.broken = True
        port.say(word(1, 5, frames.ALARM))
        await kept.until(Alarm, 1)
        while kept.waited < 1:
            await asyncio.sleep(0)
        kept.broken = False
        while said.empty():  # as the concentrator does
            port.say(word(1, 5, frames.ALARM))
            await asyncio.sleep(0.05)
        alarms = await kept.until(Alarm, 4)
        assert [(a.code, a.active) for a in alarms if isinstance(a, Alarm)][-3:] == [
            ("cover-open", True),
            ("water-high", False),
            ("battery-low", False),
        ]


@pytest.mark.parametrize("kind", LINES)
async def test_a_plug_that_comes_back_is_listened_to_at_once(kind: str, tmp_path: Path) -> None:
    async with (
        line(kind, tmp_path) as (channel, port),
        stream(channel, ManholeDriver(), cover()) as kept,
    ):
        await taken(port)
        port.say(word(0, 1))
        await kept.until(Block, 1)
        await port.pull()
        await port.plug()
        await taken(port)
        port.say(word(0, 2))
        await kept.until(Block, 2)
    told = [item.kind for item in kept.all if isinstance(item, Event)]
    assert told == ["line-up", "line-down", "line-up"]


async def test_half_a_word_before_the_plug_was_pulled_does_not_spoil_the_first_after_it(
    tmp_path: Path,
) -> None:
    async with (
        line("pty", tmp_path) as (channel, port),
        stream(channel, ManholeDriver(), cover()) as kept,
    ):
        await taken(port)
        port.say(word(0, 1) + word(0, 2)[:10])
        await kept.until(Block, 1)
        await port.pull()
        await port.plug()
        await taken(port)
        port.say(word(0, 3))
        await kept.until(Block, 2)


async def test_a_sleeping_cover_is_not_dead_until_its_heartbeat_is_overdue(tmp_path: Path) -> None:
    async with line("tcp", tmp_path) as (channel, port):
        async with stream(channel, ManholeDriver(), cover(interval_us=100_000)) as kept:
            await taken(port)
            (silent,) = await kept.until(Block, 1)
            assert isinstance(silent, Block)
            assert silent.columns is None
            port.say(word(0, 2))
            (gap,) = await kept.until(Gap, 1)
            assert isinstance(gap, Gap)
            assert gap.reason is GapReason.DEVICE_SILENT
        async with stream(channel, ManholeDriver(), cover()) as kept:  # its heartbeat is a minute
            port.say(word(0, 3))
            assert len(await kept.until(Block, 1)) == 1
    assert not [item for item in kept.all if isinstance(item, Gap)]


async def test_two_kinds_of_sentences_on_one_line_reach_their_devices(tmp_path: Path) -> None:
    frame = {"frame.dialect": "nmea0183"}
    point = DevicePoint(Point("speed", "f64"), {"type": "float64", "field": 3, "sentence": "MWV"})
    other = DevicePoint(Point("level", "f64"), {"type": "float64", "field": 0})
    devices = [
        make_device([point], name="stick", number=1, quirks=frame),
        make_device(
            [other],
            name="probe",
            number=2,
            quirks={"frame.start": "R", "frame.end": "\r\n", "frame.separator": ","},
        ),
    ]
    async with line("tcp", tmp_path) as (channel, port):
        said = SerialDriver().listen(channel, devices)
        waiting = asyncio.ensure_future(anext(said))
        await taken(port)
        port.say(frames.sentence("WIMWV,1,T,3.5,M,A") + b"R1.25\r\n")
        first, second = await waiting, await anext(said)
        assert isinstance(first, Block)
        assert isinstance(second, Block)
        assert (value(first, devices[0]), value(second, devices[1])) == (3.5, 1.25)
        await said.aclose()  # type: ignore[attr-defined]


async def test_a_line_that_is_not_there_says_so(tmp_path: Path) -> None:
    settings = ChannelSettings("c", f"serial://{tmp_path}/nothing")
    channel = open_channel(system_env(), settings)
    channel.open()
    await channel.settled()
    with pytest.raises(ChannelClosed):
        await anext(SerialDriver().listen(channel, []))
    await channel.close()
