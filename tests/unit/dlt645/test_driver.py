"""The DL/T 645 driver: looks, rounds after midnight, refusals, follow-ups, clocks, switches."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from headgate.cli.read import cause
from headgate.columns import readings
from headgate.errors import ChannelTimeout, DeviceRefused, ProfileError, ProtocolError
from headgate.sdk import Block, Device, DevicePoint, Point, Quality, Status, status_word
from headgate.testing.channel import Answer, FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.dlt645 import Dlt645Driver, requests
from headgate_drivers.dlt645.frames import Frame, encode
from headgate_drivers.dlt645.values import write_moment, write_number

ADDRESS = "000000000161"
ZONE = timezone(timedelta(hours=8))
NOON = datetime(2026, 7, 18, 12, 0, 0, tzinfo=ZONE)


class Line(FakeChannel):
    """A scripted line whose clock is trusted, or is not."""

    def __init__(
        self, exchanges: list[tuple[bytes, Answer]], at: datetime | None = NOON, **options: Any
    ) -> None:
        super().__init__(exchanges)
        self.at = at
        self.options = options

    def wall_us(self) -> int | None:
        return None if self.at is None else int(self.at.timestamp()) * 1_000_000


def meter(points: dict[str, dict[str, Any]], **quirks: Any) -> Device:
    places = [
        DevicePoint(Point(name, source.get("type", "f64")), {k: v for k, v in source.items() if k != "type"})
        for name, source in points.items()
    ]  # fmt: skip
    return make_device(places, address=ADDRESS, quirks=quirks)


def ask(identifier: str) -> bytes:
    return requests.read(ADDRESS, identifier)


def says(identifier: str, content: str | bytes, more: int = 0) -> bytes:
    """A meter's answer to `ask`."""
    body = bytes.fromhex(content) if isinstance(content, str) else content
    control = (0x81 if len(identifier) == 4 else 0x91) | more
    return b"\xfe" + encode(Frame(ADDRESS, control, bytes.fromhex(identifier)[::-1] + body))


def told(block: Block, device: Device) -> dict[str, Any]:
    return {r.point: r.value for r in readings(block, device.table)}


async def look(device: Device, line: FakeChannel) -> Block:
    driver = Dlt645Driver()
    return await driver.read(line, device, driver.plan(device))


POINTS: dict[str, dict[str, Any]] = {
    "energy": {"di": "00010000"},
    "voltage": {"di": "02010100"},
    "current": {"di": "02020100"},
}


async def test_a_meter_tells_what_is_asked_of_it() -> None:
    device = meter(POINTS)
    line = Line(
        [(ask("00010000"), says("00010000", write_number(1234.56, 4, 2, signed=False))),
         (ask("02010100"), says("02010100", "0123")),
         (ask("02020100"), says("02020100", "500280"))]
    )  # fmt: skip
    assert told(await look(device, line), device) == {
        "energy": 1234.56, "voltage": 230.1, "current": -0.25,
    }  # fmt: skip


async def test_points_of_one_identifier_share_one_request() -> None:
    device = meter({f"v_{p}": {"di": "0201FF00", "field": f"voltage_{p}"} for p in "ABC"})
    line = Line([(ask("0201FF00"), says("0201FF00", "012302230323"))])
    assert told(await look(device, line), device) == {"v_A": 230.1, "v_B": 230.2, "v_C": 230.3}


async def test_a_meter_of_1997_is_asked_in_its_own_words() -> None:
    device = meter({"energy": {"di": "9010"}, "voltage": {"di": "B611"}})
    line = Line([(ask("9010"), says("9010", "01000000")), (ask("B611"), says("B611", "2002"))])
    assert ask("9010")[12] == 0x01
    assert told(await look(device, line), device) == {"energy": 0.01, "voltage": 220.0}


