"""The farm read by strangers: pymodbus's client and mbpoll (libmodbus), against the truth it kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from headgate_simulators.faults import Fault
from headgate_simulators.pytest import FarmMaker, RunningFarm
from headgate_simulators.truth import TruthList
from headgate_simulators.water_gauge.farm import FarmPlan, WaterGaugeFarm
from headgate_simulators.water_gauge.gauge import HOLD_S

MODELS = ["radar-1", "radar-2", "probe", "rain"]
SIZES = {"gauge-001": 6, "gauge-002": 8, "gauge-003": 14, "gauge-004": 6}
INPUT = {"gauge-001", "gauge-004"}


@contextlib.asynccontextmanager
async def client_of(
    device: dict[str, Any], timeout: float = 3
) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient(device["host"], port=device["port"], timeout=timeout, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


async def ask(
    client: AsyncModbusTcpClient, device: dict[str, Any], address: int = 0, count: int = 0
) -> Any:
    """Read a device whole, or some of it, with the function of its manual."""
    inputs = device["id"] in INPUT
    read = client.read_input_registers if inputs else client.read_holding_registers
    return await read(address, count=count or SIZES[device["id"]], device_id=device["unit"])


def told(farm: RunningFarm, device: str) -> list[dict[str, Any]]:
    assert isinstance(farm.truth, TruthList)
    return farm.truth.looks(device)


def f32(high: int, low: int) -> float:
    value: float = struct.unpack(">f", struct.pack(">HH", high, low))[0]
    return value


def signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word


def as_the_manual_says(device: dict[str, Any], r: list[int]) -> dict[str, Any]:
    """Engineering values by the manual, written again here: the farm's own arithmetic is not asked."""
    params = device["params"]
    match device["id"]:
        case "gauge-001":
            distance = r[1] / 1000
            return {
                "distance": distance,
                "water_level": params["mounting_elevation_m"] - distance,
                "signal": signed(r[2]) / 10,
                "status": r[3],
                "sample": r[4],
                "temperature": signed(r[5]) / 10,
            }
        case "gauge-002":
            distance = f32(r[2], r[1])
            return {
                "distance": distance,
                "water_level": params["mounting_elevation_m"] - distance,
                "signal": signed(r[3]) / 10,
                "status": r[4],
                "sample": r[5] << 16 | r[6],
                "temperature": signed(r[7]) / 10,
            }
        case "gauge-003":
            pressure = f32(r[0], r[1])
            return {
                "pressure": pressure,
                "water_level": params["sensor_elevation_m"] + pressure * 0.10197,
                "temperature": signed(r[2]) / 100,
                "status": r[3],
                "sample": r[12] << 16 | r[13],
            }
        case _:
            return {
                "rain_total": (r[1] << 16 | r[0]) * params["mm_per_tip"],
                "rain_last_minute": r[2] * params["mm_per_tip"],
                "battery": r[3] / 1000,
                "status": r[4],
                "sample": r[5],
            }


@pytest.mark.parametrize("index", range(4), ids=MODELS)
async def test_each_model_reads_as_its_manual_says(water_gauge_farm: FarmMaker, index: int) -> None:
    farm = water_gauge_farm(count=4, seed=7, speed=600.0)
    device = farm.devices[index]
    async with client_of(device) as client:
        answers = [await ask(client, device) for _ in range(3)]
    kept = told(farm, device["id"])
    assert [look["sample"] for look in kept] == [1, 2, 3]
    for answer, look in zip(answers, kept, strict=True):
        assert look["values"] == pytest.approx(
            as_the_manual_says(device, answer.registers), abs=1e-9
        )


@pytest.mark.parametrize(
    ("index", "words"), [(0, (0, [0x0104])), (1, (0, [0x0201]))], ids=["radar-1", "radar-2"]
)
async def test_a_radar_tells_its_firmware_first(
    water_gauge_farm: FarmMaker, index: int, words: tuple[int, list[int]]
) -> None:
    device = water_gauge_farm(count=4).devices[index]
    async with client_of(device) as client:
        assert (await ask(client, device, words[0], 1)).registers == words[1]


