"""What the standard has beside common reports: relays, parameters told, slots as words; other makers."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from kit.dialled import Dialled, stored
from kit.dialled import site as site_of

from headgate.columns import readings
from headgate.model import Block
from headgate_drivers.sl651 import settings
from headgate_drivers.sl651.answers import lines
from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Frame, encode
from headgate_drivers.sl651.items import Element, Raw, Slots
from headgate_drivers.sl651.packets import MOST_ITEMS_BYTES, Assembly
from headgate_drivers.sl651.points import looks
from headgate_drivers.sl651.replies import Centre
from headgate_simulators.sl651_stations import wire
from headgate_simulators.sl651_stations.coding import Characters

OWN, OTHER = bytes.fromhex("0060000001"), bytes.fromhex("0060000002")
STRANGER = bytes.fromhex("0060000009")
TIME = bytes.fromhex("260718143005")
OBSERVED = b"\xf0\xf0" + TIME[:5]


def up(function: int, body: bytes, serial: int = 7) -> bytes:
    return wire.up(1, OWN, 0x1234, function, serial.to_bytes(2, "big") + TIME + body)


def level(metres: float) -> bytes:
    return wire.element(0x39, metres, 4, 3)


class Station(Dialled[Frame]):
    """A station's end of a call."""

    codec = Codec


@pytest.mark.timeout(60)
async def test_a_relay_that_reports_several_stations_in_one_body_is_each_stations_own(
    tmp_path: Path, port: int
) -> None:
    stations = {"own": OWN.hex(), "other": OTHER.hex()}
    here = site_of(tmp_path, "sl651", port, stations, "generic/hydrological-station")
    async with here.running() as gateway:
        tables = {each.number: each for each in gateway._field.devices.values()}
        relay = await Station.to(port)
        body = b"".join(
            b"\xf1\xf1" + address + b"\x48" + OBSERVED + level(metres)
            for address, metres in ((OWN, 1.5), (OTHER, 2.5), (STRANGER, 3.5))
        )
        relay.send(up(0x32, body))
        assert (await relay.answer()).function == 0x32  # confirmed once
        status = await here.until(lambda s: s["channels"][0]["tally"].get("refused-stranger"))
        assert status["channels"][0]["strangers"] == [STRANGER.hex()]
        relay.close()
    told = {
        (tables[item.device].id, reading.value)
        for item in here.stored()
        if isinstance(item, Block) and item.columns
        for reading in readings(item, tables[item.device].table)
        if reading.point == "water_level" and reading.value is not None
    }
    assert told == {("own", 1.5), ("other", 2.5)}


@pytest.mark.timeout(60)
async def test_parameters_that_a_station_tells_by_itself_are_kept_before_they_are_confirmed(
    tmp_path: Path, port: int
) -> None:
    here = site_of(tmp_path, "sl651", port, {"own": OWN.hex()}, "generic/hydrological-station")
    async with here.running():
        station = await Station.to(port)
        station.send(up(0x43, b"\xf1\xf1" + OWN + bytes.fromhex("282300010500")))
        assert (await station.answer()).function == 0x43
        station.close()
    rest = [json.loads(str(v)) for p, v, _ in stored(here) if p == "rest"]
    assert rest == [{"parameter.28": "10.5"}]


@pytest.mark.parametrize(
    ("function", "body", "kept"),
    [
        (0xE1, b"\x01\x02\xff", {"function.E1": "0102ff"}),
        (0x32, b"\xf1\xf1" + OWN + b"\x48" + OBSERVED + b"\xfd\xf6\x12\x34", {"FD": "1234"}),
        (0x50, b"\xf1\xf1" + OWN + b"\x00\x07" + bytes(62),
         {"events": ",".join(["7", *["0"] * 31])}),
        (0x4C, b"\xf1\xf1" + OWN + b"\x01\x03", {"pumps": "3"}),
        (0x4E, b"\xf1\xf1" + OWN + b"\x02\x01\x01\x20\x00\x00", {"gate.1": "120", "gate.2": "0"}),
        (0x39, b"\xf2\xf2Q 1", {"text": "Q 1"}),
    ],
)  # fmt: skip
def test_whatever_a_station_tells_is_in_rest_where_no_point_names_it(
    function: int, body: bytes, kept: dict[str, str]
) -> None:
    (frame,) = Codec().feed(up(function, body))
    assert isinstance(frame, Frame)
    assert frame.message is not None
    (seen,) = looks(frame.message, {"rest": "rest"}, frame.function)
    assert json.loads(str(seen.said["rest"][0])) == kept