async def test_what_a_meter_does_not_have_is_bad_and_not_asked_each_time() -> None:
    device = meter(POINTS)
    none = encode(Frame(ADDRESS, 0xD1, b"\x02"))
    line = Line(
        [(ask("00010000"), says("00010000", "26000000")), (ask("02010100"), none),
         (ask("02020100"), says("02020100", "000000")),
         (ask("00010000"), says("00010000", "27000000")),
         (ask("02020100"), says("02020100", "000000"))]
    )  # fmt: skip
    driver = Dlt645Driver()
    plan = driver.plan(device)
    for _ in range(2):
        block = await driver.read(line, device, plan)
        found = {r.point: r for r in readings(block, device.table)}
        assert found["voltage"].quality is Quality.BAD
        assert found["voltage"].status == status_word(Status.REFUSED, 2)
        assert found["energy"].quality is Quality.GOOD
    assert len(line.sent) == 5


async def test_digits_that_are_none_are_no_value() -> None:
    device = meter({"energy": {"di": "00010000"}, "voltage": {"di": "02010100"}})
    line = Line([(ask("00010000"), says("00010000", "FFFFFFFF")),
                 (ask("02010100"), says("02010100", "0022"))])  # fmt: skip
    found = {r.point: r for r in readings(await look(device, line), device.table)}
    assert (found["energy"].quality, found["energy"].value) == (Quality.BAD, None)
    assert found["voltage"].value == 220.0


async def test_silence_damage_and_refusal_are_three_things() -> None:
    device = meter(POINTS)
    silent: list[tuple[bytes, Answer]] = [(ask(d), None) for d in ("00010000", "02010100")]
    with pytest.raises(ChannelTimeout):
        await look(device, Line([silent[0], silent[0], silent[1], silent[1]]))
    one = meter({"energy": {"di": "00010000"}})
    good = says("00010000", "26000000")
    spoilt = good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]
    with pytest.raises(ProtocolError):
        await look(one, Line([(ask("00010000"), spoilt), (ask("00010000"), spoilt)]))
    with pytest.raises(DeviceRefused):
        await look(one, Line([(ask("00010000"), encode(Frame(ADDRESS, 0xD1, b"\x04")))]))


async def test_an_echo_and_another_meter_s_answer_are_not_taken() -> None:
    device = meter({"energy": {"di": "00010000"}})
    other = encode(Frame("000000000162", 0x91, bytes.fromhex("0000010099999999")))
    line = Line([(ask("00010000"), ask("00010000") + other + says("00010000", "26000000"))])
    assert told(await look(device, line), device) == {"energy": 0.26}


async def test_another_identifier_s_answer_is_not_believed() -> None:
    device = meter({"energy": {"di": "00010000"}})
    with pytest.raises(ProtocolError):
        await look(device, Line([(ask("00010000"), says("00020000", "26000000"))]))


async def test_follow_up_frames_are_put_together() -> None:
    device = meter({"t4": {"di": "0001FF00", "field": "active_energy_import_tariff_4"}})
    follow = requests.follow(ADDRESS, "0001FF00", 1)
    rest = encode(Frame(ADDRESS, 0x92, bytes.fromhex("00FF01000000030000007856000001")))
    line = Line([(ask("0001FF00"), says("0001FF00", "10000000010000000200", more=0x20)),
                 (follow, rest)])  # fmt: skip
    assert told(await look(device, line), device) == {"t4": 56.78}


# ---------------------------------------------------------------- after midnight

DAILY: dict[str, dict[str, Any]] = {
    "energy": {"di": "00010000"},
    "frozen": {"di": "05060101", "round": "day",
               "field": "frozen_day_1_active_energy_import_total"},
}  # fmt: skip
NOW, FROZEN = says("00010000", "26000000"), says("05060101", "2000000001000000")


