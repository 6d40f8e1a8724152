"""What every profile that we ship owes to the person who meets it: a new folder is tested by being there.

Whether its cases come out right is tested in tests/unit/profiles/test_packaged.py; here it is whether
the folder is whole, honest and says the same thing everywhere.
"""

from __future__ import annotations

import re
import struct
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.env import SystemFiles
from headgate.profiles import (
    PointSpec,
    Profile,
    Variant,
    load,
    match,
    packaged_folder,
    resolve,
)
from headgate.profiles.case_files import load_cases
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.dlt645 import Dlt645Driver
from headgate_drivers.manhole import ManholeDriver
from headgate_drivers.modbus import ModbusDriver
from headgate_drivers.modbus.points import QUIRKS
from headgate_drivers.opcua import OpcUaDriver
from headgate_drivers.serial import PolledSerialDriver, SerialDriver

ROOT = Path(__file__).parents[2]
FILES = SystemFiles()
DRIVERS = (
    ModbusDriver, SerialDriver, PolledSerialDriver, ManholeDriver, Cjt188Driver, Dlt645Driver, OpcUaDriver
)  # fmt: skip
LIBRARY = load(FILES, [packaged_folder()], {driver.name: driver.point_keys for driver in DRIVERS})
PROFILES = list(LIBRARY.profiles.values())
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.id)
each_modbus_profile = pytest.mark.parametrize(
    "profile", [profile for profile in PROFILES if profile.driver == "modbus"], ids=lambda p: p.id
)

CHINESE = re.compile("[\u4e00-\u9fff]")

#: Makers of what we describe. Their names need their manual and revision cited: docs/extend/profiles.md.
MAKERS = re.findall(
    r"\S+",
    """
    abb acrel auma campbell dahua danfoss draeger dräger emerson endress epever geokon hach hanwei hauser
    hikvision honeywell jxct krohne leica lufft mitsubishi moxa ott pepperl renke rosemount rotork schneider
    sensirion siemens sisgeo vaisala vega victron wago wika xylem ysi
    安科瑞 大华 海康 汉威 基康 建大仁科 聚光 南瑞 西门子 施耐德
    """,
)


def folder(profile: Profile) -> Path:
    return packaged_folder() / profile.id


def text(profile: Profile, name: str) -> str:
    return (folder(profile) / name).read_text(encoding="utf-8")


def toml(profile: Profile) -> dict[str, Any]:
    return tomllib.loads(text(profile, "profile.toml"))


def points(profile: Profile) -> list[PointSpec]:
    return [point for variant in profile.variants for point in variant.points]


def is_enumeration(point: PointSpec) -> bool:
    return point.bits is not None or (point.lookup is not None and point.between == "exact")


def test_nothing_is_wrong_with_any_of_them() -> None:
    assert LIBRARY.problems == ()
    shipped = {path.parent for path in packaged_folder().glob("*/*/profile.toml")}
    assert shipped == {folder(profile) for profile in PROFILES}


@each_profile
def test_a_folder_holds_a_profile_a_readme_and_cases(profile: Profile) -> None:
    assert {path.name for path in folder(profile).iterdir()} == {
        "profile.toml",
        "README.md",
        "cases",
    }
    for case in (folder(profile) / "cases").iterdir():
        assert {path.name for path in case.iterdir()} == {"frames.txt", "expected.toml"}
        assert (case / "frames.txt").read_text(encoding="utf-8").startswith("# "), (
            f"{case.name} does not say what is going on"
        )


@each_profile
def test_every_quantity_has_a_unit_and_says_what_is_believable(profile: Profile) -> None:
    said: dict[str, bool] = {}
    for table in (*toml(profile).get("point", ()), *_variant_points(profile)):
        said[table["name"]] = said.get(table["name"], False) or "unit" in table
    for point in points(profile):
        if point.class_ != "measure" or point.column in ("text", "bool") or is_enumeration(point):
            continue
        assert said[point.name], f'{point.name}: a bare number says unit = "1"'
        assert point.range is not None, f"{point.name} has no range"


def _variant_points(profile: Profile) -> list[dict[str, Any]]:
    return [p for variant in toml(profile).get("variant", ()) for p in variant.get("point", ())]


@each_profile
def test_what_can_be_commanded_is_bounded(profile: Profile) -> None:
    for point in points(profile):
        if "w" in point.access.value and point.column != "bool":
            assert point.range is not None, f"{point.name} may be written without a bound"


@each_profile
def test_two_firmware_ranges_are_two_maps(profile: Profile) -> None:
    """A range that changes nothing is a range somebody forgot to fill."""
    maps = [
        {p.name: (p.type, p.source, p.scale, p.offset) for p in variant.points}
        for variant in profile.variants
    ]
    # How a frame is cut makes another map of the same places.
    frames = [
        {key: value for key, value in variant.quirks.items() if key.startswith("frame.")}
        for variant in profile.variants
    ]
    for at, one in enumerate(maps):
        for later, other in enumerate(maps[at + 1 :], at + 1):
            shared = one.keys() & other.keys()
            moved = any(one[name] != other[name] for name in shared)
            assert moved or frames[at] != frames[later]
    if profile.driver == "modbus" and len(maps) > 1:
        assert profile.identify, "nothing says how the firmware is learned"


