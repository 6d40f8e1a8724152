"""What a technician has done on a line through the living gateway: write, discover, trace, identify."""

from __future__ import annotations

import asyncio
import shutil
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "channels")]

from byteserver import ByteServer, Peer, byte_server  # noqa: E402

from headgate.app import Gateway  # noqa: E402
from headgate.cli import trace as trace_page  # noqa: E402
from headgate.cli.client import call  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.errors import HeadgateError  # noqa: E402

PROFILE = """\
schema = 1
vendor = "test"
model = "valve"
driver = "modbus"
source = "made up"

[[point]]
name = "position"
unit = "%"
register = 10
type = "uint16"
scale = 0.1
range = [0.0, 100.0]
access = "rw"

[[point]]
name = "pressure"
unit = "kPa"
register = 11
type = "uint16"
range = [0, 5000]
"""
TELLING = """\
schema = 1
vendor = "test"
model = "teller"
driver = "modbus"
source = "made up"
firmware_scheme = "dotted"
identify = { register = 0, format = "major.minor bytes" }

[[variant]]
name = "1.x"
firmware = { below = "2.0" }
when_unknown = true
[[variant.point]]
name = "level"
register = 20
type = "uint16"

[[variant]]
name = "2.x"
firmware = { from = "2.0" }
[[variant.point]]
name = "level"
register = 30
type = "uint16"
"""
SITE = """\
schema = 1
[gateway]
id = "hg-test"
[state]
folder = "state"
max_loss = "50ms"
ballast = "0B"
[metrics]
listen = "off"
[[channel]]
id = "bus"
url = "modbus+tcp://127.0.0.1:{port}"
timeout = "500ms"
"""
DEVICE = """\
[[device]]
id = "{id}"
channel = "bus"
address = {unit}
profile = "test/{model}"
interval = "{interval}"
"""


class Unit:
    """Units 1 to 3 with holding registers; what is not among them is refused."""

    def __init__(self) -> None:
        self.registers: dict[int, int] = {10: 500, 11: 200, 0: 0x0105, 20: 7, 30: 8}
        self.missing: set[int] = set()
        self.units = {1, 2, 3}
        self.deaf_to_writes = False
        self.writes: list[bytes] = []

    async def __call__(self, request: bytes, peer: Peer) -> None:
        transaction, unit, function, start, count = struct.unpack(
            ">H4xBBHH", request[:12].ljust(12, b"\0")
        )
        if unit not in self.units:
            return
        span = range(start, start + count)
        if function == 6:
            self.writes.append(request)
            if not self.deaf_to_writes:
                self.registers[start] = count
            body = request[6:12]
        elif function == 3 and all(r in self.registers and r not in self.missing for r in span):
            words = [self.registers[r] for r in span]
            body = bytes([unit, 3, 2 * count]) + struct.pack(f">{count}H", *words)
        else:
            body = bytes([unit, function | 0x80, 2 if function == 3 else 1])
        peer.say(struct.pack(">HHH", transaction, 0, len(body)) + body)


@asynccontextmanager
async def running(
    folder: Path, unit: Unit, *devices: dict[str, Any]
) -> AsyncIterator[tuple[Gateway, ByteServer]]:
    for model, text in (("valve", PROFILE), ("teller", TELLING)):
        (folder / "profiles" / "test" / model).mkdir(parents=True)
        (folder / "profiles" / "test" / model / "profile.toml").write_text(text)
    async with byte_server(unit, size=0) as server:
        told = "".join(DEVICE.format(**{"interval": "50ms", **d}) for d in devices)
        (folder / "site.toml").write_text(SITE.format(port=server.port) + told)
        gateway = Gateway(system_env(), folder / "site.toml", [folder / "profiles"])
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        ready = asyncio.create_task(gateway.ready.wait())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            task.result()
        try:
            yield gateway, server
        finally:
            stop.set()
            await task


async def ask(folder: Path, name: str, **arguments: Any) -> list[Any]:
    return await asyncio.to_thread(
        lambda: list(call(folder / "state" / "headgate.sock", name, **arguments))
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


VALVE = {"id": "v1", "unit": 1, "model": "valve"}


async def test_a_point_is_written_in_its_own_unit_and_read_back(tmp_path: Path) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE) as (gateway, _):
        asked = {"device": "v1", "point": "position", "value": "62.5"}
        [said] = await ask(tmp_path, "write", **asked)
        assert (said["raw"], said["written"]) == (625, False)
        assert unit.writes == []
        [done] = await ask(tmp_path, "write", **asked, confirmed=True)
        assert (done["back"], done["kept"]) == (625, True)
        assert unit.registers[10] == 625
        assert len(unit.writes) == 1
        assert [way for way, _ in done["frames"]] == ["sent", "received"] * 2
        del gateway


