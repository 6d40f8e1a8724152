"""The Modbus pump station, met with pymodbus's client: what its manual promises, what its log judges by."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient
from typer.testing import CliRunner

from headgate_simulators.cli import app
from headgate_simulators.pump_modbus.faults import Wrong
from headgate_simulators.pump_modbus.plc import STROKE_S, Plc
from headgate_simulators.pytest import PlcsMaker, RunningPlcs
from headgate_simulators.writes import read_writes


@pytest.fixture
def plcs(pump_modbus: PlcsMaker) -> RunningPlcs:
    return pump_modbus(cycle_s=0.01, watchdog_s=0, speed=20)


@pytest.fixture
def client(plcs: RunningPlcs) -> Iterator[ModbusTcpClient]:
    with ModbusTcpClient("127.0.0.1", port=plcs.devices[0]["port"], timeout=10) as client:
        yield client


def until(true: Callable[[], bool]) -> None:
    """Ask again until it is so; the test's own limit is the end."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def running(client: ModbusTcpClient, pump: int = 0) -> bool:
    return bool(client.read_discrete_inputs(pump, count=1, device_id=1).bits[0])


# ---------------------------------------------------------------- the plant, in its own time


def step(plc: Plc, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        plc.step(0.1, 0.1, 0.0)


def test_left_alone_it_keeps_its_level() -> None:
    plc = Plc()
    levels = []
    for _ in range(4 * 360):
        step(plc, 10)
        levels.append(plc.level_m)
    assert 0.7 < min(levels) < max(levels) < 2.3
    assert plc.pumps[0].starts > 1
    assert not plc.fallen_back


def test_a_command_counts_until_the_heartbeat_stops() -> None:
    plc = Plc(watchdog_s=5)
    plc.run(0, True)
    for beat in range(1, 9):
        plc.beat(beat)
        step(plc, 4.9)
    assert (plc.pumps[0].feedback, plc.fallen_back) == (True, False)
    plc.beat(8)  # the same number is no heartbeat
    step(plc, 5.0)
    assert (plc.fallen_back, plc.pumps[0].automatic) == (True, True)
    plc.level_m = 0.6
    step(plc, 1)
    assert not plc.pumps[0].closed  # the automatic's own decision again
    plc.beat(9)
    assert (plc.fallen_back, plc.pumps[0].automatic) == (False, True)


def test_who_takes_over_first_has_a_watchdogs_time_to_begin() -> None:
    plc = Plc(watchdog_s=5)
    step(plc, 60)
    plc.run(0, True)
    step(plc, 4.8)
    assert not plc.pumps[0].automatic
    step(plc, 0.3)
    assert plc.pumps[0].automatic


def test_the_gate_needs_its_time_and_may_be_blocked() -> None:
    plc = Plc(watchdog_s=0)
    plc.open_gate(50.0)
    step(plc, STROKE_S / 4)
    assert plc.gate.moving
    assert plc.gate.position == pytest.approx(75.0)
    plc.gate.blocked = True
    step(plc, STROKE_S)
    assert plc.gate.position == pytest.approx(75.0)
    assert plc.gate.fault
    plc.gate.blocked = False
    step(plc, STROKE_S)
    assert plc.gate.position == pytest.approx(50.0)
    plc.give_gate_back(True)
    step(plc, STROKE_S)
    assert plc.gate.position == pytest.approx(100.0)


def test_speed_follows_its_setpoint_and_the_current_the_speed() -> None:
    plc = Plc(watchdog_s=0)
    plc.run(0, True)
    step(plc, 5)
    full = plc.pumps[0].current_a
    plc.pumps[0].setpoint_hz = 30.0
    step(plc, 5)
    assert plc.pumps[0].speed_hz == pytest.approx(30.0)
    assert 0 < plc.pumps[0].current_a < full
    plc.level_m = 0.2
    step(plc, 5)
    assert plc.pumps[0].current_a == 0  # dry: nobody's command counts


# ---------------------------------------------------------------- on the wire


def test_a_pump_obeys_and_the_log_says_who_wrote_what(
    plcs: RunningPlcs, client: ModbusTcpClient
) -> None:
    assert not client.write_coil(1, True, device_id=1).isError()
    until(lambda: running(client, 1))
    assert not client.write_registers(0, [4000, 3500], device_id=1).isError()
    until(lambda: client.read_input_registers(6, count=1, device_id=1).registers == [3500])
    assert not client.mask_write_register(address=2, and_mask=0, or_mask=250, device_id=1).isError()
    assert client.read_holding_registers(0, count=3, device_id=1).registers == [4000, 3500, 250]
    told = [(x["name"], x["value"], x["function"], x["outcome"]) for x in plcs.writes.lines]
    assert told == [
        ("pump2_run", 1, 5, "done"),
        ("pump1_speed_setpoint", 4000, 16, "done"),
        ("pump2_speed_setpoint", 3500, 16, "done"),
        ("gate_setpoint", [0, 250], 22, "done"),
    ]
    first = plcs.writes.lines[0]
    assert (first["device"], first["connection"], first["address"]) == ("ps-001", 1, 1)
    assert first["raw"] == "050001ff00"
    assert first["peer"] == "{}:{}".format(*client.socket.getsockname())  # type: ignore[union-attr]


def test_what_is_refused_ignored_or_malformed_is_in_the_log_too(
    plcs: RunningPlcs, client: ModbusTcpClient
) -> None:
    assert client.write_register(0, 5001, device_id=1).exception_code == 3
    assert client.write_register(7, 1, device_id=1).exception_code == 2
    assert client.write_register(10, 0, device_id=1).exception_code == 2  # the watchdog is nobody's
    assert client.write_coil(0, True, device_id=7).exception_code == 11
    plcs.fault("ps-001", "motor-trip")
    assert client.write_coil(0, True, device_id=1).exception_code == 4
    assert not client.write_coil(8, True, device_id=1).isError()
    assert not client.write_coil(0, True, device_id=1).isError()
    plcs.fault("ps-001", "refuse", 6)
    assert client.write_coil(0, False, device_id=1).exception_code == 6
    plcs.fault("ps-001", "refuse", on=False)
    with socket.create_connection(("127.0.0.1", plcs.devices[0]["port"]), timeout=10) as raw:
        for pdu in (b"\x05\0\0\1\0", b"\x10\0\0\0\2\4\0\1", b"\x17\0\0\0\1\0\0\0\1\2\0\0"):
            raw.sendall(struct.pack(">HHHB", 9, 0, len(pdu) + 1, 1) + pdu)
            assert raw.recv(20)[7] & 0x80
    assert [x["outcome"] for x in plcs.writes.lines] == [
        "refused 3", "refused 2", "refused 2", "refused 11", "refused 4", "done", "done", "refused 6",
        "malformed", "malformed", "unknown-function",
    ]  # fmt: skip
    assert plcs.writes.lines[-1]["raw"].startswith("17")


def test_at_local_a_command_is_acknowledged_and_not_carried_out(
    plcs: RunningPlcs, client: ModbusTcpClient
) -> None:
    plcs.command(selector="local", device="ps-001")
    assert not client.write_coil(1, True, device_id=1).isError()
    assert not client.write_register(9, 77, device_id=1).isError()
    assert client.read_coils(1, count=1, device_id=1).bits[0] is False
    assert client.read_holding_registers(9, count=1, device_id=1).registers == [77]
    plcs.command(panel="pump2", on=True)
    until(lambda: running(client, 1))
    plcs.command(selector="remote")
    with pytest.raises(ValueError, match="local"):
        plcs.command(panel="pump2", on=False)
    assert [x["outcome"] for x in plcs.writes.lines] == ["local", "done"]
    assert plcs.writes.but("heartbeat") == plcs.writes.of("pump2_run")


def test_contactors_and_contacts_fail_as_they_do_in_the_field(
    plcs: RunningPlcs, client: ModbusTcpClient
) -> None:
    def current() -> int:
        return int(client.read_input_registers(4, count=1, device_id=1).registers[0])

    plcs.fault("ps-001/pump2", "no-feedback")
    client.write_coil(1, True, device_id=1)
    until(lambda: current() > 200)
    assert not running(client, 1)  # the motor takes its current, the contact says nothing
    plcs.fault("ps-001/pump2", "no-feedback", on=False)
    until(lambda: running(client, 1))
    plcs.fault("ps-001/pump2", "contact-stuck")
    client.write_coil(1, False, device_id=1)
    assert client.read_coils(1, count=1, device_id=1).bits[0] is False
    assert plcs.plc().pumps[1].closed
    plcs.fault("ps-001/pump2", "contact-stuck", on=False)
    until(lambda: current() == 0)
    plcs.fault("ps-001/pump2", "no-start")
    client.write_coil(1, True, device_id=1)
    assert client.read_coils(1, count=1, device_id=1).bits[0] is True
    until(lambda: plcs.plc().pumps[1].wanted)
    assert not running(client, 1)


def test_answers_are_lost_late_or_a_lie(plcs: RunningPlcs, client: ModbusTcpClient) -> None:
    plcs.fault("ps-001", "ignore")
    assert not client.write_register(2, 500, device_id=1).isError()
    assert client.read_holding_registers(2, count=1, device_id=1).registers == [1000]
    plcs.fault("ps-001", "ignore", on=False)
    plcs.fault("ps-001", "slow", 0.05)
    assert not client.write_register(2, 500, device_id=1).isError()
    plcs.fault("ps-001", "slow", on=False)
    plcs.fault("ps-001", "answer-lost")
    with socket.create_connection(("127.0.0.1", plcs.devices[0]["port"]), timeout=10) as raw:
        raw.sendall(bytes.fromhex("000100000006 01 06 0002 012c"))
        done = plcs.writes.wait_for(lambda x: x["value"] == 300)
        assert done["outcome"] == "answer-lost"
        raw.sendall(bytes.fromhex("000200000006 01 03 0002 0001"))
        answer = raw.recv(64)
    assert answer == bytes.fromhex("000200000005 01 03 02 012c")  # done, and never answered
    assert [x["outcome"] for x in plcs.writes.lines] == ["ignored", "done", "answer-lost"]


def test_the_truth_has_every_answered_look(plcs: RunningPlcs, client: ModbusTcpClient) -> None:
    words = client.read_input_registers(0, count=13, device_id=1).registers
    client.read_input_registers(0, count=12, device_id=1)  # does not tell the counter
    looks = plcs.truth.looks("ps-001")  # type: ignore[attr-defined]
    assert [look["sample"] for look in looks] == [1]
    assert looks[0]["values"]["level"] == words[1] / 1000
    assert looks[0]["values"]["gate_position"] == words[7] / 10


def test_a_pulled_plug_hangs_up_and_comes_back_under_its_port(plcs: RunningPlcs) -> None:
    at = ("127.0.0.1", plcs.devices[0]["port"])
    with socket.create_connection(at, timeout=10) as raw:
        plcs.fault("ps-001", "plug-pulled")
        assert raw.recv(1) == b""
    with pytest.raises(ConnectionError):
        socket.create_connection(at, timeout=10)
    plcs.fault("ps-001", "plug-pulled", on=False)
    socket.create_connection(at, timeout=10).close()


@pytest.mark.parametrize(
    "written",
    ["ps-001", "ps-001:rust", "ps-001:refuse=0", "ps-001/pump2:ignore", "x/pump3:no-start"],
)
def test_a_fault_that_cannot_be_is_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match=r"fault|exception|pump"):
        Wrong.parse(written)


