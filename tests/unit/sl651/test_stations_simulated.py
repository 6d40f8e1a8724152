"""The simulated stations, against frames of others and a centre that is no gateway of ours."""

from __future__ import annotations

import json
import socket
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headgate.config import examine
from headgate.env import system_env
from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.frames import Frame
from headgate_drivers.sl651.points import looks
from headgate_simulators.cli import app
from headgate_simulators.pytest import HydroMaker
from headgate_simulators.sl651_stations import reports, wire
from headgate_simulators.sl651_stations.coding import Characters, Hex
from headgate_simulators.sl651_stations.farm import StationsFarm, StationsPlan
from headgate_simulators.sl651_stations.reports import Instruments
from headgate_simulators.sl651_stations.site import CHANNELS, site_fragment
from headgate_simulators.sl651_stations.station import Habits
from headgate_simulators.truth import TruthList
from headgate_simulators.world import World

VECTORS = {
    each["name"]: each
    for each in json.loads(
        (Path(__file__).parents[2] / "vectors" / "protocols" / "sl651.json").read_text()
    )["vectors"]
}


@pytest.mark.parametrize("every_s", [20, 90])
def test_observation_times_are_whole_minutes_and_so_is_what_a_person_may_ask_for(
    every_s: int,
) -> None:
    with pytest.raises(ValueError, match=f"every {every_s}: whole minutes"):
        StationsPlan(habits=Habits(every_s=every_s))
    told = CliRunner().invoke(app, ["sl651", "--help"], env={"COLUMNS": "200"})
    assert "whole minutes" in told.output


def test_one_site_holds_rivers_and_pumps(tmp_path: Path) -> None:
    site, ids, addresses = "", set(), set()
    for kind, port in (("river", 5651), ("pump", 5652)):
        farm = StationsFarm(StationsPlan(2, habits=Habits(kind=kind)), TruthList())
        ids |= set(farm.stations)
        addresses |= {each["address"] for each in farm.description}
        url = f"sl651+listen://127.0.0.1:{port}"
        site += site_fragment(farm.description, url, "5min", CHANNELS[kind]) + "\n"
    assert ids == {"st-001", "st-002", "pg-001", "pg-002"}
    assert addresses == {"0060000001", "0060000002", "0070000001", "0070000002"}
    (tmp_path / "site.toml").write_text(f'schema = 1\n[gateway]\nid = "g"\n{site}')
    found = examine(system_env(), tmp_path / "site.toml")
    assert found.site is not None
    assert {p.code for p in found.problems} == {"HG-1214"}  # no uplink
    assert {device.channel for device in found.site.device} == {"stations", "pump-stations"}


def vector(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["hex"])


def test_a_report_is_written_as_a_station_of_somebody_else_writes_it() -> None:
    address = bytes.fromhex("0011223344")
    body = (38).to_bytes(2, "big") + wire.when(datetime(2017, 7, 18, 10, 22, 2), 6)  # noqa: DTZ001
    body += b"\xf1\xf1" + address + b"\x48"
    body += b"\xf0\xf0" + wire.when(datetime(2017, 7, 18, 10, 22), 5)  # noqa: DTZ001
    body += wire.element(0x20, 4.0, 3, 1) + wire.element(0x26, 4.0, 3, 1)
    body += wire.element(0x39, 10.49, 4, 3) + wire.element(0x38, 11.02, 2, 2)
    assert wire.up(5, address, 0x03E8, 0x33, body) == vector("33_added_report_up_8e57")


@pytest.mark.parametrize(
    ("name", "function", "serial", "end"),
    [("30_test_report_down_39d4", 0x30, 3, wire.ESC), ("4A_set_clock_downlink", 0x4A, 0, wire.ENQ)],
)
def test_what_a_centre_of_somebody_else_says_is_read(
    name: str, function: int, serial: int, end: int
) -> None:
    reader = wire.Reader()
    noise, data = b"\x00\x7e\x01", vector(name)
    told = [each for byte in noise + data for each in reader.feed(bytes([byte]))]
    assert [(each.function, each.serial, each.end) for each in told] == [(function, serial, end)]


@pytest.mark.timeout(60)
def test_unanswered_it_says_a_report_three_times_and_then_hangs_up_and_dials_again(
    sl651_stations: HydroMaker,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as centre:
        centre.settimeout(30)
        sl651_stations(
            port=centre.getsockname()[1], every_s=60, hourly_s=0, behind_s=120, speed=0.001,
            answer_s=0.1, redial_s=0.1, keep_alive_s=60,
        )  # fmt: skip
        for _ in range(2):
            line, _ = centre.accept()
            line.settimeout(30)
            heard = bytearray()
            with line:
                while data := line.recv(4096):
                    heard += data
            frames = [found for found in Codec().feed(bytes(heard)) if isinstance(found, Frame)]
            said = [frame.message for frame in frames if frame.function == reports.TIMED]
            assert len(said) == 3
            assert len({message.serial for message in said if message is not None}) == 1


@pytest.mark.parametrize("coding", ["bcd", "ascii"])
def test_what_a_station_observes_is_the_same_in_both_codings(coding: str) -> None:
    write = Characters() if coding == "ascii" else Hex()
    world = World(1, 1_800_000_000.0)
    station = Instruments(world, world.places(1)[0], bytes.fromhex("0060000001"), write)
    hour = 1_800_000_000.0 - 1_800_000_000.0 % 3600 + 7200
    for function, (content, told) in (
        (reports.TIMED, station.look(hour + 300, 0.0)),
        (reports.HOURLY, station.hour(hour, 0.0)),
        (reports.PICTURE, station.picture(hour, 0.0, 300)),
    ):
        body = write.begin(7, reports.local(hour + 301)) + content
        (frame,) = Codec().feed(write.up(1, station.address, 0x1234, function, body))
        assert isinstance(frame, Frame), frame
        assert frame.message is not None
        names = {
            "20": "rain_now", "26": "rain_total", "39": "water_level", "38": "battery", "F4": "rain_5min",
            "F5": "level_5min", "picture": "picture",
        }  # fmt: skip
        seen = {
            (look.observed, point): said[0]
            for look in looks(frame.message, names)
            for point, said in look.said.items()
        }
        assert {key: v.hex() if isinstance(v, bytes) else v for key, v in seen.items()} == {
            (reports.local(at).replace(tzinfo=None), point): (
                value if isinstance(value, str) else pytest.approx(value)
            )
            for at, values in told.items()
            for point, value in values.items()
        }  # fmt: skip
