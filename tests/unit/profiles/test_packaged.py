"""Every profile that comes with Headgate, through the driver it names; a new one is tested by being there."""

import msgspec
import pytest

from headgate.columns import readings
from headgate.env import SystemFiles
from headgate.profiles import Profile, load, packaged_folder
from headgate.profiles.case_files import load_cases
from headgate.profiles.cases import Case, Expected, run
from headgate.sdk import Access, Device
from headgate_drivers.ble import BleDriver
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.gb26875 import Gb26875Driver
from headgate_drivers.hj212 import Hj212Driver
from headgate_drivers.manhole import ManholeDriver
from headgate_drivers.modbus import ModbusDriver
from headgate_drivers.opcua import OpcUaDriver
from headgate_drivers.serial import PolledSerialDriver, SerialDriver
from headgate_drivers.sl651 import Sl651Driver
from headgate_drivers.szy206 import Szy206Driver

FILES = SystemFiles()
DRIVERS = {
    driver.name: driver
    for driver in (
        ModbusDriver, SerialDriver, PolledSerialDriver, ManholeDriver, Cjt188Driver, OpcUaDriver, BleDriver,
        Sl651Driver, Hj212Driver, Dlt645Driver, Szy206Driver, Gb26875Driver,
    )
}  # fmt: skip
LIBRARY = load(
    FILES, [packaged_folder()], {name: driver.point_keys for name, driver in DRIVERS.items()}
)
PROFILES = list(LIBRARY.profiles.values())
CASES = [(profile, case) for profile in PROFILES for case in load_cases(FILES, profile)]


def test_nothing_is_wrong_with_what_we_ship() -> None:
    assert LIBRARY.problems == ()
    assert {p.id for p in PROFILES} >= {
        "generic/radar-level",
        "generic/pressure-probe",
        "generic/rain-gauge",
    }


@pytest.mark.parametrize(
    ("profile", "case"), CASES, ids=[f"{p.model}-{c.name.rpartition('/')[2]}" for p, c in CASES]
)
def test_a_recorded_look_gives_the_expected_readings(profile: Profile, case: Case) -> None:
    variant, problems = run(profile, case, DRIVERS[profile.driver]().replay)
    assert problems == ()
    points = next(v.points for v in profile.variants if v.name == variant)
    assert set(case.expected) <= {point.name for point in points}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.id)
def test_every_variant_and_every_point_has_a_case(profile: Profile) -> None:
    seen: dict[str, set[str]] = {}
    for owner, case in CASES:
        if owner.id == profile.id:
            variant, _ = run(profile, case, DRIVERS[profile.driver]().replay)
            seen.setdefault(variant, set()).update(case.expected)
    # What can only be written is in no look.
    assert seen == {
        v.name: {point.name for point in v.points if point.access is not Access.WRITE}
        for v in profile.variants
    }


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.id)
def test_every_profile_tells_a_person_what_it_is(profile: Profile) -> None:
    assert profile.title
    assert profile.title_zh
    assert profile.source
    readme = (packaged_folder() / profile.id / "README.md").read_text()
    for point in (point for variant in profile.variants for point in variant.points):
        assert point.title
        assert f"`{point.name}`" in readme
    for name in profile.params:
        assert f"`{name}`" in readme


@pytest.mark.parametrize(
    ("profile", "case"), CASES, ids=[f"{p.model}-{c.name.rpartition('/')[2]}" for p, c in CASES]
)
def test_a_case_fails_when_anything_else_comes(profile: Profile, case: Case) -> None:
    """A case that cannot fail proves nothing: turn each expectation round and see it noticed."""
    for name, told in case.expected.items():
        wrong = Expected(None, "good" if told.quality != "good" else "bad")
        changed = msgspec.structs.replace(case, expected={name: wrong})
        _, problems = run(profile, changed, DRIVERS[profile.driver]().replay)
        assert [(p.code, p.fields["point"]) for p in problems] == [("HG-8042", name)]


def test_both_firmwares_of_the_radar_tell_the_same_level_from_other_registers(device) -> None:
    profile = LIBRARY.find("generic/radar-level")
    driver = ModbusDriver()
    levels = []
    for firmware, sent, answer in [
        ("1.4", "0001 0000 0006 01 04 0000 0006", "0001 0000 000f 01 04 0c 0104 0cb2 0000 0000 0000 0000"),
        ("2.1", "0001 0000 0006 01 03 0000 0008",
         "0001 0000 0013 01 03 10 0201 0000 4050 0000 0000 0000 0000 0000"),
    ]:  # fmt: skip
        made: Device = device(profile, firmware=firmware, params={"mounting_elevation_m": 25.0})
        block = driver.replay(made, [(bytes.fromhex(sent), bytes.fromhex(answer))])
        levels += [r.value for r in readings(block, made.table) if r.point == "water_level"]
    assert levels == [21.75, 21.75]
