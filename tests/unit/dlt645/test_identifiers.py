"""What stands behind identifiers: sizes, signs, decimals and blocks, against the tables of both editions."""

from __future__ import annotations

import pytest

from headgate_drivers.dlt645.identifiers import items
from headgate_drivers.dlt645.messages import read_items, understand

#: Identifier, bytes of its answer as the standard has them, first item.
SIZES = [
    ("00000000", 4, "active_energy_combined_total"), ("00150000", 4, "active_energy_import_A_total"),
    ("00290001", 4, "active_energy_import_B_total_settlement_1"),
    ("00800000", 4, "active_energy_associated_total"), ("00A80000", 4, "active_energy_associated_B_total"),
    ("0001FF00", 5 * 4, "active_energy_import_total"),
    ("000100FF", 13 * 4, "active_energy_import_total"),
    ("01010000", 8, "active_demand_import_total"), ("0101FF00", 5 * 8, "active_demand_import_total"),
    ("0201FF00", 6, "voltage_A"), ("0202FF00", 9, "current_A"), ("0203FF00", 12, "active_power_total"),
    ("0206FF00", 8, "power_factor_total"), ("020A0101", 2, "voltage_harmonic_A_1"),
    ("02800001", 3, "current_neutral"), ("0280000A", 4, "battery_minutes"),
    ("03010000", 18, "voltage_loss_A_count"), ("03050000", 6, "all_voltage_loss_count"),
    ("03110001", 12, "power_off_began"), ("03120000", 18, "demand_exceeded_active_import_count"),
    ("03300000", 3, "programming_count"), ("03300001", 50, "programming_at"),
    ("03300101", 106, "meter_clear_at"), ("03300301", 14, "event_clear_at"),
    ("03300401", 16, "clock_set_operator"), ("03300D01", 60, "cover_open_began"),
    ("04000101", 4, "date"), ("04000102", 3, "time"), ("04000106", 5, "season_switch_at"),
    ("04000205", 2, "holidays"), ("04000306", 3, "current_ratio"), ("04000403", 32, "asset_code"),
    ("04000404", 6, "rated_voltage"), ("0400040B", 10, "model"), ("0400040D", 16, "protocol_version"),
    ("04000503", 2, "status_word_3"), ("040005FF", 14, "status_word_1"),
    ("04000701", 1, "baud_optical_modulated"), ("04000A01", 4, "load_record_start"),
    ("04000B01", 2, "settlement_day_1"), ("04000F01", 4, "energy_alarm_1"),
    ("04001203", 2, "day_freeze_at"), ("04001401", 2, "trip_delay"),
    ("04010000", 42, "season_set_1_1"), ("04020008", 42, "day_table_8_set_2_1"),
    ("04030001", 4, "holiday_1"), ("04050101", 4, "price_set_1_1"), ("040502FF", 16, "price_set_2_1"),
    ("04800001", 32, "software_version"),
    ("05000001", 5, "frozen_timed_1_at"), ("05060101", 20, "frozen_day_1_active_energy_import_total"),
    ("05060901", 40, "frozen_day_1_active_demand_import_total"),
    ("05061001", 24, "frozen_day_1_active_power_total"),
    ("05040101", 4, "frozen_hour_1_active_energy_import_total"),
    ("9010", 4, "active_energy_total"), ("901F", 20, "active_energy_total"),
    ("9410", 4, "active_energy_total_settlement_1"), ("A010", 3, "active_demand_total"),
    ("B010", 4, "active_demand_total_at"), ("B611", 2, "voltage_A"), ("B63F", 12, "active_power_total"),
    ("B65F", 8, "power_factor_total"), ("C010", 4, "date"), ("C032", 6, "meter_number"),
]  # fmt: skip


@pytest.mark.parametrize(("identifier", "size", "first"), SIZES, ids=[each[0] for each in SIZES])
def test_an_answer_has_the_bytes_that_the_standard_gives_it(
    identifier: str, size: int, first: str
) -> None:
    known = items(identifier, size)
    assert known
    assert known[0].name == first
    assert sum(item.size for item in known) == size
    assert read_items(identifier, bytes(size))[1] == ()


@pytest.mark.parametrize(
    "identifier", ["06000001", "07000001", "04000C01", "000000FFFF", "E001", ""]
)
def test_what_is_not_in_the_tables_is_told_as_bytes(identifier: str) -> None:
    assert items(identifier, 4) is None
    assert read_items(identifier, b"\xff\xff") == ((), ())


@pytest.mark.parametrize(
    "block", ["2600000010000000", "26000000aa10000000aa", "2600000010000000aa"]
)
def test_a_block_of_1997_may_have_its_groups_apart(block: str) -> None:
    fields, flaws = read_items("901F", bytes.fromhex(block))
    assert [field.value for field in fields] == [0.26, 0.1]
    assert flaws == ()


def test_a_year_is_one_of_this_century() -> None:
    (until,) = (
        field.value
        for field in understand(
            0x1C, bytes.fromhex("02000000000000001A00595923311299")
        ).fields
        if field.name == "valid_until"
    )  # fmt: skip
    assert until == "2099-12-31T23:59:59"
    assert read_items("04030001", bytes.fromhex("01011027"))[0][0].value == "27100101"


@pytest.mark.parametrize("control", [0x14, 0x1C])
def test_what_a_security_chip_has_sealed_is_not_taken_for_values(control: int) -> None:
    head = "" if control == 0x1C else "01010004"
    message = understand(control, bytes.fromhex(head + "980000007856341211223344556677889900AABB"))
    assert {f.name: f.value for f in message.fields} == {
        "password_class": "98",
        "operator": "12345678",
    }
    assert message.flaws == ()


def test_a_record_of_a_change_tells_who_and_what() -> None:
    record = bytes.fromhex("302010180726" + "07000000" + "01010004" * 2 + "FFFFFFFF" * 8)
    said = {f.name: f.value for f in read_items("03300001", record)[0]}
    assert said["programming_at"] == "2026-07-18T10:20:30"
    assert said["programming_operator"] == "00000007"
    assert said["programming_identifier_1"] == "04000101"