async def test_what_midnight_froze_is_asked_once_a_day() -> None:
    device, driver = meter(DAILY), Dlt645Driver()
    plan = driver.plan(device)
    asked = []
    for at in (
        NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=12, minutes=3),
        NOON + timedelta(hours=12, minutes=6), NOON + timedelta(hours=20),
    ):  # fmt: skip
        line = Line([(ask("00010000"), NOW), (ask("05060101"), FROZEN)], at)
        block = await driver.read(line, device, plan)
        asked.append("frozen" in told(block, device))
    # At three minutes past midnight a meter's clock may be behind: at six it is the new day's turn.
    assert asked == [True, False, False, True, False]


async def test_a_start_just_after_midnight_waits_for_meters_whose_clocks_are_slow() -> None:
    device, driver = meter(DAILY), Dlt645Driver()
    plan = driver.plan(device)
    asked = []
    for minute in (0, 4, 5, 6):
        at = NOON.replace(hour=0, minute=minute, second=1)
        line = Line([(ask("00010000"), NOW), (ask("05060101"), FROZEN)], at)
        block = await driver.read(line, device, plan)
        found = {r.point: r.taken_at_us for r in readings(block, device.table)}
        asked.append("frozen" in found)
        if asked[-1]:
            ago_us = found["energy"] - found["frozen"]
            assert ago_us == (minute * 60 + 1) * 1_000_000 - 100_000
    assert asked == [False, False, True, False]


async def test_a_start_just_before_midnight_waits_for_the_new_day() -> None:
    """A look that ended a moment after midnight dated last night's value into the new day."""
    device, driver = meter(DAILY), Dlt645Driver()
    plan = driver.plan(device)
    asked = []
    for after in (timedelta(hours=11, minutes=56), timedelta(hours=11, minutes=59, seconds=59)):
        line = Line([(ask("00010000"), NOW)], NOON + after)
        asked.append("frozen" in told(await driver.read(line, device, plan), device))
    line = Line(
        [(ask("00010000"), NOW), (ask("05060101"), FROZEN)], NOON + timedelta(hours=12, minutes=6)
    )
    block = await driver.read(line, device, plan)
    found = {r.point: r.taken_at_us for r in readings(block, device.table)}
    assert asked == [False, False]
    assert found["energy"] - found["frozen"] == 6 * 60 * 1_000_000 - 100_000


async def test_a_frozen_value_was_true_at_midnight_and_is_never_dated_into_the_day_before() -> None:
    device = meter(DAILY)
    line = Line([(ask("00010000"), NOW), (ask("05060101"), FROZEN)])
    found = {r.point: r for r in readings(await look(device, line), device.table)}
    assert found["frozen"].value == 0.2
    ago_us = found["energy"].taken_at_us - found["frozen"].taken_at_us
    assert 12 * 3600 * 1_000_000 - ago_us == 100_000  # clocks are known to within 20 ms


async def test_a_round_that_failed_is_tried_again_later_and_not_at_every_look() -> None:
    device, driver = meter(DAILY), Dlt645Driver()
    plan = driver.plan(device)
    line = Line([(ask("00010000"), NOW), (ask("05060101"), None), (ask("05060101"), None)])
    assert told(await driver.read(line, device, plan), device)["frozen"] is None
    line = Line([(ask("00010000"), NOW)])
    assert "frozen" not in told(await driver.read(line, device, plan), device)
    line = Line([(ask("00010000"), NOW), (ask("05060101"), FROZEN)])
    line.at_us += 16 * 60 * 1_000_000
    assert told(await driver.read(line, device, plan), device)["frozen"] == 0.2


async def test_without_a_trusted_clock_a_round_comes_every_24_hours() -> None:
    device, driver = meter(DAILY), Dlt645Driver()
    plan = driver.plan(device)
    found = []
    for hours in (0, 23, 25):
        line = Line([(ask("00010000"), NOW), (ask("05060101"), FROZEN)], None)
        line.at_us += hours * 3600 * 1_000_000
        found.append("frozen" in told(await driver.read(line, device, plan), device))
    assert found == [True, False, True]