@pytest.mark.peer("mbpoll")
@pytest.mark.parametrize("index", range(4), ids=MODELS)
async def test_mbpoll_reads_what_the_truth_says(water_gauge_farm: FarmMaker, index: int) -> None:
    farm = water_gauge_farm(count=4, seed=7)
    device = farm.devices[index]
    table = "3:hex" if device["id"] in INPUT else "4:hex"
    command = ["mbpoll", "-m", "tcp", "-0", "-1", "-q", "-t", table, "-r", "0"]
    command += ["-a", str(device["unit"]), "-c", str(SIZES[device["id"]])]
    command += ["-p", str(device["port"]), device["host"]]
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=20, check=True
    )
    words = [int(word, 16) for word in re.findall(r"^\[\d+\]:\s+0x([0-9A-F]{4})", ran.stdout, re.M)]
    (look,) = told(farm, device["id"])
    assert look["values"] == pytest.approx(as_the_manual_says(device, words), abs=1e-9)


async def test_several_units_share_one_connection_and_answer_for_themselves(
    water_gauge_farm: FarmMaker,
) -> None:
    farm = water_gauge_farm(count=5, per_connection=3)
    assert [device["unit"] for device in farm.devices] == [1, 2, 3, 1, 2]
    assert len({device["port"] for device in farm.devices}) == 2
    async with client_of(farm.devices[0]) as client:
        for device in farm.devices[:3]:
            answer = await ask(client, device)
            assert answer.dev_id == device["unit"]
            (look,) = told(farm, device["id"])
            assert look["values"] == pytest.approx(as_the_manual_says(device, answer.registers))


async def test_an_absent_unit_is_answered_by_the_line(water_gauge_farm: FarmMaker) -> None:
    device = water_gauge_farm(count=1).devices[0]
    async with client_of(device) as client:
        answer = await client.read_input_registers(0, count=6, device_id=9)
    assert answer.exception_code == 0x0B


async def test_only_an_answer_with_the_whole_counter_is_a_look(water_gauge_farm: FarmMaker) -> None:
    farm = water_gauge_farm(count=2)
    device = farm.device("gauge-002")
    async with client_of(device) as client:
        await ask(client, device, 0, 5)
        await ask(client, device, 0, 6)  # the counter's high word only
        assert (await ask(client, device, 5, 2)).registers == [0, 1]
    assert [look["sample"] for look in told(farm, device["id"])] == [1]


async def test_a_look_in_pieces_tells_of_one_instant(water_gauge_farm: FarmMaker) -> None:
    farm = water_gauge_farm(count=2, speed=3600.0)  # the water moves visibly within a millisecond
    device = farm.device("gauge-002")
    async with client_of(device) as client:
        while True:  # on a busy machine the pieces may come too far apart
            begun = time.monotonic()
            parts = ((0, 3), (3, 4), (7, 1))
            words = [(await ask(client, device, at, n)).registers for at, n in parts]
            if time.monotonic() - begun < HOLD_S:
                break
            await asyncio.sleep(HOLD_S)
    look = told(farm, device["id"])[-1]
    assert look["values"] == pytest.approx(
        as_the_manual_says(device, [*words[0], *words[1], *words[2]])
    )


@pytest.mark.parametrize(
    ("address", "count", "code"), [(0, 15, 2), (14, 1, 2), (65535, 1, 2), (3, 13, 2)]
)
async def test_registers_that_are_not_there_are_refused(
    water_gauge_farm: FarmMaker, address: int, count: int, code: int
) -> None:
    farm = water_gauge_farm(count=3)
    device = farm.device("gauge-003")
    async with client_of(device) as client:
        assert (await ask(client, device, address, count)).exception_code == code
        assert (await ask(client, device)).registers[12:] == [0, 1]  # a refusal is no sample


async def test_another_function_or_a_write_is_an_illegal_function(
    water_gauge_farm: FarmMaker,
) -> None:
    device = water_gauge_farm(count=1).devices[0]
    async with client_of(device) as client:
        assert (await client.read_holding_registers(0, count=1, device_id=1)).exception_code == 1
        assert (await client.write_register(1, 5, device_id=1)).exception_code == 1
        assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1


async def test_a_silent_gauge_answers_nothing_and_its_neighbour_is_not_disturbed(
    water_gauge_farm: FarmMaker,
) -> None:
    farm = water_gauge_farm(count=2, per_connection=2)
    first, second = farm.devices
    farm.fault("gauge-001", "silent")
    async with client_of(first, timeout=0.2) as client:
        with pytest.raises(ModbusIOException):
            await ask(client, first)
        assert (await ask(client, second)).registers[0] == 0x0201
        farm.fault("gauge-001", "silent", on=False)
        assert (await ask(client, first)).registers[4] == 1
    assert isinstance(farm.truth, TruthList)
    (kept,) = [line for line in farm.truth.lines if "fault" in line]
    assert (kept["device"], kept["fault"], kept["look"]) == ("gauge-001", "silent", True)