@each_profile
def test_a_parameter_at_the_end_of_its_range_still_makes_a_device(profile: Profile) -> None:
    usual = next(iter(load_cases(FILES, profile))).params
    for name, param in profile.params.items():
        assert param.label or f"${name}" in text(profile, "profile.toml"), (
            f"{name} is asked in vain"
        )
        ends = param.range if param.type != "text" else None
        for end in ends or param.choices:
            for variant in profile.variants:
                device = resolve(
                    msgspec.structs.replace(profile, variants=(_for_all(variant),)),
                    device_id="d",
                    number=1,
                    channel="c",
                    address=1,
                    sm3=lambda _: bytes(32),
                    params={**usual, name: end},
                )
                assert len(device.points) == len(variant.points)


def _for_all(variant: Variant) -> Variant:
    return msgspec.structs.replace(variant, when_unknown=True)


@each_modbus_profile
def test_quirks_are_ones_the_driver_knows(profile: Profile) -> None:
    for variant in profile.variants:
        assert variant.quirks.keys() <= QUIRKS.keys()


@each_profile
def test_the_readme_speaks_both_languages(profile: Profile) -> None:
    lines = text(profile, "README.md").splitlines()
    assert lines[0].startswith("# ")
    assert CHINESE.search(lines[0])
    summary = [line for line in lines[1:12] if CHINESE.search(line)]
    assert summary, "no summary in Chinese"
    assert profile.title_zh in lines[0]
    for param in profile.params.values():
        assert param.title
        assert CHINESE.search(param.title_zh)


@each_modbus_profile
def test_the_readme_and_the_profile_print_the_same_map(profile: Profile) -> None:
    """A row for every point, with its unit, and in each variant's column the register as printed."""
    rows: dict[str, list[str]] = {}
    readme = text(profile, "README.md")
    for line in readme.splitlines():
        if found := re.match(r"\| `(\w+)` \|", line):
            rows[found[1]] = [cell.strip() for cell in line.strip("|").split("|")]
    names = {point.name for point in points(profile)}
    base = toml(profile).get("address_base", 0)
    for at, variant in enumerate(profile.variants):
        assert f"`{variant.name}`" in readme
        for point in variant.points:
            unit, *cells = rows[point.name][1:]
            assert (unit or "1") == point.unit
            cell = cells[at] if len(profile.variants) > 1 else " ".join(cells)
            if cell.startswith("the same"):
                cell = cells[at - 1]
            made_from = names & set(re.findall(r"`(\w+)`", cell))
            if not made_from:
                assert _printed(base, point) & set(re.findall(r"\w+", cell)), (point.name, cell)


def _printed(base: int, point: PointSpec) -> set[str]:
    register, area = point.source["register"], point.source.get("area", "holding")
    assert isinstance(register, int)
    if base == 40001:
        first = {"coil": 0, "discrete": 1, "input": 3, "holding": 4}[str(area)]
        return {str(first * 10_000 + register + 1), str(first * 100_000 + register + 1)}
    number = register + base
    return {str(number), f"0x{number:02X}", f"0x{number:04X}", f"0x{number:X}"}


@each_profile
def test_no_makers_name_without_his_manual(profile: Profile) -> None:
    assert "README.md" in profile.source or re.search(r"\d{4}|rev", profile.source)
    if profile.vendor != "generic":
        return
    for path in folder(profile).rglob("*.*"):
        words = path.read_text(encoding="utf-8").lower()
        for maker in MAKERS:
            bounds = r"\b" if maker.isascii() else ""
            assert not re.search(f"{bounds}{maker}{bounds}", words), f"{maker} in {path.name}"


@each_profile
def test_the_cases_show_every_variant_and_a_unit_that_is_not_well(profile: Profile) -> None:
    cases = load_cases(FILES, profile)
    seen = {match(profile, case.firmware).variant.name for case in cases}
    assert seen == {variant.name for variant in profile.variants}
    qualities = {told.quality for case in cases for told in case.expected.values()}
    assert "good" in qualities
    assert qualities & {"bad", "uncertain"}
    if len(profile.variants) > 1:
        assert any(case.firmware is None for case in cases), "no case of a unit that does not tell"


@each_modbus_profile
def test_frames_are_whole_as_they_stand_on_the_wire(profile: Profile) -> None:
    """Checked by hand here, so that the codec is not its own witness."""
    for case in load_cases(FILES, profile):
        for sent, answer in case.frames:
            tcp = len(sent) == 12  # every read request is 12 bytes there and 8 with a CRC
            for frame in (sent, answer):
                if tcp:
                    transaction = int.from_bytes(sent[:2], "big")
                    assert struct.unpack_from(">HHH", frame) == (transaction, 0, len(frame) - 6)
                else:
                    assert _remainder(frame) == 0, frame.hex(" ")
            unit_at = 6 if tcp else 0
            assert sent[unit_at] == answer[unit_at] == case.address


def _remainder(frame: bytes) -> int:
    """The CRC-16 over a frame with its CRC: 0 when it is right (Modbus over serial line, 6.2.2)."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def test_the_catalogue_lists_what_there_is() -> None:
    page = (ROOT / "docs/extend/profile-catalogue.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        if found := re.match(r"\| `([\w-]+/[\w.-]+)` ", line):
            rows[found[1]] = line
    assert rows.keys() == LIBRARY.profiles.keys()
    for profile in PROFILES:
        for variant in profile.variants:
            assert f"`{variant.name}`" in rows[profile.id]