# ---------------------------------------------------------------- clocks

OFFSET: dict[str, dict[str, Any]] = {"off": {"di": "clock_offset"}}


def clock_says(at: datetime) -> list[tuple[bytes, Answer]]:
    date = write_moment(at, "day")
    return [
        (ask("04000101"), says("04000101", b"\x06" + date)),
        (ask("04000102"), says("04000102", write_moment(at, "time"))),
    ]


async def test_a_meter_s_clock_is_judged_and_left_alone() -> None:
    device = meter(OFFSET)
    line = Line(clock_says(NOON + timedelta(seconds=75)))
    block = await look(device, line)
    assert told(block, device) == {"off": 75.0}
    assert block.device_time_us == int(NOON.timestamp() + 75) * 1_000_000
    assert len(line.sent) == 2
    untrusted = Line(clock_says(NOON), None)
    block = await look(device, untrusted)
    assert told(block, device) == {"off": None}
    assert [r.status for r in readings(block, device.table)] == [status_word(Status.NO_CLOCK)]
    assert "own clock" in cause(status_word(Status.NO_CLOCK))
    # A time that is none is the meter's matter, whatever our clock is.
    (date, _), (time, _) = clock_says(NOON)
    none = says("04000102", b"\xff\xff\xff")
    for line in (Line([(date, clock_says(NOON)[0][1]), (time, none)], at) for at in (None, NOON)):
        (reading,) = readings(await look(device, line), device.table)
        assert reading.status == status_word(Status.NOT_READ)


@pytest.mark.parametrize(
    ("seconds", "hour", "sent"), [(75, 12, True), (2, 12, False), (400, 12, False), (75, 0, False)]
)
async def test_the_time_is_told_only_where_the_site_asks_and_a_meter_takes_it(
    seconds: int, hour: int, sent: bool
) -> None:
    device, driver = meter(OFFSET, sync_clock="day"), Dlt645Driver()
    plan = driver.plan(device)
    at = NOON.replace(hour=hour)
    line = Line(clock_says(at + timedelta(seconds=seconds)), at)
    await driver.read(line, device, plan)
    assert (requests.clock(at) in line.sent) is sent
    # Once a day, whatever the meter makes of it.
    again = Line(clock_says(at + timedelta(seconds=seconds)), at)
    await driver.read(again, device, plan)
    assert len(again.sent) == 2


# ---------------------------------------------------------------- who is there, what moves

SWITCHED: dict[str, dict[str, Any]] = {"power": {"di": "switch", "type": "bool"}}
SECRET: dict[str, Any] = {"meters": {ADDRESS: {"password": "02123456"}}, "operator": "00000007"}
DONE = encode(Frame(ADDRESS, 0x9C))


async def test_a_meter_tells_its_address_and_what_it_is() -> None:
    device, driver = meter({}), Dlt645Driver()
    told_address = encode(Frame(ADDRESS, 0x93, bytes.fromhex(ADDRESS)[::-1]))
    assert await driver.addresses(Line([(requests.who(), told_address)]), device) == [ADDRESS]
    assert await driver.addresses(Line([(requests.who(), None)] * 2), device) == []
    model = says("0400040B", b"DDZY-9".ljust(10, b"\x00")[::-1])
    none = encode(Frame(ADDRESS, 0xD1, b"\x02"))
    who = await driver.identify(Line([(ask("0400040B"), model), (ask("04800001"), none)]), device)
    assert who is not None
    assert (who.model, who.firmware) == ("DDZY-9", None)