async def test_a_fault_with_an_exception_code_answers_that_code(
    water_gauge_farm: FarmMaker,
) -> None:
    farm = water_gauge_farm(count=1)
    farm.fault("gauge-001", "exception", 6)
    async with client_of(farm.devices[0]) as client:
        assert (await ask(client, farm.devices[0])).exception_code == 6
    assert isinstance(farm.truth, TruthList)
    assert farm.truth.lines[-1]["code"] == 6
    assert not told(farm, "gauge-001")


async def test_a_slow_unit_does_not_answer_under_its_neighbours_name(
    water_gauge_farm: FarmMaker,
) -> None:
    """Both requests are in flight at once on one connection; each answer carries its own transaction."""
    farm = water_gauge_farm(count=2, per_connection=2)
    farm.fault("gauge-001", "slow", 0.2)
    to_slow = bytes.fromhex("0001 0000 0006 01 04 0000 0001")
    to_quick = bytes.fromhex("0002 0000 0006 02 03 0000 0001")
    device = farm.devices[0]
    reader, writer = await asyncio.open_connection(device["host"], device["port"])
    writer.write(to_slow + to_quick[:7])  # and the second comes in two pieces
    await writer.drain()
    await asyncio.sleep(0)
    writer.write(to_quick[7:])
    first, second = await reader.readexactly(11), await reader.readexactly(11)
    writer.close()
    await writer.wait_closed()
    assert first == bytes.fromhex("0002 0000 0005 02 03 02 0201")
    assert second == bytes.fromhex("0001 0000 0005 01 04 02 0104")


async def test_a_late_look_says_how_late(water_gauge_farm: FarmMaker) -> None:
    farm = water_gauge_farm(count=1)
    farm.fault("gauge-001", "slow", 0.05)
    async with client_of(farm.devices[0]) as client:
        await ask(client, farm.devices[0])
    (look,) = told(farm, "gauge-001")
    assert look["late_s"] == 0.05


async def test_a_radar_without_echo_sends_its_sentinels(water_gauge_farm: FarmMaker) -> None:
    farm = water_gauge_farm(count=2)
    farm.fault("*", "no-echo")
    farm.fault("*", "sensor-fault")
    async with client_of(farm.devices[0]) as client:
        old = (await ask(client, farm.devices[0])).registers
    async with client_of(farm.devices[1]) as client:
        new = (await ask(client, farm.devices[1])).registers
    assert (old[1], old[3] & 2, old[5]) == (0xFFFF, 2, 0x8000)
    assert math.isnan(f32(new[2], new[1]))
    for device in ("gauge-001", "gauge-002"):
        (look,) = told(farm, device)
        values = look["values"]
        assert (values["distance"], values["water_level"], values["temperature"]) == (None,) * 3


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("0007 0000 0006 01 04 0000 0000", "0007 0000 0003 01 84 03"),
        ("0007 0000 0006 01 04 0000 007e", "0007 0000 0003 01 84 03"),
        ("0007 0000 0002 01 63", "0007 0000 0003 01 e3 01"),
    ],
    ids=["no registers", "too many registers", "unknown function"],
)
async def test_a_request_that_is_no_request_is_refused_and_the_next_one_served(
    water_gauge_farm: FarmMaker, frame: str, answer: str
) -> None:
    device = water_gauge_farm(count=1).devices[0]
    reader, writer = await asyncio.open_connection(device["host"], device["port"])
    writer.write(bytes.fromhex(frame) + bytes.fromhex("0008 0000 0006 01 04 0000 0001"))
    assert await reader.readexactly(9) == bytes.fromhex(answer)
    assert await reader.readexactly(11) == bytes.fromhex("0008 0000 0005 01 04 02 0104")
    writer.close()
    await writer.wait_closed()


