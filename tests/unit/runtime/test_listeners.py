"""Stations that dial in, over real sockets: acknowledged when on disk, stored once, refused when strange."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from headgate.channels.listening import Limits, ListeningPort
from headgate.channels.places import counted_as
from headgate.crypto.provider import default_provider
from headgate.env import SystemFiles, system_env
from headgate.errors import SpoolError
from headgate.model import Alarm, Block, Event, Gap, Lane, Plan, Point
from headgate.runtime.batch import Committed
from headgate.runtime.health import DeviceState
from headgate.runtime.listeners import Attendance
from headgate.runtime.origins import Origins
from headgate.runtime.streams import Talker
from headgate.sdk import AttendingDriver, Channel, Delimited, Deliver, Device, Origin, Roll
from headgate.spool import ClearIndex, SealedRecord, Spool, State
from headgate.testing.devices import make_device

PROVIDER = default_provider()


class Lines(AttendingDriver):
    """A protocol of lines: `station serial value`, answered by `OK serial` or `NO serial`."""

    name: ClassVar[str] = "lines"
    schemes: ClassVar[tuple[str, ...]] = ("lines+listen", "lines+listen+udp")

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        async for frame in channel.frames(Delimited(b"\n", 64)):
            station, serial, value = frame.payload.decode().split()
            device = roll.claim(station, channel)
            if device is None:
                return
            roll.relay(station, frame.payload + b"\n", answered=True)
            block = device.block(channel.now_us(), {"value": int(value)})
            origin = Origin(station, "line", int(serial), None, frame.payload)
            try:
                await deliver([block], origin)
            except SpoolError:
                await channel.send(b"NO " + serial.encode() + b"\n")
            else:
                await channel.send(b"OK " + serial.encode() + b"\n")


class Disk:
    """A sink whose commits happen when the test says so; commits go into a real spool."""

    def __init__(self, folder: Path) -> None:
        self.env = system_env()
        self.state = State(self.env, folder / "state.db")
        self.spool = Spool(self.env, folder / "spool", ballast_bytes=0)
        self.state.open()
        self.spool.open(self.state.noted())
        self.origins = Origins(PROVIDER, self.state)
        self.origins.recall(self.env, folder / "spool")
        self.waiting: list[Block] = []
        self.items: list[Gap | Event | Plan | Alarm] = []
        self.n = 0
        self.committing = True
        self.refuses = False
        self.stored: list[Block] = []
        self.wanted = asyncio.Event()

    def put(self, block: Block, device: Device) -> bool:
        self.waiting.append(block)
        return True

    def put_item(self, item: Gap | Event | Plan | Alarm) -> None:
        self.items.append(item)

    async def room(self) -> None:
        return

    async def durable(self) -> None:
        self.wanted.set()
        while self.waiting and not self.committing:
            await asyncio.sleep(0.005)
        if self.refuses:
            raise SpoolError("no")
        self.commit()

    def commit(self) -> None:
        blocks, self.waiting = self.waiting, []
        if not blocks:
            return
        digests = tuple(b.origin.digest for b in blocks if b.origin is not None)
        index = ClearIndex(len(blocks), 1, 1, bytes(16), origins=digests)
        record = SealedRecord(b"epoch..1", self.n, b"key....1", Lane.LIVE, b"sealed", index)
        self.n += 1
        positions = self.spool.commit([record])
        self.stored += blocks
        self.origins.committed(Committed([record], positions))

    def close(self) -> None:
        self.spool.close()
        self.state.close()


def devices() -> list[Device]:
    return [
        make_device([Point("value", "u16")], name=f"st-{n}", number=n, address=f"000{n}")
        for n in (1, 2)
    ]


class Road:
    """A port with two stations of ours, 0001 and 0002."""

    def __init__(
        self, folder: Path, url: str, limits: Limits | None = None, second: int | None = None
    ) -> None:
        self.disk = Disk(folder)
        self.port = ListeningPort(self.disk.env, "centre", url, limits)
        if second is not None:
            self.port.options = {"relay": {"to": f"tcp://127.0.0.1:{second}"}}
        talkers = [Talker(device, lambda block: block, None) for device in devices()]
        self.stream = Attendance(
            self.disk.env, self.disk, self.port, Lines(), talkers, self.disk.origins, folder
        )

    async def up(self) -> int:
        while self.port.number is None:
            await asyncio.sleep(0.005)
        return self.port.number

    async def until(self, what: str, count: int = 1) -> None:
        while self.port.tally[what] < count:
            await asyncio.sleep(0.005)

    @property
    def alarms(self) -> list[Alarm]:
        return [item for item in self.disk.items if isinstance(item, Alarm)]

    async def close(self) -> None:
        await self.stream.stop()
        self.disk.close()


@contextlib.asynccontextmanager
async def road(
    folder: Path, url: str = "lines+listen://127.0.0.1:0", limits: Limits | None = None,
    second: int | None = None,
) -> AsyncIterator[Road]:  # fmt: skip
    opened = Road(folder, url, limits, second)
    try:
        async with asyncio.timeout(30):
            await opened.up()
            yield opened
    finally:
        await opened.close()


class Dialled:
    """A station's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(
        cls, port: int | None, host: str = "127.0.0.1", source: str | None = None
    ) -> Dialled:
        own = None if source is None else (source, 0)
        return cls(*await asyncio.open_connection(host, port, local_addr=own))

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\n")
        return (await self.reader.readline()).decode().strip()

    async def hang_up(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def values(disk: Disk) -> list[int]:
    return [int.from_bytes(b.columns[0], "big") for b in disk.stored if b.columns]  # type: ignore[arg-type]


async def test_it_is_acknowledged_when_it_is_on_disk_and_not_before(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        r.disk.committing = False
        station = await Dialled.to(r.port.number)
        answer = asyncio.create_task(station.say("0001 7 42"))
        await r.disk.wanted.wait()
        assert not answer.done()
        assert r.disk.stored == []
        r.disk.committing = True
        assert await answer == "OK 7"
        assert values(r.disk) == [42]
        assert [each.station for each in r.stream.on_line()] == ["0001"]
        await station.hang_up()


async def test_a_disk_that_refuses_is_not_acknowledged(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        r.disk.refuses = True
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 7 42") == "NO 7"
        r.disk.refuses = False
        assert await station.say("0001 7 42") == "OK 7"
        assert values(r.disk) == [42]
        await station.hang_up()


async def test_a_resend_is_acknowledged_and_stored_once(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        station = await Dialled.to(r.port.number)
        for _ in range(3):
            assert await station.say("0001 7 42") == "OK 7"
        assert await station.say("0001 8 42") == "OK 8"  # the same value is no resend
        assert values(r.disk) == [42, 42]
        assert r.stream.resends == 2
        await station.hang_up()


async def test_a_resend_on_another_call_while_the_first_is_on_its_way_is_stored_once(
    tmp_path: Path,
) -> None:
    async with road(tmp_path) as r:
        r.disk.committing = False
        first, second = await Dialled.to(r.port.number), await Dialled.to(r.port.number)
        one = asyncio.create_task(first.say("0001 7 42"))
        await r.disk.wanted.wait()
        two = asyncio.create_task(second.say("0001 7 42"))
        while r.stream.resends == 0:
            await asyncio.sleep(0.005)
        r.disk.committing = True
        assert await two == "OK 7"
        await one
        assert values(r.disk) == [42]
        await first.hang_up()
        await second.hang_up()


@pytest.mark.parametrize("noted", [True, False], ids=["state written", "state lost"])
async def test_a_power_cut_between_disk_and_acknowledgement_stores_it_once(
    tmp_path: Path, noted: bool
) -> None:
    async with road(tmp_path) as r:
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 7 42") == "OK 7"
        await station.hang_up()
        if noted:
            r.disk.state.flush()
    if not noted:
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            SystemFiles().remove(tmp_path / name)
    async with road(tmp_path) as r:
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 7 42") == "OK 7"
        assert values(r.disk) == []
        assert r.stream.resends == 1
        await station.hang_up()


async def test_a_station_that_the_site_does_not_name_is_hung_up_on_and_counted(
    tmp_path: Path,
) -> None:
    async with road(tmp_path) as r:
        stranger = await Dialled.to(r.port.number)
        assert await stranger.say("9999 1 1") == ""
        assert [(s.station, s.times) for s in r.port.strangers] == [("9999", 1)]
        assert r.port.tally["refused-stranger"] == 1
        assert values(r.disk) == []
        await stranger.hang_up()


async def test_who_dials_again_before_the_old_call_is_dead_takes_it_over_without_an_alarm(
    tmp_path: Path,
) -> None:
    async with road(tmp_path) as r:
        old = await Dialled.to(r.port.number)
        assert await old.say("0001 1 1") == "OK 1"
        new = await Dialled.to(r.port.number)
        assert await new.say("0001 2 2") == "OK 2"
        assert await old.reader.read() == b""
        assert [each.station for each in r.stream.on_line()] == ["0001"]
        assert r.alarms == []
        await old.hang_up()
        await new.hang_up()


async def test_a_modem_that_got_another_address_is_no_second_source(tmp_path: Path) -> None:
    async with road(tmp_path, "lines+listen://*:0") as r:
        # Its old connections stay half open: nothing is heard over them any more.
        calls = [await Dialled.to(r.port.number, source=f"127.0.0.{n}") for n in (1, 2, 3, 1)]
        for serial, call in enumerate(calls, 1):
            assert await call.say(f"0001 {serial} {serial}") == f"OK {serial}"
            assert [each.peer for each in r.stream.on_line()] == [
                "{}:{}".format(*call.writer.get_extra_info("sockname"))
            ]
        assert r.alarms == []
        assert r.port.tally["two-sources"] == 0
        assert await calls[0].reader.read() == b""  # of those that are silent, one is kept open
        assert await calls[1].reader.read() == b""
        for call in calls:
            await call.hang_up()


async def test_what_was_under_way_when_a_station_dialled_anew_is_stored_and_no_alarm(
    tmp_path: Path,
) -> None:
    async with road(tmp_path, "lines+listen://*:0") as r:
        old = await Dialled.to(r.port.number)
        assert await old.say("0001 1 1") == "OK 1"
        new = await Dialled.to(r.port.number, source="127.0.0.2")
        assert await new.say("0001 3 3") == "OK 3"
        assert await old.say("0001 2 2") == "OK 2"
        assert values(r.disk) == [1, 3, 2]
        assert r.alarms == []
        on = r.stream.on_line()
        assert [each.peer.partition(":")[0] for each in on] == [
            "127.0.0.2"
        ]  # asked over the new call
        for call in (old, new):
            await call.hang_up()


async def test_two_sources_of_one_station_are_an_alarm_and_the_newer_wins(
    tmp_path: Path, both_talk: None
) -> None:
    async with road(tmp_path, "lines+listen://*:0") as r:
        real = await Dialled.to(r.port.number)
        assert await real.say("0001 1 1") == "OK 1"
        other = await Dialled.to(r.port.number, source="127.0.0.2")
        assert await other.say("0001 2 2") == "OK 2"
        assert r.alarms == []  # it may be a modem that got another address
        assert await real.say("0001 3 3") == ""  # and is none: the older one still speaks
        await r.until("two-sources")
        assert [(a.device, a.code, a.active) for a in r.alarms] == [(1, "two-sources", True)]
        assert [each.partition(":")[0] for each in r.alarms[0].text.split()] == [
            "127.0.0.1", "127.0.0.2",
        ]  # fmt: skip
        assert await other.say("0001 4 4") == "OK 4"
        assert values(r.disk) == [1, 2, 4]
        again = await Dialled.to(r.port.number)  # it dials again, and is the newer one now
        assert await again.say("0001 5 5") == "OK 5"
        assert await other.say("0001 6 6") == ""
        assert r.port.tally["two-sources"] == 2
        for each in (real, other, again):
            await each.hang_up()


async def test_a_second_source_is_noticed_also_when_it_has_hung_up_already(
    tmp_path: Path, both_talk: None
) -> None:
    async with road(tmp_path, "lines+listen://*:0") as r:
        real = await Dialled.to(r.port.number)
        assert await real.say("0001 1 1") == "OK 1"
        other = await Dialled.to(r.port.number, source="127.0.0.2")
        assert await other.say("0001 2 2") == "OK 2"
        await other.hang_up()
        while r.stream.on_line():
            await asyncio.sleep(0.005)
        assert await real.say("0001 3 3") == "OK 3"  # nobody else is there: it is believed
        assert [a.code for a in r.alarms] == ["two-sources"]
        assert [each.station for each in r.stream.on_line()] == ["0001"]
        await real.hang_up()


@pytest.fixture
def both_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of an older call is under way any more: it speaks."""
    monkeypatch.setattr("headgate.sdk.stations.UNDER_WAY_US", 0)


async def test_a_caller_who_does_not_say_who_it_is_is_gone_soon(tmp_path: Path) -> None:
    async with road(tmp_path, limits=Limits(introduce_s=0.5)) as r:
        slow = await Dialled.to(r.port.number)
        named = await Dialled.to(r.port.number)
        assert await named.say("0001 1 1") == "OK 1"
        slow.writer.write(b"0")  # a byte now and then
        assert await slow.reader.read() == b""
        assert r.port.tally["refused-unnamed"] == 1
        assert await named.say("0001 2 2") == "OK 2"
        for each in (slow, named):
            await each.hang_up()


async def test_who_says_nothing_any_more_is_gone(tmp_path: Path) -> None:
    async with road(tmp_path, limits=Limits(idle_s=0.5)) as r:
        quiet = await Dialled.to(r.port.number)
        assert await quiet.say("0001 1 1") == "OK 1"
        assert await quiet.reader.read() == b""
        assert r.port.tally["idle"] == 1
        await quiet.hang_up()


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(calls=3), "strangers"),
        (Limits(strangers=3), "strangers"),
        (Limits(from_one=3), "strangers"),
        (Limits(burst=6, per_s=0.0), "flood"),
    ],
)
async def test_a_flood_of_callers_meets_a_bound(tmp_path: Path, limits: Limits, why: str) -> None:
    async with road(tmp_path, limits=limits) as r:
        callers = [await Dialled.to(r.port.number) for _ in range(8)]
        await r.until(f"refused-{why}", 5)
        assert len(r.port.calls) == 3
        for caller in callers:
            await caller.hang_up()


async def test_a_station_finds_a_place_however_many_strangers_are_there(tmp_path: Path) -> None:
    async with road(tmp_path, limits=Limits(strangers=3)) as r:
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        silent = [await Dialled.to(r.port.number) for _ in range(6)]
        await r.until("refused-strangers", 3)
        other = await Dialled.to(r.port.number)
        assert await other.say("0002 1 1") == "OK 1"
        assert await silent[0].reader.read() == b""  # who waited longest made room
        assert await station.say("0001 2 2") == "OK 2"
        for each in (station, other, *silent):
            await each.hang_up()


async def test_a_port_that_is_full_of_stations_takes_no_more(tmp_path: Path) -> None:
    async with road(tmp_path, limits=Limits(calls=2)) as r:
        here = [await Dialled.to(r.port.number) for _ in range(2)]
        for number, each in enumerate(here, 1):
            assert await each.say(f"000{number} 1 1") == "OK 1"
        late = await Dialled.to(r.port.number)
        assert await late.reader.read() == b""
        assert r.port.tally["refused-full"] == 1
        assert await here[0].say("0001 2 2") == "OK 2"
        for each in (*here, late):
            await each.hang_up()


async def test_who_floods_from_one_address_leaves_half_of_the_new_calls_to_all_others(
    tmp_path: Path,
) -> None:
    limits = Limits(burst=8, per_s=0.0)
    async with road(tmp_path, "lines+listen://*:0", limits) as r:
        flood = [await Dialled.to(r.port.number, source="127.0.0.2") for _ in range(9)]
        await r.until("refused-flood", 5)
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        for each in (station, *flood):
            await each.hang_up()


async def test_who_talks_and_says_no_name_is_hung_up_on(tmp_path: Path) -> None:
    async with road(tmp_path, limits=Limits(introduce_bytes=200)) as r:
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        babble = await Dialled.to(r.port.number)
        with contextlib.suppress(ConnectionError):
            while not babble.reader.at_eof():
                babble.writer.write(b"." * 64)
                await babble.writer.drain()
                await asyncio.sleep(0.001)
        assert r.port.tally["refused-unnamed"] == 1
        station.writer.write(b"0001 2 2\n" * 200)  # a station may
        assert [await station.reader.readline() for _ in range(200)] == [b"OK 2\n"] * 200
        for each in (station, babble):
            await each.hang_up()


async def test_a_station_that_never_stops_talking_is_slowed_down_and_loses_nothing(
    tmp_path: Path,
) -> None:
    limits = Limits(bytes_burst=1000, bytes_per_s=20_000)
    async with road(tmp_path, limits=limits) as r:
        loud = await Dialled.to(r.port.number)
        began = asyncio.get_running_loop().time()
        lines = [b"0001 %d 7\n" % serial for serial in range(500)]
        loud.writer.write(b"".join(lines))
        for serial in range(500):
            assert await loud.reader.readline() == b"OK %d\n" % serial
        loud.writer.write(b"0001 500 7\n" * 2)
        assert await loud.reader.readline() == b"OK 500\n"
        took_s = asyncio.get_running_loop().time() - began
        assert took_s > (sum(map(len, lines)) - 1000) / 20_000
        await loud.hang_up()


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("10.8.0.21", "10.8.0.21"),
        ("::ffff:10.8.0.21", "10.8.0.21"),
        ("2001:db8:1:2::1", counted_as("2001:db8:1:2:3:4:5:6")),
        ("fe80::1%eth0", counted_as("fe80::2")),
    ],
)
def test_one_line_is_one_address_however_it_is_written(host: str, same: str) -> None:
    assert counted_as(host) == same
    assert counted_as("2001:db8:1:3::1") != counted_as("2001:db8:1:2::1")


def test_made_up_numbers_fill_neither_log_nor_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def call() -> None:
        port = ListeningPort(system_env(), "centre", "lines+listen://127.0.0.1:0")
        peer = Dumb()
        for number in range(3000):
            for _ in range(2):
                port.stranger(f"{number:010d}", peer)
        assert port.tally["refused-stranger"] == 6000
        assert len(port.strangers) == 256
        assert len(port._words) <= 600

    asyncio.run(call())
    assert len(caplog.records) <= 64


class Dumb:
    """Whoever calls."""

    peer = "10.0.0.1:1"


async def test_a_call_that_breaks_its_driver_ends_alone(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        good, bad = await Dialled.to(r.port.number), await Dialled.to(r.port.number)
        assert await good.say("0001 1 1") == "OK 1"
        assert await bad.say("nonsense") == ""
        assert r.port.tally["broken-calls"] == 1
        assert await good.say("0001 2 2") == "OK 2"
        for each in (good, bad):
            await each.hang_up()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_both_families_reach_a_port_for_everybody(tmp_path: Path, host: str) -> None:
    async with road(tmp_path, "lines+listen://[::]:0") as r:
        station = await Dialled.to(r.port.number, host)
        assert await station.say("0001 1 5") == "OK 1"
        await station.hang_up()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.heard.put_nowait(data)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_are_calls_too(tmp_path: Path, host: str) -> None:
    async with road(tmp_path, "lines+listen+udp://[::]:0") as r:
        loop = asyncio.get_running_loop()
        transport, station = await loop.create_datagram_endpoint(
            Datagrams, remote_addr=(host, r.port.number)
        )
        for serial in (1, 2):
            transport.sendto(b"0002 %d 9\n" % serial)
            assert await station.heard.get() == b"OK %d\n" % serial
        assert values(r.disk) == [9, 9]
        assert r.port.tally["calls"] == 1
        transport.close()


async def test_what_a_stage_filters_is_acknowledged_all_the_same(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        for talker in r.stream.talkers.values():
            talker.step = lambda block: ()
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        assert await station.say("0001 1 1") == "OK 1"
        assert r.stream.resends == 1
        assert values(r.disk) == []
        assert r.stream.talkers[1].health.state is DeviceState.OK
        await station.hang_up()


# ------------------------------------------------------------ a second centre


async def test_a_second_centre_that_is_away_costs_no_confirmation_and_its_frames_are_on_disk_by_then(
    tmp_path: Path, port: int
) -> None:
    async with road(tmp_path, second=port) as r:
        station = await Dialled.to(r.port.number)
        for serial in range(3):
            assert await station.say(f"0001 {serial} 42") == f"OK {serial}"
            with contextlib.closing(sqlite3.connect(tmp_path / "relay" / "centre.db")) as db:
                (waiting,) = db.execute("SELECT count(*) FROM waiting").fetchone()
            assert waiting == serial + 1
        assert r.stream.health().tally["relay-waiting"] == 3
        await station.hang_up()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(b"!")
            heard.put_nowait(line)
        writer.close()

    server = await asyncio.start_server(second, "127.0.0.1", port)
    async with road(tmp_path, second=port) as r, asyncio.timeout(30):
        assert [await heard.get() for _ in range(3)] == [b"0001 %d 42\n" % n for n in range(3)]
        while r.stream.health().tally["relay-waiting"]:
            await asyncio.sleep(0.005)
    server.close()
    await server.wait_closed()


async def test_a_second_centre_that_is_not_wanted_any_more_is_told_what_it_never_got(
    tmp_path: Path, port: int
) -> None:
    async with road(tmp_path, second=port) as r:
        station = await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        assert await station.say("0001 2 2") == "OK 2"
        await station.hang_up()
    async with road(tmp_path) as r:
        told = [item for item in r.disk.items if isinstance(item, Event)]
        lost = [each.fields for each in told if each.kind == "relay-lost"]
        assert [(each["station"], each["frames"], each["over"]) for each in lost] == [
            ("0001", 1, False), ("0001", 2, True),
        ]  # fmt: skip
        assert [(a.code, a.active) for a in r.alarms] == [
            ("relay-lost", True), ("relay-lost", False),
        ]  # fmt: skip


async def test_a_port_that_is_taken_is_said_and_tried_again(tmp_path: Path) -> None:
    busy = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    number = busy.sockets[0].getsockname()[1]
    taken = Road(tmp_path, f"lines+listen://127.0.0.1:{number}")
    async with asyncio.timeout(30):
        while taken.stream.state != "down":
            await asyncio.sleep(0.005)
        assert "in use" in taken.stream.health().reason
        busy.close()
        await busy.wait_closed()
        await taken.up()
    await taken.close()


def test_names_of_deliveries_differ_by_station_function_serial_content_and_place(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    block = devices()[0].block(1, {"value": 1})
    base = Origin("0001", "32", 7, None, b"body")
    others = [
        base,
        msgspec.structs.replace(base, station="0002"),
        msgspec.structs.replace(base, function="33"),
        msgspec.structs.replace(base, serial=8),
        msgspec.structs.replace(base, digest=b"other"),
    ]
    named = [digest for each in others for _, digest in disk.origins.named([block, block], each)]
    assert len(set(named)) == 10
    assert disk.origins.named([block, block], base) == []
    disk.close()
    assert SystemFiles().size(tmp_path / "state.db") is not None


async def test_who_is_on_line_from_where_and_who_is_missing_can_be_asked(tmp_path: Path) -> None:
    async with road(tmp_path) as r:
        station, stranger = await Dialled.to(r.port.number), await Dialled.to(r.port.number)
        assert await station.say("0001 1 1") == "OK 1"
        assert await stranger.say("7777 1 1") == ""
        (on,) = r.stream.on_line()
        assert (on.channel, on.station, on.peer.rpartition(":")[0]) == (
            "centre",
            "0001",
            "127.0.0.1",
        )
        assert 0 <= on.heard_s <= on.since_s
        assert r.stream.off_line() == ["0002"]
        assert r.stream.health().strangers == ("7777",)
        for each in (station, stranger):
            await each.hang_up()


async def test_names_that_are_made_up_do_not_hide_the_station_that_was_just_put_up(
    tmp_path: Path,
) -> None:
    async with road(tmp_path) as r:
        lines = await Dialled.to(r.port.number)
        await r.until("calls")
        for number in range(400):
            r.port.stranger(f"made-up-{number}", r.port.calls[0])
        late = await Dialled.to(r.port.number)
        assert await late.say("7777 1 1") == ""
        await late.hang_up()
        assert r.port.strangers[0].station == "7777"
        assert len(r.port.strangers) <= 256
        await lines.hang_up()


async def test_an_alarm_of_two_sources_is_lowered_when_one_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, both_talk: None
) -> None:
    monkeypatch.setattr("headgate.runtime.listeners.CALM_S", 0.2)
    async with road(tmp_path, "lines+listen://*:0") as r:
        real = await Dialled.to(r.port.number)
        assert await real.say("0001 1 1") == "OK 1"
        other = await Dialled.to(r.port.number, source="127.0.0.2")
        assert await other.say("0001 2 2") == "OK 2"
        assert await real.say("0001 3 3") == ""
        while len(r.alarms) < 2:
            await asyncio.sleep(0.01)
        assert [each.active for each in r.alarms] == [True, False]
        for each in (real, other):
            await each.hang_up()


async def test_an_alarm_of_two_sources_does_not_outlive_the_port(
    tmp_path: Path, both_talk: None
) -> None:
    opened = Road(tmp_path, "lines+listen://*:0")
    async with asyncio.timeout(30):
        await opened.up()
        real = await Dialled.to(opened.port.number)
        assert await real.say("0001 1 1") == "OK 1"
        other = await Dialled.to(opened.port.number, source="127.0.0.2")
        assert await other.say("0001 2 2") == "OK 2"
        assert await real.say("0001 3 3") == ""
        await opened.until("two-sources")
    for each in (real, other):
        await each.hang_up()
    await opened.close()
    assert [each.active for each in opened.alarms] == [True, False]


async def test_what_lies_in_memory_only_is_not_acknowledged_however_often_it_is_sent(
    tmp_path: Path,
) -> None:
    disk = Disk(tmp_path)
    holding, gone = True, False
    position = disk.spool.commit([_record(disk, ())])[0]
    disk.origins = origins = Origins(
        PROVIDER, disk.state, lambda: holding,
        lambda at: None if gone else ClearIndex(1, 1, 1, bytes(16), origins=tuple(digests)),
    )  # fmt: skip
    (device, _) = devices()
    block, origin = device.block(1, {"value": 7}), Origin("0001", "line", 1, None, b"x")
    digests = [digest for _, digest in origins.named([block], origin)]
    record = _record(disk, tuple(digests))
    origins.committed(Committed([record], [position], SpoolError("full")))
    assert origins.named([block], origin) == []  # not sealed twice
    assert origins.held([block], origin)
    holding = False
    assert origins.named([block], origin) == []  # on disk now
    assert not origins.held([block], origin)
    # Another one is given up for room: it is taken anew when it comes again.
    holding, gone = True, True
    other = Origin("0001", "line", 2, None, b"y")
    digests = [digest for _, digest in origins.named([block], other)]
    origins.committed(Committed([_record(disk, tuple(digests))], [position], SpoolError("full")))
    holding = False
    assert len(origins.named([block], other)) == 1
    disk.close()


def _record(disk: Disk, origins: tuple[bytes, ...]) -> SealedRecord:
    index = ClearIndex(1, 1, 1, bytes(16), origins=origins)
    disk.n += 1
    return SealedRecord(b"epoch..1", disk.n, b"key....1", Lane.LIVE, b"sealed", index)