async def test_what_reads_back_otherwise_is_said(tmp_path: Path) -> None:
    unit = Unit()
    unit.deaf_to_writes = True
    async with running(tmp_path, unit, VALVE):
        asked = {"device": "v1", "point": "position", "value": 1.0, "confirmed": True}
        [done] = await ask(tmp_path, "write", **asked)
        assert (done["raw"], done["back"], done["kept"]) == (10, 500, False)


@pytest.mark.parametrize(
    ("point", "value", "code"),
    [
        ("pressure", 1, "HG-9140"),
        ("position", 100.1, "HG-9142"),
        ("position", "-0.1", "HG-9142"),
        ("position", "much", "HG-9141"),
        ("position", "nan", "HG-9141"),
        ("nothing", 1, "HG-9144"),
    ],
)
async def test_what_must_not_be_written_never_reaches_the_line(
    tmp_path: Path, point: str, value: Any, code: str
) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE):
        with pytest.raises(HeadgateError) as refused:
            await ask(tmp_path, "write", device="v1", point=point, value=value, confirmed=True)
        assert refused.value.code == code
        assert unit.writes == []


async def test_who_is_polled_is_no_station_and_is_not_said_to_be_missing(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE):
        for named, code in (("v1", "HG-3693"), ("v2", "HG-9120")):
            with pytest.raises(HeadgateError) as refused:
                await ask(tmp_path, "ask", device=named)
            assert refused.value.code == code


async def test_discovery_finds_who_answers_and_proposes_what_fits(tmp_path: Path) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE) as (gateway, _):
        before = gateway.status()["devices"][0]["good"]
        asked = {"channel": "bus", "units": "1-5", "timeout_s": 0.2}
        said = await ask(tmp_path, "discover", **asked, profiles=["test/valve", "test/teller"])
        found = {one["unit"]: one for one in said if "profiles" in one}
        assert sorted(found) == [1, 2, 3]
        assert [found[n]["device"] for n in (1, 2, 3)] == ["v1", "", ""]
        proposed = {p["profile"]: (p["good"], p["points"]) for p in found[2]["profiles"]}
        assert proposed == {"test/valve": (2, 2), "test/teller": (1, 1)}
        assert said[-1]["asked"] == said[-1]["total"] == 5
        # The device that was there was polled meanwhile.
        assert gateway.status()["devices"][0]["good"] > before


@pytest.mark.parametrize("units", ["0-300", "5-1", "x", "1-", ""])
async def test_addresses_that_are_none_are_refused(tmp_path: Path, units: str) -> None:
    async with running(tmp_path, Unit(), VALVE):
        if units:
            with pytest.raises(HeadgateError) as refused:
                await ask(tmp_path, "discover", channel="bus", units=units)
            assert refused.value.code == "HG-9148"
        with pytest.raises(HeadgateError) as refused:
            await ask(tmp_path, "discover", channel="buss", units="1")
        assert (refused.value.code, refused.value.fields["nearest"]) == ("HG-9147", "bus")


async def test_who_hangs_up_ends_a_discovery(tmp_path: Path) -> None:
    unit = Unit()
    async with running(tmp_path, unit, VALVE) as (gateway, server):

        def begin() -> None:
            said = call(
                tmp_path / "state" / "headgate.sock", "discover", channel="bus", units="100-247"
            )
            next(said)
            said.close()

        await asyncio.to_thread(begin)
        good = gateway.status()["devices"][0]["good"]
        await until(lambda: gateway.status()["devices"][0]["good"] > good + 5)
        asked = {request[6] for request in server.requests}
        assert len([n for n in asked if n >= 100]) < 5


def traced(folder: Path, frames: int) -> list[Any]:
    """What a trace tells until it has shown so many frames, however long a busy machine takes."""
    told = call(folder / "state" / "headgate.sock", "trace", channel="bus")
    said: list[Any] = []
    while sum("hex" in one for one in said) < frames:
        said.append(next(told))
    told.close()  # type: ignore[attr-defined]
    return said


async def test_a_trace_shows_what_goes_over_the_line_and_is_saved_in_turns(tmp_path: Path) -> None:
    async with running(tmp_path, Unit(), VALVE) as (gateway, _):
        said = await asyncio.to_thread(traced, tmp_path, 4)
        head, frames = said[0], [one for one in said if "hex" in one]
        assert head["channel"] == "bus"
        assert {one["way"] for one in frames} == {"sent", "received"}
        lines = [line for line in trace_page.saved(head, frames) if line[0] != "#"]
        assert [line[0] for line in lines[:2]] == [">", "<"]
        line = gateway._field.line("bus")
        await until(lambda: not line._taps)  # type: ignore[union-attr]
        said = await ask(tmp_path, "trace", channel="bus", seconds=0.05)
        assert said[0]["channel"] == "bus"  # and it ends by itself
        assert not line._taps  # type: ignore[union-attr]


