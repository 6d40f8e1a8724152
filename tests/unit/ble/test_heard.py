"""One device's adverts into blocks: what is told, what only counts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.ble import device, point, values

from headgate.errors import ProfileError, ProtocolError
from headgate.model import Alarm, Block, Quality, Status
from headgate.sdk import Device
from headgate_drivers.ble import BleDriver
from headgate_drivers.ble.codec import Advert
from headgate_drivers.ble.heard import Heard
from headgate_drivers.ble.points import identity_of, reader_of
from headgate_drivers.ble.roll import Roll
from headgate_drivers.ble.strangers import WINDOW_US, Strangers
from headgate_drivers.ble.tally import Tally

MAC = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
S = 1_000_000
POINTS = (
    point("temperature") + point("humidity") + point("rssi", "int16") + point("adverts", "uint32")
)


def bthome(data: str, rssi: int | None = -60, address: str = MAC) -> Advert:
    return Advert(address, rssi, (("fcd2", bytes.fromhex(data)),))


def ear(unit: Device, key: bytes | None = None) -> Heard:
    return Heard(unit, reader_of(unit), key)


def unit(points: str = POINTS, frame: str = 'format = "bthome"', **more: object) -> Device:
    return device(frame, points, MAC, interval_s=10, **more)  # type: ignore[arg-type]


def blocks(told: list[Block | Alarm]) -> list[Block]:
    return [one for one in told if isinstance(one, Block)]


def test_a_block_speaks_of_the_points_its_frame_speaks_of() -> None:
    one = unit()
    heard = ear(one)
    (first,) = blocks(heard.advert(bthome("4002CA09"), 0))
    assert values(first, one).keys() == {"temperature", "rssi", "adverts"}
    (second,) = blocks(heard.advert(bthome("4003BF13"), 1))
    assert values(second, one).keys() == {"humidity", "rssi", "adverts"}


def test_the_same_frame_counts_until_half_its_interval_is_over() -> None:
    one = unit()
    heard = ear(one)
    assert blocks(heard.advert(bthome("4002CA09", -60), 0))
    for at in range(1, 50):
        assert heard.advert(bthome("4002CA09", -60 - at % 3 * 10), at * S // 10) == []
    (again,) = blocks(heard.advert(bthome("4002CA09", -70), 5 * S))
    said = values(again, one)
    assert said["temperature"].value == 25.06
    assert said["rssi"].value == -70, "the mean of what was heard since"
    assert said["adverts"].value == 50
    assert heard.counted == {"adverts": 51, "repeated": 50}


def test_a_sealed_frame_that_is_repeated_is_never_news() -> None:
    heard = ear(unit(), KEY)
    sealed = bthome("41E445F3C9962B332211006C7C4519")
    assert blocks(heard.advert(sealed, 0))
    assert [heard.advert(sealed, at * S) for at in range(1, 60)] == [[]] * 59


def test_other_news_of_a_tag_do_not_make_its_sealed_frame_a_replay() -> None:
    heard = ear(unit(), KEY)
    sealed = bthome("41E445F3C9962B332211006C7C4519")
    assert blocks(heard.advert(sealed, 0))
    assert heard.advert(sealed._replace(company=((1, b"x"),)), S) == []
    assert "replay" not in heard.counted


def test_a_wrong_key_shows_after_an_interval_and_not_before() -> None:
    one = unit()
    heard = ear(one, bytes(16))
    told = [
        block
        for at in range(25)
        for block in blocks(heard.advert(bthome(f"41E445F3C9962B{at:02X}2211006C7C4519"), at * S))
    ]
    assert [block.at_us for block in told] == [10 * S, 20 * S]
    assert {r.quality for r in values(told[0], one).values()} == {Quality.BAD}
    assert {r.status >> 8 for r in values(told[0], one).values()} == {Status.MALFORMED}
    assert heard.counted["bad_checksum"] == 25


def test_a_stranger_who_sends_in_plain_does_not_make_a_good_sensor_bad() -> None:
    heard = ear(unit(), KEY)
    assert blocks(heard.advert(bthome("41E445F3C9962B332211006C7C4519"), 0))
    assert heard.advert(bthome("4002CA09"), S) == []
    assert heard.counted["not_supported"] == 1


def test_a_value_that_does_not_fit_its_column_is_bad_and_its_neighbours_are_not() -> None:
    one = unit(point("temperature", "uint16") + point("humidity"))
    (block,) = blocks(ear(one).advert(bthome("4002CA0903BF13"), 0))
    said = values(block, one)
    assert said["temperature"].quality is Quality.BAD
    assert said["humidity"].value == 50.55


def test_the_first_of_two_thermometers_is_known_by_its_bare_name() -> None:
    one = unit(point("temperature") + point("second", field="temperature_2"))
    heard = ear(one)
    (both,) = blocks(heard.advert(bthome("4002CA0902CF09"), 0))
    assert [r.value for r in values(both, one).values()] == [25.06, 25.11]
    (alone,) = blocks(heard.advert(bthome("4002CA09"), 1))
    assert values(alone, one).keys() == {"temperature"}


def test_a_frame_cut_off_keeps_what_came_whole() -> None:
    one = unit()
    (block,) = blocks(ear(one).advert(bthome("4002CA0903BF"), 0))
    assert values(block, one).keys() == {"temperature", "rssi", "adverts"}


def test_a_layout_reads_bytes_where_the_profile_says() -> None:
    one = unit(
        point("level", "uint16", at=1, length=2, order="big", scale=0.001)
        + point("deep", "int32", at=3, length=3)
        + point("open", "bool", at=6, bit=2)
        + point("far", "uint16", at=40),
        'format = "layout"\ncompany = 0xFFFF\nbegins = "A1"',
    )
    heard = ear(one)
    data = bytes.fromhex("A1 04D2 FEFFFF 04")
    (block,) = blocks(heard.advert(Advert(MAC, -50, company=((0xFFFF, data),)), 0))
    said = values(block, one)
    assert said["level"].value == 1.234
    assert said["deep"].value == -2
    assert said["open"].value is True
    assert said["far"].quality is Quality.BAD
    assert heard.advert(Advert(MAC, -50, company=((0xFFFF, b"\xa2" + data[1:]),)), 1) == []


def test_a_beacon_is_known_by_its_id_whatever_its_address() -> None:
    tag = device(
        'format = "ibeacon"', point("rssi", "int16"),
        "FDA50693-A4E2-4FB1-AFCF-C6EB07647825/10001/19247",
    )  # fmt: skip
    roll = Roll([ear(tag)])
    data = bytes.fromhex("0215FDA50693A4E24FB1AFCFC6EB0764782527114B2FC5")
    assert roll.advert(Advert("51:00:00:00:00:01", -60, company=((0x4C, data),)), 0)
    other = data[:-3] + b"\x2e" + data[-2:]
    assert roll.advert(Advert("51:00:00:00:00:01", -60, company=((0x4C, other),)), 1) == []
    assert roll.counted()["strangers"] == 1


def test_strangers_are_counted_by_advert_and_about_by_sender() -> None:
    strangers = Strangers()
    for turn in range(3):
        for at in range(250):
            strangers.heard(f"C0:FF:EE:00:{at >> 8:02X}:{at & 255:02X}", turn * S)
    assert strangers.adverts == 750
    assert strangers.senders == pytest.approx(250, rel=0.05)
    # A quiet night: the last window is still told, the one after it is not.
    strangers.heard("C0:FF:EE:00:00:00", WINDOW_US)
    assert strangers.senders == pytest.approx(250, rel=0.05)
    strangers.heard("C0:FF:EE:00:00:00", 2 * WINDOW_US)
    assert strangers.senders == 1


def test_a_square_full_of_phones_does_not_overflow_the_count() -> None:
    strangers = Strangers()
    for at in range(200_000):
        strangers.heard(f"{at:012X}", 0)
    assert strangers.adverts == 200_000
    assert strangers.senders > 50_000


def test_what_was_counted_does_not_fall_when_a_line_is_begun_again() -> None:
    tally, line = Tally(), Counter(adverts=3, replay=1)
    tally.follow(lambda: line)
    tally.strangers.heard("C0:FF:EE:00:00:00", 0)
    assert tally.now() == {"adverts": 3, "replay": 1, "strangers": 1, "stranger_senders": 1}
    tally.keep()
    assert tally.now()["adverts"] == 3
    tally.follow(lambda: {"adverts": 2, "strangers": 1})
    assert tally.now() == {"adverts": 5, "replay": 1, "strangers": 1, "stranger_senders": 1}


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("a4-c1-38-8d-18-b2", "A4:C1:38:8D:18:B2"),
        ("A4C1388D18B2", "A4:C1:38:8D:18:B2"),
        ("fda50693-a4e2-4fb1-afcf-c6eb07647825/1/2", "fda50693a4e24fb1afcfc6eb07647825/1/2"),
        ("0102030405060708090a/0b0c0d0e0f10", "0102030405060708090a/0b0c0d0e0f10"),
        ("fda50693a4e24fb1afcfc6eb07647825/1/65536", ""),
        ("A4:C1:38:8D:18", ""),
        (17, ""),
    ],
)
def test_addresses_are_taken_as_people_write_them(written: str | int, known: str) -> None:
    assert identity_of(written) == known


def test_everything_that_is_wrong_with_a_device_is_told_at_once() -> None:
    wrong = device(
        'format = "bthome layuot"',
        point("a", field="temprature") + point("b", "bcd16", at=0) + point("c", at=0, length=9),
        "not an address",
    )
    with pytest.raises(ProfileError) as caught:
        BleDriver().check(wrong)
    assert {p.code for p in caught.value.problems} == {"HG-3520"}
    told = " ".join(f"{p.where} {p.fields}" for p in caught.value.problems)
    for word in ("not an address", "layuot", 'point "a"', 'point "b"', 'point "c"'):
        assert word in told


def test_a_bind_key_that_is_none_is_told_without_being_said() -> None:
    with pytest.raises(ProfileError) as caught:
        BleDriver().check(unit(bindkey="12345"))
    assert "12345" not in str(caught.value.problems)
    BleDriver().check(unit(bindkey="231d39c1d7cc1ab1aee224cd096db932"))


def test_recorded_frames_of_somebody_else_are_no_reading() -> None:
    with pytest.raises(ProtocolError):
        BleDriver().replay(unit(), [(b"", bytes.fromhex("020106"))])


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 30)), max_size=12), st.booleans())
def test_hostile_adverts_never_raise(frames: list[tuple[bytes, int]], sealed: bool) -> None:
    one = unit(POINTS + point("at_0", "uint16", at=0), 'format = "bthome layout"\ncompany = 1')
    heard = ear(one, KEY if sealed else None)
    now = 0
    for data, later in frames:
        now += later * S
        advert = Advert(MAC, -60, (("fcd2", data),), ((1, data[::-1]),))
        for block in blocks(heard.advert(advert, now)):
            assert len(values(block, one)) >= 1