def test_by_hand_it_keeps_its_log_when_it_is_killed(tmp_path: Path) -> None:
    log, site = tmp_path / "writes.jsonl", tmp_path / "site.toml"
    command = [sys.executable, "-m", "headgate_simulators", "pump-station", "--modbus", "--bind",
               "127.0.0.1:0", "--writes", str(log), "--print-site", str(site)]  # fmt: skip
    for value in (40, 41):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            ready = json.loads(running.stdout.readline())
            with ModbusTcpClient("127.0.0.1", port=ready["devices"][0]["port"]) as client:
                client.write_register(9, value, device_id=1)
            running.send_signal(signal.SIGKILL)
    assert [line["value"] for line in read_writes(log)] == [40, 41]
    assert 'profile = "generic/pump-station-modbus"' in site.read_text()


@pytest.mark.parametrize(
    "words",
    [["--fault", "ps-001:silent"], ["--modbus", "--user", "a:b"], ["--modbus", "--fault", "ps-009:silent"],
     ["--modbus", "--watchdog", "-1"], ["--modbus", "--count", "0"]],
)  # fmt: skip
def test_what_does_not_go_together_is_a_sentence(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["pump-station", "--bind", "127.0.0.1:0", *words])
    assert done.exit_code == 2
    assert done.output.strip()
    assert "Traceback" not in done.output