def test_what_no_point_names_keeps_each_of_several_values() -> None:
    (frame,) = Codec().feed(
        up(0x34, b"\xf1\xf1" + OWN + b"\x48" + OBSERVED + b"\xf4\x60" + bytes(range(12)))
    )
    assert isinstance(frame, Frame)
    assert frame.message is not None
    (seen,) = looks(frame.message, {"rest": "rest"}, frame.function)
    assert str(seen.said["rest"][0]) == json.dumps({"F4": " ".join(str(n / 10) for n in range(12))})


@pytest.mark.parametrize(
    ("code", "each", "words"),
    [
        (0xF4, 1, [f"{n:02X}" for n in (5, 0, 0, 0, 0x14, 0xFF, 0, 0, 0, 0, 0, 0xAC)]),
        (0xF5, 2, [f"{n:04X}" for n in (1049, 1050, 0xFFFF, *[1051] * 9)]),
    ],
)
def test_an_hour_of_slots_in_ascii_is_one_word_or_twelve(
    code: int, each: int, words: list[str]
) -> None:
    write = Characters()
    name = {0xF4: "DRP", 0xF5: "DRZ1"}[code]
    found = []
    for said in ("".join(words), " ".join(words)):
        body = b"0007260718143005" + write.station(OWN, 0x48) + b"TT 2607181430 "
        body += f"{name} {said} VT 12.61 ".encode()
        (frame,) = Codec().feed(write.up(1, OWN, 0x1234, 0x34, body))
        assert isinstance(frame, Frame), frame
        assert frame.message is not None
        slots, volts = frame.message.items[-2:]
        assert isinstance(slots, Slots)
        assert isinstance(volts, Element)
        assert volts.value == 12.61
        found.append((slots.data, slots.values))
    assert found[0] == found[1]
    assert len(found[0][1]) == 12
    assert found[0][0] == bytes.fromhex("".join(words))
    assert each * 12 == len(found[0][0])


@pytest.mark.parametrize(
    ("item", "name", "said", "unit"),
    [
        (Raw(0x01, bytes([5, 0, 0, 0])), "01 中心站地址", "5, 禁用, 禁用, 禁用", ""),
        (Raw(0x02, bytes.fromhex("0011223344")), "02 遥测站地址", "0011223344", ""),
        (Raw(0x03, b"\x12\x34"), "03 密码", "****", ""),
        (Raw(0x04, bytes.fromhex("02218094153172009708")), "04 中心站1主信道类型及地址",
         "IPv4 218.94.153.172:9708", ""),
        (Raw(0x05, bytes.fromhex("01A13012345678")), "05 中心站1备用信道类型及地址",
         "短信 13012345678", ""),
        (Raw(0x07, bytes.fromhex("00")), "07 中心站2备用信道类型及地址", "禁用", ""),
        (Raw(0x06, bytes.fromhex("02999094153172009708")), "06 中心站2主信道类型及地址",
         "IPv4 999094153172009708", ""),  # no address: said as it came
        (Element(0x0C, "02", 0, parameter=True), "0C 工作方式", "2 自报确认", ""),
        (Raw(0x0D, bytes.fromhex("8001000000000000")), "0D 遥测站采集要素设置", "降水量, 水位1", ""),
        (Raw(0x0D, bytes.fromhex("0000100000010001")), "0D 遥测站采集要素设置",
         "闸门开度, 水温, 铅", ""),
        (Raw(0x0D, bytes.fromhex("00000000000000FF01")), "0D 遥测站采集要素设置",
         "A8.D7, A8.D6, A8.D5, A8.D4, A8.D3, 叶绿素a, 铜, 铅, A9.D0", ""),
        (Raw(0x0E, bytes.fromhex("006000000112006000010001")), "0E 中继站(集合转发站)服务地址范围",
         "0060000001 x 12, 0060000100 x 1", ""),
        (Raw(0x0F, b"1013112345678"), "0F 遥测站通信设备识别号", "移动通信卡 013112345678", ""),
        (Element(0x28, "FF001500", 3, parameter=True), "28 水位基值1", -1.5, "m"),
        (Element(0x8D, "000000012500", 3, parameter=True), "8D 流量上限", 12.5, "m3/s"),
    ],
)  # fmt: skip
def test_parameters_of_annex_d_say_what_they_are(
    item: Element | Raw, name: str, said: object, unit: str
) -> None:
    told = settings.told(item)
    assert (told.name, told.value, told.unit) == (name, said, unit)