def test_a_saved_trace_of_a_port_has_all_that_callers_said_and_who_it_was() -> None:
    head = {"channel": "c", "url": "sl651+listen://[::]:5651", "now_us": 0, "wall_us": 0}
    told = [
        {"way": way, "hex": hexed, "at_us": 1000, "who": who}
        for way, hexed, who in [
            ("received", "7e 01", "10.0.0.1:4"), ("received", "7e 02", "10.0.0.2:5 0060000002"),
            ("sent", "7e 03", "10.0.0.2:5 0060000002"), ("received", "7e 04", "10.0.0.1:4"),
        ]
    ]  # fmt: skip
    assert list(trace_page.saved(head, told))[2:] == [
        "< 7e 01  # 0.001 10.0.0.1:4",
        "< 7e 02  # 0.001 10.0.0.2:5 0060000002",
        "> 7e 03  # 0.001 10.0.0.2:5 0060000002",
        "< 7e 04  # 0.001 10.0.0.1:4",
    ]


def test_a_saved_trace_gives_each_request_its_own_answer() -> None:
    head = {"channel": "c", "url": "modbus+rtu:///dev/x?baud=9600", "now_us": 0, "wall_us": 0}

    def frame(way: str, hexed: str) -> dict[str, Any]:
        return {"way": way, "hex": hexed, "at_us": 1000}

    told = [
        frame("received", "ff"),  # noise before anything
        frame("sent", "01 03 00"), frame("sent", "01 03 01"), frame("received", "01 03"),
        frame("received", "02 aa"), frame("sent", "00 01 aa"), frame("sent", "00 02 aa"),
        frame("received", "00 02 bb"), frame("received", "00 01 cc"),
    ]  # fmt: skip
    lines = [line.partition("  #")[0] for line in trace_page.saved(head, told)][2:]
    assert lines == [
        "# < ff", "> 01 03 00", "> 01 03 01", "< 01 03 02 aa", "> 00 01 aa", "< 00 01 cc",
        "> 00 02 aa", "< 00 02 bb",
    ]  # fmt: skip


async def test_firmware_that_a_device_tells_gives_it_its_map(tmp_path: Path) -> None:
    unit = Unit()
    unit.registers[0] = 0x0203
    unit.missing = {20}  # firmware 2 has its level elsewhere: the map of firmware 1 is refused
    async with running(tmp_path, unit, {"id": "t1", "unit": 1, "model": "teller"}) as (gateway, _):
        field = gateway._field
        await until(lambda: field.devices["t1"].firmware == "2.3")
        assert field.devices["t1"].profile == "test/teller@2.x"
        await until(lambda: gateway.status()["devices"][0]["state"] == "ok")
        [looked] = await ask(tmp_path, "read", device="t1")
        assert [r["value"] for r in looked["readings"]] == [8]


async def test_a_firmware_upgrade_in_place_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headgate.runtime import identification

    monkeypatch.setattr(identification, "LEAST_S", 0.0)
    monkeypatch.setattr(identification, "FIRST_RETRY_S", 0.05)
    unit = Unit()
    async with running(tmp_path, unit, {"id": "t1", "unit": 1, "model": "teller"}) as (gateway, _):
        field = gateway._field
        await until(lambda: field.devices["t1"].firmware == "1.5")
        unit.registers[0], unit.missing = 0x0200, {20}
        await until(lambda: field.devices["t1"].firmware == "2.0")
        unit.registers[0], unit.missing = 0x0105, {30}
        await until(lambda: field.devices["t1"].firmware == "1.5")


async def test_a_device_that_is_well_is_asked_again_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headgate.runtime import identification

    monkeypatch.setattr(identification, "AGAIN_S", 0.05)
    unit = Unit()
    async with running(tmp_path, unit, {"id": "t1", "unit": 1, "model": "teller"}) as (gateway, _):
        field = gateway._field
        await until(lambda: field.devices["t1"].firmware == "1.5")
        unit.registers[0] = 0x0106  # same map, and no look fails
        await until(lambda: field.devices["t1"].firmware == "1.6")


async def test_what_was_learned_is_known_after_a_restart_until_the_unit_is_another(
    tmp_path: Path,
) -> None:
    unit = Unit()
    teller = {"id": "t1", "unit": 1, "model": "teller"}
    unit.registers[0] = 0x0203
    (tmp_path / "a").mkdir()
    async with running(tmp_path / "a", unit, teller) as (gateway, _):
        await until(lambda: gateway._field.devices["t1"].firmware == "2.3")
    unit.units = set()  # now nobody can be asked
    shutil.rmtree(tmp_path / "a" / "profiles")
    async with running(tmp_path / "a", unit, teller) as (gateway, _):
        assert gateway._field.devices["t1"].profile == "test/teller@2.x"
    shutil.rmtree(tmp_path / "a" / "profiles")
    async with running(tmp_path / "a", unit, {**teller, "unit": 2}) as (gateway, _):
        assert gateway._field.devices["t1"].profile == "test/teller@1.x"
    shutil.rmtree(tmp_path / "a" / "profiles")
    (tmp_path / "a" / "state" / "identities.json").write_text("{broken")
    async with running(tmp_path / "a", unit, teller) as (gateway, _):
        assert gateway._field.devices["t1"].firmware is None