@pytest.mark.parametrize(("on", "what", "word"), [(False, "trip", "1000"), (True, "close", "0000")])
async def test_a_switch_is_moved_once_and_its_relay_read(on: bool, what: Any, word: str) -> None:
    device = meter(SWITCHED)
    until = NOON + timedelta(seconds=300)
    command = requests.switch(ADDRESS, what, until, "02123456", "00000007")
    line = Line([(command, DONE), (ask("04000503"), says("04000503", word))], **SECRET)
    assert await Dlt645Driver().write(line, device, "power", on) is on
    silent = Line([(command, None)], **SECRET)
    with pytest.raises(ChannelTimeout):
        await Dlt645Driver().write(silent, device, "power", on)
    assert len(silent.sent) == 1
    # It took the order and will not say how its relay stands: that is not a meter that did nothing.
    none = encode(Frame(ADDRESS, 0xD1, b"\x02"))
    taken = Line([(command, DONE), (ask("04000503"), none)], **SECRET)
    with pytest.raises(ProtocolError):
        await Dlt645Driver().write(taken, device, "power", on)


async def test_nothing_is_switched_without_password_clock_or_a_switch() -> None:
    device = meter(SWITCHED | POINTS)
    for line, point in (
        (Line([]), "power"), (Line([], None, **SECRET), "power"), (Line([], **SECRET), "energy"),
    ):  # fmt: skip
        with pytest.raises(DeviceRefused):
            await Dlt645Driver().write(line, device, point, True)
        assert line.sent == []


def test_a_switch_command_has_its_password_lowest_byte_first() -> None:
    raw = requests.switch(ADDRESS, "trip", NOON, "02123456", "00000007", 0)
    plain = bytes((each - 0x33) & 0xFF for each in raw[10:-2])
    assert plain.hex() == "02563412070000001a00000012180726"


@pytest.mark.parametrize(
    ("points", "quirks"),
    [
        ({"a": {"di": "0001"}}, {"wake": 99}), ({"a": {"di": "12345"}}, {}), ({"a": {}}, {}),
        ({"a": {"di": "0201FF00", "field": "voltage_D"}}, {}),
        ({"a": {"di": "00010000", "type": "text"}}, {}),
        ({"a": {"di": "00010000", "round": "week"}}, {}),
        ({"a": {"di": "04000503", "type": "bool", "bit": 99}}, {}),
        ({}, {"line": "fast"}), ({}, {"sync_clock": "always"}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_asked(
    points: dict[str, dict[str, Any]], quirks: dict[str, Any]
) -> None:
    with pytest.raises(ProfileError):
        Dlt645Driver().plan(meter(points, **quirks))


@pytest.mark.parametrize("address", ["000000000161", "161", 161, "AAAAAAAA0161", "aaaaaaaaaaaa"])
def test_an_address_is_digits_and_aa_in_front(address: str | int) -> None:
    device = msgspec.structs.replace(meter({"a": {"di": "00010000"}}), address=address)
    assert len(Dlt645Driver().plan(device).address) == 12


@pytest.mark.parametrize(
    "address",
    ["00000000016A", "0000000001AA", "0AA000000161", "AA161", "1234567890123", "-1", "FF"],
)
def test_letters_that_no_meter_can_have_in_its_address_are_refused(address: str) -> None:
    device = msgspec.structs.replace(meter({"a": {"di": "00010000"}}), address=address)
    with pytest.raises(ProfileError) as refused:
        Dlt645Driver().plan(device)
    (problem,) = refused.value.problems
    assert (problem.code, problem.fields["key"]) == ("HG-3640", "address")
    assert problem.where.endswith(": address")
    assert "twelve digits" in str(problem.fields["allowed"])


def test_a_channel_s_passwords_are_a_table_of_references() -> None:
    driver = Dlt645Driver()
    by_reference = {"meters": {ADDRESS: {"password": "systemd:meter-161"}}, "operator": "00000007"}
    assert driver.check_channel("bus", by_reference) == ()
    for wrong in (
        {"meters": {ADDRESS: "systemd:meter-161"}}, {"meter": {}}, {"meters": {ADDRESS: {"key": "1"}}},
        SECRET,
    ):  # fmt: skip
        (problem,) = driver.check_channel("bus", wrong)
        assert "123456" not in str(problem)