_VALUES = "39230999999920190000002619000000381224000"
#: Public captures of stations of other makers: values by identifier.
CAPTURED = [
    # Identifiers of annex C's spare range, below zero.
    (
        "7e7e0040590235c2123432002b020002241111102942f1f140590235c25af0f02411111029{}".format(
            "762aff00000172772aff0000002178220000015203bb93"
        ),
        "40590235C2",
        {0x76: -1.72, 0x77: -0.21, 0x78: 1.52},
    ),
    *(
        (
            f"7e7e000010000000c95932002b02{begins}f1f1001000000050f0f0{observed}{_VALUES}{check}",
            "0010000000",
            {0x39: 9999.999, 0x20: 0.0, 0x26: 0.0, 0x38: 24.0},
        )
        for begins, observed, check in (
            ("24f3200314191856", "2003141918", "35e89"), ("230d200314120000", "2003141200", "3db78"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("captured", "address", "told"), CAPTURED)
def test_stations_of_other_makers_are_read(
    captured: str, address: str, told: dict[int, float]
) -> None:
    (frame,) = Codec().feed(bytes.fromhex(captured))
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    elements = [item for item in frame.message.items if isinstance(item, Element)]
    assert (frame.address, {each.code: each.value for each in elements}) == (address, told)
    assert encode(frame).hex() == captured


def packed(function: int, body: bytes, size: int = 4000) -> list[bytes]:
    """A body in packets of mode M3."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    ends = [wire.ETX if number == len(parts) else wire.ETB for number in range(1, len(parts) + 1)]
    return [
        wire.up(1, OWN, 0x1234, function, part, end, (len(parts), number))
        for number, (part, end) in enumerate(zip(parts, ends, strict=True), 1)
    ]


@pytest.mark.timeout(60)
async def test_a_report_of_more_values_than_any_station_has_is_told_and_holds_up_nobody(
    tmp_path: Path, port: int
) -> None:
    head = (7).to_bytes(2, "big") + TIME + b"\xf1\xf1" + OWN + b"\x48" + OBSERVED
    series = head + bytes.fromhex("04180000012008") + b"\x05" * 20_001
    here = site_of(tmp_path, "sl651", port, {"own": OWN.hex()}, "generic/hydrological-station")
    async with here.running():
        station = await Station.to(port)
        station.send(*packed(0x38, series), up(0x32, b"\xf1\xf1" + OWN + b"\x48" + level(1.5)))
        assert (await station.answer()).function == 0x32
        status = await here.status()
        assert status["channels"][0]["tally"]["bad-too_many_values"] == 1
        station.close()


def test_only_a_picture_may_be_longer_than_what_is_read_item_by_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MOST_ITEMS_BYTES == 256 * 1024
    monkeypatch.setattr("headgate_drivers.sl651.packets.MOST_ITEMS_BYTES", 8_000)
    assembly, kept = Assembly(), {}
    for function in (0x36, 0x34):
        codec = Codec()
        for data in packed(function, bytes(20_000)):
            (packet,) = codec.feed(data)
            assert isinstance(packet, Frame)
            assembly.add(packet)
            kept[function] = max(kept.get(function, 0), assembly.size)
    assert kept == {0x36: 16_000, 0x34: 8_000}


HERE, NOW = Centre(5, "0011223344", "03E8"), datetime(2017, 7, 18, 10, 22, 47)  # noqa: DTZ001
THERE = Centre(5, "0011223344", "1234")
BASIC = [0x01, 0x02, 0x03, 0x04, 0x05, 0x0C, 0x0D, 0x0F]
RUNNING = [*range(0x20, 0x29), 0x30, 0x38, 0x40, 0x41]
#: What the centre of another maker says to its stations, byte for byte.
SAID = [
    ("4C800A020000170718102247010105BD2F", HERE.pumps([True], NOW)),
    ("4D800A02000017071810225801010569E9", HERE.valves([True], NOW.replace(second=58))),
    ("4F8009020000170718102321FF05A90F", HERE.quota(NOW.replace(minute=23, second=21), on=True)),
    ("4B800E0200001707181022374520000002000517C7", HERE.set_card(512, NOW.replace(second=37))),
    ("50800802000017071810234405BE1D",
     HERE.ask(Function.ASK_EVENTS, NOW.replace(minute=23, second=44))),
    ("51800802000017071810571005E561",
     HERE.ask(Function.ASK_CLOCK, NOW.replace(minute=57, second=10))),
    ("3A80120200001707181102581F1920192619381239230584B9",
     HERE.elements([0x1F, 0x20, 0x26, 0x38, 0x39], NOW.replace(hour=11, minute=2, second=58))),
    ("418018020000170718101912012002280310040005000C080D400F0005F2E3",
     THERE.read_parameters(BASIC, NOW.replace(minute=19, second=12))),
    ("438022020000170718102034200821082208231024082509260927082823301B381240124112056564",
     THERE.read_parameters(RUNNING, NOW.replace(minute=20, second=34))),
    ("458008020000170718102055056BDF",
     THERE.ask(Function.ASK_VERSION, NOW.replace(minute=20, second=55))),
    ("46800802000017071810210805F8B3",
     THERE.ask(Function.ASK_STATUS, NOW.replace(minute=21, second=8))),
]  # fmt: skip


@pytest.mark.parametrize(("said", "frame"), SAID)
def test_a_question_is_byte_for_byte_what_the_centre_of_another_maker_sends(
    said: str, frame: Frame
) -> None:
    head = f"7E7E{frame.address}{frame.centre:02X}{frame.password}"
    assert encode(frame).hex().upper() == head + said


#: What stations of that maker answer.
ANSWERED = [
    ("4C0011020029170718102248F1F10011223344010103D1B3", [("1", True)]),
    ("4D001102002A170718102257F1F1001122334401010339F7", [("1", True)]),
    ("4E001302002B170718102309F1F100112233440101000203869B", [("1", 2)]),  # centimetres
    ("4F001002002C170718102324F1F10011223344FF0332F5", [("quota", True)]),
]


@pytest.mark.parametrize(("said", "told"), ANSWERED)
def test_the_answer_of_another_makers_station_says_how_things_stand(
    said: str, told: list[tuple[str, object]]
) -> None:
    (frame,) = Codec().feed(bytes.fromhex("7E7E05001122334403E8" + said))
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    assert [(line.name, line.value) for line in lines(frame.message)][: len(told)] == told


def test_event_counters_of_another_makers_station_are_read() -> None:
    counts = "0000000200000000000100" + "00" * 19 + "007100440005" + "00" * 28
    said = f"50004F02002D170718102342F1F10011223344{counts}03"
    raw = bytes.fromhex("7E7E05001122334403E8" + said)
    (frame,) = Codec().feed(raw + wire.crc(raw).to_bytes(2, "big"))
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    told = {line.name: line.value for line in lines(frame.message)}
    assert told["ERC2 参数变更"] == 2
    assert (told["ERC16 发报文"], told["ERC17 收报文"], told["ERC18 发报文出错"]) == (113, 68, 5)


@pytest.mark.parametrize("name", ["pH", "PH"])
def test_the_one_name_with_a_small_letter_is_read_in_capitals_too(name: str) -> None:
    write = Characters()
    body = b"0007260718143005" + write.station(OWN, 0x51) + b"TT 2607181430 "
    (frame,) = Codec().feed(write.up(1, OWN, 0x1234, 0x32, body + f"{name} 7.25 ".encode()))
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    assert [(x.name, x.value) for x in lines(frame.message)] == [("46 pH值", 7.25)]


@pytest.mark.parametrize("name", ["ZT", "45"])
def test_the_state_in_ascii_is_read_by_its_name_and_by_its_hex(name: str) -> None:
    write = Characters()
    body = b"0007260718143005" + write.station(OWN) + f"{name} 00000480 ".encode()
    (frame,) = Codec().feed(write.up(1, OWN, 0x1234, 0x46, body))
    assert isinstance(frame, Frame), frame
    assert frame.message is not None
    told = {line.name: line.value for line in lines(frame.message)}
    assert (told["7 终端箱门状态"], told["10 水泵工作状态"]) == ("关闭", "水泵停机")
