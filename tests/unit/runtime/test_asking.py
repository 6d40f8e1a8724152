"""Stations that are asked and written to over the call that they are on: once, one at a time, honestly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from test_listeners import Dialled, Disk

from headgate.channels.listening import ListeningPort
from headgate.errors import ChannelClosed, ChannelTimeout, DeviceRefused, HeadgateError
from headgate.messages import say
from headgate.model import Access, Point, Value
from headgate.runtime.listeners import Attendance
from headgate.runtime.streams import Talker
from headgate.sdk import (
    AttendingDriver,
    Channel,
    Delimited,
    Deliver,
    Device,
    Errand,
    Origin,
    Roll,
    Told,
)
from headgate.sdk.asking import Questions, arguments_of
from headgate.testing import FakeChannel
from headgate.testing.devices import make_device


class Gates(AttendingDriver):
    """Lines up: `station value`, `station =value` as answer. Lines down: `station value`, `station ?`."""

    name: ClassVar[str] = "gates"
    schemes: ClassVar[tuple[str, ...]] = ("gates+listen",)

    def __init__(self, answer_s: float = 20.0) -> None:
        self.answer_s = answer_s

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        async for frame in channel.frames(Delimited(b"\n", 64)):
            station, said = frame.payload.decode().split()
            device = roll.claim(station, channel)
            if device is None:
                return
            block = device.block(channel.now_us(), {"gate": int(said.removeprefix("="))})
            await deliver([block], Origin(station, "line", 0, None, frame.payload))
            if said.startswith("="):
                self.questions.heard(channel, device, "set", int(said[1:]))

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        data = f"{device.address} {raw!r}\n".encode()
        back: int = await self.questions.ask(
            channel, device, "set", data, fits=lambda said: said == raw, answer_s=self.answer_s
        )
        return back

    def errands(self, device: Device) -> Mapping[str, Errand]:
        return {"look": Errand("HG-3650", ("again?",))}

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        data = f"{device.address} ?\n".encode()
        said = await self.questions.ask(channel, device, "set", data)
        return [Told("gate", said, "cm")]


def device(number: int) -> Device:
    point = Point("gate", "u16", access=Access.READ_WRITE)
    return make_device([point], name=f"st-{number}", number=number, address=f"000{number}")


class Centre:
    """A port with stations 0001 and 0002."""

    def __init__(self, folder: Path, driver: Gates) -> None:
        self.driver = driver
        self.disk = Disk(folder)
        self.port = ListeningPort(self.disk.env, "centre", "gates+listen://127.0.0.1:0")
        talkers = [Talker(device(n), lambda block: block, None) for n in (1, 2)]
        self.stream = Attendance(
            self.disk.env, self.disk, self.port, driver, talkers, self.disk.origins, folder
        )

    async def dialled(self, *stations: str) -> Dialled:
        """A station that has said who it is, or several behind one concentrator."""
        station = await Dialled.to(self.port.number)
        for name in stations:
            station.writer.write(f"{name} 0\n".encode())
        while not set(stations) <= self.port.stations().keys():
            await asyncio.sleep(0.005)
        return station

    def write(self, number: int, raw: int) -> asyncio.Task[Value]:
        async def put(channel: Channel) -> Value:
            return await self.driver.write(channel, device(number), "gate", raw)

        return asyncio.create_task(self.stream.at(device(number), put))


@contextlib.asynccontextmanager
async def centre(folder: Path, answer_s: float = 20.0) -> AsyncIterator[Centre]:
    opened = Centre(folder, Gates(answer_s))
    try:
        async with asyncio.timeout(30):
            while opened.port.number is None:
                await asyncio.sleep(0.005)
            yield opened
    finally:
        await opened.stream.stop()
        opened.disk.close()


async def told(station: Dialled) -> str:
    line: bytes = await station.reader.readline()
    return line.decode().strip()


async def test_a_station_is_written_to_over_its_call_and_its_answer_is_what_reads_back(
    tmp_path: Path,
) -> None:
    async with centre(tmp_path) as c:
        station = await c.dialled("0001")
        writing = c.write(1, 120)
        assert await told(station) == "0001 120"
        station.writer.write(b"0001 7\n0001 =120\n")  # a report between question and answer is none
        assert await writing == 120
        await station.hang_up()


async def test_a_station_on_no_call_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with centre(tmp_path) as c:
        other = await c.dialled("0002")
        with pytest.raises(DeviceRefused) as refused:
            await c.write(1, 120)
        assert refused.value.code == "HG-3650"
        assert "nothing was sent" in say("HG-3650", "en", device="st-1")
        await other.hang_up()
        assert await other.reader.read() == b""  # nor anything to anybody else


async def test_one_question_at_a_time_is_put_to_a_station(tmp_path: Path) -> None:
    async with centre(tmp_path) as c:
        station, other = await c.dialled("0001"), await c.dialled("0002")
        first, second = c.write(1, 1), c.write(1, 2)
        apart = c.write(2, 9)
        assert await told(other) == "0002 9"  # another station waits for nobody
        other.writer.write(b"0002 =9\n")
        assert await apart == 9
        assert await told(station) == "0001 1"
        assert not second.done()
        station.writer.write(b"0001 =1\n")
        assert await told(station) == "0001 2"
        station.writer.write(b"0001 =2\n")
        assert (await first, await second) == (1, 2)
        await station.hang_up()
        await other.hang_up()


async def test_no_answer_says_that_it_may_have_been_done_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    async with centre(tmp_path, answer_s=0.05) as c:
        station = await c.dialled("0001")
        with pytest.raises(ChannelTimeout) as unknown:
            await c.write(1, 120)
        assert unknown.value.code == "HG-3651"
        c.driver.answer_s = 20.0
        later = c.write(1, 30)
        assert [await told(station), await told(station)] == ["0001 120", "0001 30"]
        station.writer.write(b"0001 =120\n")  # the late answer is nobody's
        station.writer.write(b"0001 =30\n")
        assert await later == 30
        await station.hang_up()


async def test_a_station_that_resets_after_it_was_told_leaves_it_unknown(tmp_path: Path) -> None:
    async with centre(tmp_path) as c:
        station = await c.dialled("0001")
        writing = c.write(1, 120)
        assert await told(station) == "0001 120"
        await station.hang_up()
        with pytest.raises(ChannelClosed) as unknown:
            await writing
        assert unknown.value.code == "HG-3652"
        back = await c.dialled("0001")
        again = c.write(1, 5)
        assert await told(back) == "0001 5"  # what was said before is not said again
        back.writer.write(b"0001 =5\n")
        assert await again == 5
        await back.hang_up()


async def test_stations_behind_one_concentrator_are_each_asked_for_themselves(
    tmp_path: Path,
) -> None:
    async with centre(tmp_path) as c:
        both = await c.dialled("0001", "0002")
        assert {each.station for each in c.stream.on_line()} == {"0001", "0002"}
        assert c.stream.off_line() == []
        first, second = c.write(1, 1), c.write(2, 2)
        assert {await told(both), await told(both)} == {"0001 1", "0002 2"}
        both.writer.write(b"0002 =2\n0001 =1\n")
        assert (await first, await second) == (1, 2)
        await both.hang_up()


async def test_an_errand_shows_the_answer_and_the_bytes_of_both_ways(tmp_path: Path) -> None:
    async with centre(tmp_path) as c:
        station = await c.dialled("0001")
        asking = asyncio.create_task(c.stream.errand(device(1), "look", {}))
        assert await told(station) == "0001 ?"
        station.writer.write(b"0001 =55\n")
        answered = await asking
        assert answered.told == (Told("gate", 55, "cm"),)
        assert [(f.direction, bytes.fromhex(f.hex)) for f in answered.frames] == [
            ("sent", b"0001 ?\n"), ("received", b"0001 =55\n"),
        ]  # fmt: skip
        with pytest.raises(KeyError):
            await c.stream.errand(device(1), "dance", {})
        await station.hang_up()


async def test_a_call_that_is_over_already_is_refused_and_not_unknown() -> None:
    class Gone(FakeChannel):
        async def send(self, data: bytes) -> None:
            raise ChannelClosed("over")

    questions: Questions[int] = Questions()
    with pytest.raises(HeadgateError) as refused:
        await questions.ask(Gone(), device(1), "set", b"x")
    assert isinstance(refused.value, DeviceRefused)
    assert refused.value.code == "HG-3650"


@pytest.mark.parametrize(
    ("wanted", "words", "said"),
    [
        ((), [], {}),
        ((), ["a"], None),
        (("from", "to"), ["a"], None),
        (("from", "step?"), ["a"], {"from": "a"}),
        (("from", "step?"), ["a", "b"], {"from": "a", "step": "b"}),
        (("codes...",), [], None),
        (("codes...",), ["a", "b"], {"codes": "a b"}),
        (("codes...?",), [], {}),
    ],
)
def test_arguments_are_by_the_errands_names(
    wanted: tuple[str, ...], words: list[str], said: dict[str, str] | None
) -> None:
    assert arguments_of(Errand("HG-3650", wanted), words) == said


async def test_a_question_given_up_in_the_moment_its_call_ends_leaves_nothing_behind() -> None:
    questions: Questions[bytes] = Questions()
    line, device = FakeChannel(), make_device()
    asking = asyncio.create_task(questions.ask(line, device, 1, b"?"))
    while not line.sent:
        await asyncio.sleep(0)
    asking.cancel()
    questions.over(line)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not questions._owed and not questions._open