def run_farm(*options: str, **kept: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "headgate_simulators", "water-gauge", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kept,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_by_hand_it_says_ready_obeys_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    truth, site, control = tmp_path / "truth.jsonl", tmp_path / "site.toml", tmp_path / "control"
    options = ["--count", "2", "--bind", "127.0.0.1:0", "--truth", str(truth)]
    options += ["--print-site", str(site), "--control", str(control)]
    with run_farm(*options) as farm:
        assert farm.stdout is not None
        ready = json.loads(await asyncio.to_thread(farm.stdout.readline))
        assert ready["ready"] is True
        device = ready["devices"][0]
        switch = [sys.executable, "-m", "headgate_simulators", "fault", device["id"], "exception"]
        switch += ["--value", "6", "--control", str(control)]
        async with client_of(device) as client:
            await ask(client, device)
            await asyncio.to_thread(subprocess.run, switch, check=True, timeout=20)
            assert (await ask(client, device)).exception_code == 6
            farm.send_signal(number)  # while a client is connected
            said, complaints = await asyncio.to_thread(farm.communicate, timeout=20)
    assert (farm.returncode, said, complaints) == (0, "", "")
    assert not control.exists()
    head, *lines = [json.loads(line) for line in truth.read_text("utf-8").splitlines()]
    assert (head["headgate_truth"], head["devices"]) == (1, ready["devices"])
    assert [line.get("sample", line.get("fault")) for line in lines] == [1, "exception"]
    assert f'url = "modbus+tcp://127.0.0.1:{device["port"]}"' in site.read_text("utf-8")


async def test_a_second_farm_on_the_same_port_says_so_and_leaves_the_truth_alone(
    tmp_path: Path,
) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text("the first farm's truth\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with run_farm("--count", "1", "--bind", bind, "--truth", str(truth)) as farm:
            said, complaint = await asyncio.to_thread(farm.communicate, timeout=20)
    assert (farm.returncode, said) == (2, "")
    assert bind.rpartition(":")[2] in complaint
    assert "Traceback" not in complaint
    assert truth.read_text() == "the first farm's truth\n"


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fault", "gauge-009:silent", "not in this farm"),
        ("--fault", "gauge-001:drowned", "there are:"),
        ("--bind", "127.0.0.1:high", "ADDR[:PORT]"),
        ("--storm", "wet", "PEAK[:DURATION][@START]"),
        ("--per-connection", "0", "1 to 247"),
    ],
)
async def test_a_mistake_is_one_sentence(option: str, value: str, said: str) -> None:
    with run_farm("--bind", "127.0.0.1:0", "--count", "2", option, value) as farm:
        printed, complaint = await asyncio.to_thread(farm.communicate, timeout=20)
    assert (farm.returncode, printed, complaint.count("\n")) == (2, "", 1)
    assert said in complaint


async def test_without_its_library_it_names_the_extra() -> None:
    script = "import sys; sys.modules['pymodbus'] = None\n"
    script += "from headgate_simulators.cli import app; app(['water-gauge'])"
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, timeout=20
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "the simulated gauges need pymodbus: pip install 'headgate[sim]'"
    ]


async def test_a_planned_fault_comes_and_goes_on_time() -> None:
    """Planned faults are read against the farm's clock, here a clock that the test turns."""
    clock = [1_790_000_000.0]
    truth = TruthList()
    plan = FarmPlan(count=1, faults=[Fault.parse("gauge-001:exception=6@10-20")])
    async with WaterGaugeFarm(plan, truth, now=lambda: clock[0]) as farm:
        device = farm.description[0]
        async with client_of(device) as client:
            codes = []
            for at in (9.9, 10.0, 19.9, 20.0):
                clock[0] = farm.started + at
                codes.append((await ask(client, device)).exception_code)
    assert codes == [0, 6, 6, 0]
    assert [line["t"] - farm.started for line in truth.looks()] == pytest.approx([9.9, 20.0])


async def test_two_farms_of_one_seed_and_start_answer_alike() -> None:
    async def asked_thrice(seed: int) -> list[list[int]]:
        clock = [1_790_000_000.0]
        words: list[list[int]] = []
        plan = FarmPlan(count=4, seed=seed, per_connection=4, speed=600)
        async with (
            WaterGaugeFarm(plan, TruthList(), now=lambda: clock[0]) as farm,
            client_of(farm.description[0]) as client,
        ):
            for _ in range(3):
                clock[0] += 7.5
                answers = [await ask(client, device) for device in farm.description]
                words += [answer.registers for answer in answers]
        return words

    assert await asked_thrice(7) == await asked_thrice(7)
    assert await asked_thrice(7) != await asked_thrice(8)


async def test_stopping_does_not_wait_for_a_slow_gauge_and_keeps_that_it_was_asked() -> None:
    truth = TruthList()
    plan = FarmPlan(count=2, per_connection=2, faults=[Fault.parse("gauge-001:slow=3600")])
    async with WaterGaugeFarm(plan, truth) as farm:
        at = farm.description[0]
        reader, writer = await asyncio.open_connection(at["host"], at["port"])
        slow, quick = "0001 0000 0006 01 04 0000 0006", "0002 0000 0006 02 03 0000 0001"
        writer.write(bytes.fromhex(slow + quick))
        await reader.readexactly(11)  # the quick one: so the slow one has been heard
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()
    (kept,) = truth.lines[1:]
    assert (kept["fault"], kept["look"], kept["late_s"]) == ("slow", True, 3600)
