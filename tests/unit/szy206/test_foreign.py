"""Frames and data that others made: stations in the field, and other implementations, each by its source.

`jetlinks`: github hm1212/szy206-protocol. `doorlock`: github LucianQu/DoorLock, a maker's server for SZY
206-2012. `cs12`: another one (com.am.cs12). `thingsboard`: its transport for SZY 206-2016. `iottree`: its
driver for SZY 206-2016. `toolkit`: github wainshine/SL651, written with the text of SL/T 427-2021.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from headgate_drivers.szy206 import layouts
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.crc import crc8
from headgate_drivers.szy206.frames import Afn, Frame, Kind, encode
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.replies import Centre, label_of
from headgate_drivers.szy206.values import label_bytes

STATION = "1101080405"
FRAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "jetlinks-flow": (
        "681A68B35303810D00C00059000000826110000001106000004508090A3516",
        {"flow_1": 5.9, "total_1": 106182.0, "alarm": 0x1001, "state": 0x60},
    ),
    "jetlinks-no-flow": (
        "681568B34406070001C0AAAAAAAAAA004040000000000101E516", {"flow_1": None, "alarm": 0x4000},
    ),
    "thingsboard-flow": (
        "681A68B31237899876C000000000000800000000000000000057172800F116",
        {"flow_1": 0.0, "total_1": 8.0, "label": "28 17:57:00", "edition": "szy206"},
    ),
    "iottree-flow": (
        "681A68B3140431591BC0840500000000000000002020500000001614002D16",
        {"flow_1": 0.584, "total_1": 0.0, "label": "14 16:00:00", "state": 0x50},
    ),
    "toolkit-velocity": (
        "681568B40102030405C05545040020700030151412052600AD16",
        {"velocity_1": 44.555, "alarm": 0x2000, "state": 0x70, "label": "2026-05-12 14:15:30"},
    ),
    "cs12-login": ("680868B0030013130402F04A16", {"link": 0xF0}),
    "doorlock-store": (
        "686A68B21100004200B1210022121602221216" + "9200000000" * 18 + "F416",
        {"kind": "total", "from": "2016-12-22T00", "to": "2016-12-22T02", "number": 1.0}
        | {f"total_{n}": 92.0 for n in range(1, 19)},
    ),
}  # fmt: skip

#: Data of settings (down, before password and label) and of answers (up): what stands in the others' tests.
UP: dict[str, tuple[int, str, dict[str, Any]]] = {
    "toolkit-address": (0x50, "1101080405", {"address": "1101080405"}),
    "toolkit-clock": (0x51, "301514120526", {"clock": "2026-05-12T14:15:30"}),
    "toolkit-mode": (0x52, "01", {"mode": 1.0}),
    "toolkit-reported": (0x53, "010010006000", {"kinds": 1.0, "every_rain": 10.0, "every_level": 60.0}),
    "toolkit-kinds": (0x54, "0500", {"kinds": 5.0}),
    "toolkit-recharge": (0x55, "34120000 7856000080", {"recharge": 1234.0, "remaining": -5678.0}),
    "toolkit-remaining": (0x56, "563412 7856000000", {"remaining_alarm": 123456.0, "remaining": 5678.0}),
    "toolkit-levels": (
        0x57, "500500 1000 9999 00000000",
        {"level_base_1": 5.5, "level_low_1": 0.1, "level_high_1": 99.99, "alarm": 0, "state": 0},
    ),
    "toolkit-level-below": (0x57, "500580 0000 0000 00000000", {"level_base_1": -5.5}),
    "doorlock-levels": (0x57, "500500 1000 9999 0400", {"level_high_1": 99.99, "alarm": 4, "state": None}),
    "toolkit-pressures": (
        0x58, "50000100 00000000 00000000", {"pressure_high_1": 100.5, "pressure_low_1": 0.0},
    ),
    "toolkit-quality-high": (
        0x59, "0500000000 34120000 78560000", {"water_temperature": 123.4, "dissolved_oxygen": 56.78},
    ),
    "toolkit-quality-low": (0x5A, "0500000000 34120000 78560000", {"water_temperature": 123.4}),
    "toolkit-events": (0x5D, "0300 0500" + "0000" * 16, {"events_1": 3.0, "events_2": 5.0, "events_18": 0.0}),
    "toolkit-state": (0x5E, "0500 0100", {"alarm": 5, "state": 1}),
    "toolkit-pumps": (
        0x5F, "DC00 DD00 DE00 0A00 0B00 0C00", {"voltage_a": 220.0, "voltage_c": 222.0, "current_c": 12.0},
    ),
    "doorlock-pumps": (0x5F, "DC DD DE 0A 0B 0C", {"voltage_b": 221.0, "current_a": 10.0}),
    "toolkit-relay-lead": (0x60, "78", {"relay_lead": 120.0}),
    "toolkit-relayed": (0x62, "1101080405 0012345678", {"relayed_1": STATION, "relayed_2": "0012345678"}),
    "toolkit-relay-state": (0x63, "00 0D 3014120526", {"relay_state": 13.0, "switched_1": "3014120526"}),
    "toolkit-flow-limits": (0x64, "5634120000 00000000", {"flow_high_1": 123.456}),
    "toolkit-channels": (
        0x65, "02 01020304050607 AAAA", {"channel": "ipv4 01020304050607", "second_channel": ""},
    ),
    "toolkit-reset": (0x90, "5A", {"done": 1.0}),
    "doorlock-quota-on": (0x32, "5A", {"done": 1.0}),
    "toolkit-cleared": (0x91, "05", {"cleared": 5.0}),
    "toolkit-started": (0x92, "A3", {"number": 3.0, "done": 1.0}),
    "toolkit-modem": (0x94, "A9", {"machine": 169.0}),
    "toolkit-password": (0x96, "3412", {"password": 0x1234}),
    "toolkit-set-kinds": (0xA0, "0202", {"kinds": 514.0}),
    "toolkit-no-address": (0x50, "AAAAAAAAAA", {"address": "AAAAAAAAAA"}),
    "toolkit-no-recharge": (0x55, "AAAAAAAAAAAAAAAAAA", {"recharge": None, "remaining": None}),
    "toolkit-no-levels": (0x57, "AAAAAAAAAAAAAA AAAAAAAA", {"level_base_1": None}),
}  # fmt: skip
DOWN: dict[str, tuple[int, str, dict[str, Any]]] = {
    "toolkit-remaining-alarm": (0x16, "563412", {"remaining_alarm": 123456.0}),
    "toolkit-levels": (0x17, "500500 1000 9999", {"level_base_1": 5.5, "level_high_1": 99.99}),
    "toolkit-pressures": (0x18, "50000100 00000000", {"pressure_high_1": 100.5}),
    "toolkit-quality": (0x19, "0300000000 45230100 89670000", {"water_temperature": 1234.5, "ph": 67.89}),
    "toolkit-total": (0x1B, "9078563412", {"total_1": 1234567890.0}),
    "toolkit-relay-lead": (0x1C, "78", {"relay_lead": 120.0}),
    "toolkit-relayed": (0x1D, "1101080405 0012345678", {"relayed_2": "0012345678"}),
    "toolkit-relay-switch": (0x1E, "1C", {"relay_switch": 28.0}),
    "toolkit-flow-limit": (0x1F, "5634120000", {"flow_high_1": 123.456}),
    "toolkit-flow-below": (0x1F, "00150000F0", {"flow_high_1": -1.5}),
    "toolkit-threshold": (0x20, "01 05 05", {"number": 1.0, "store_every": 5.0, "rain_step": 0.5}),
    "doorlock-threshold": (0x20, "12 0A 00010000", {"number": 2.0, "level_step": 0.1}),
    "toolkit-address": (0x10, "0102030405", {"address": "0102030405"}),
    "toolkit-recharge": (0x15, "34120000", {"recharge": 1234.0}),
    "toolkit-reset": (0x90, "01", {"reset": 1.0}),
    "toolkit-clear": (0x91, "05", {"cleared": 5.0}),
    "toolkit-pump": (0x92, "03", {"number": 3.0, "what": "pump"}),
    "toolkit-valve": (0x92, "F3", {"number": 3.0, "what": "valve"}),
    "toolkit-close": (0x93, "FF", {"number": 15.0, "what": "valve"}),
    "toolkit-modem": (0x94, "A9", {"machine": 169.0}),
    "toolkit-password": (0x96, "3412", {"password": 0x1234}),
    "toolkit-kinds": (0xA0, "0202", {"kinds": 514.0}),
    "toolkit-reported": (0xA1, "010010006000", {"every_rain": 10.0, "every_level": 60.0}),
    "toolkit-channel": (0xA2, "02 01020304050607 AAAA", {"channel": "ipv4 01020304050607"}),
    "doorlock-quota": (0x34, "9078563412", {"quota": 1234567890.0}),
    "doorlock-card-on": (0x30, "", {}),
}  # fmt: skip


def told(frame: Frame) -> dict[str, Any]:
    message = frame.message
    assert message is not None
    return {
        **{each.name: each.value for each in message.values},
        **dict(message.texts),
        "alarm": message.alarm, "state": message.state, "link": message.link,
        "edition": message.edition, "label": shown(message),
    }  # fmt: skip


def shown(message: Message) -> str:
    label = message.label
    if label is None:
        return ""
    if label.at is not None:
        return str(label.at)
    return f"{label.day:02d} {label.hour:02d}:{label.minute:02d}:{label.second:02d}"


def one(raw: bytes) -> Frame:
    (frame,) = Codec().feed(raw)
    assert isinstance(frame, Frame), frame
    assert encode(frame) == raw
    return frame


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_others_says_what_its_source_says(name: str) -> None:
    hexed, wanted = FRAMES[name]
    found = told(one(bytes.fromhex(hexed)))
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", UP)
def test_an_answer_says_what_its_source_says(name: str) -> None:
    afn, hexed, wanted = UP[name]
    frame = one(encode(Frame(True, 3, Kind.ACK, STATION, afn, bytes.fromhex(hexed))))
    found = told(frame)
    assert {key: found[key] for key in wanted} == wanted
    assert frame.message is not None
    assert frame.message.label is None


@pytest.mark.parametrize("long_label", [True, False], ids=["slt427", "szy206"])
@pytest.mark.parametrize("name", DOWN)
def test_a_setting_is_read_before_its_password_and_either_label(
    name: str, long_label: bool
) -> None:
    afn, hexed, wanted = DOWN[name]
    at = datetime(2026, 7, 18, 14, 30)  # noqa: DTZ001
    data = bytes.fromhex(hexed)
    frame = one(encode(Centre(STATION, "1234", long_label=long_label).command(afn, data, at)))
    found = told(frame)
    if not long_label and afn == Afn.SET_PRESSURE_LIMITS:  # SZY 206 says the lower one first
        wanted = {"pressure_low_1": 100.5}
    assert {key: found[key] for key in wanted} == wanted
    message = frame.message
    assert message is not None
    assert (message.password, message.raw) == ("1234", data)
    assert message.label is not None
    assert label_bytes(message.label) == label_bytes(label_of(at, long=long_label))


@pytest.mark.parametrize("name", DOWN)
def test_what_is_read_by_a_plain_layout_is_written_again(name: str) -> None:
    afn, hexed, _ = DOWN[name]
    if afn not in layouts.LAYOUTS:
        return
    data = bytes.fromhex(hexed)
    found = layouts.read(layouts.LAYOUTS[afn], data, "slt427", up=False)
    assert found is not None
    said: dict[str, float | str | None] = {each.name: each.value for each in found.values}
    if afn == Afn.SET_FLOW_LIMITS and found.values[0].unit == "m3/h":
        return  # a unit is no number
    assert layouts.write(afn, said | dict(found.texts), "slt427") == data


def test_a_picture_of_others_is_one_frame_with_its_bytes() -> None:
    """`jetlinks`: the first of 42 parts, L counts thousands of bytes."""
    raw = bytes.fromhex("680168F02A4406070001610004") + bytes(1024)
    body = raw[3:]
    frame = one(raw + bytes([crc8(body), 0x16]))
    assert (frame.picture, frame.parts, frame.afn, len(frame.data)) == (True, 42, 0x61, 1024)


def test_the_check_of_others_is_ours() -> None:
    """`toolkit`: three bytes, without a frame around them."""
    assert crc8(b"\x00\x01\x02") == 0xA6


#: What a terminal's own program for SZY 206 answers (`tcp_socket`, a Qt program for a flow station).
TERMINAL: dict[str, tuple[int, str, dict[str, Any]]] = {
    "levels": (0x57, "000010 0010 0020 0400",
               {"level_base_1": 1000.0, "level_low_1": 10.0, "level_high_1": 20.0, "alarm": 4}),
    "flows": (0x64, "5608000000 0800", {"flow_high_1": 0.856, "alarm": 8, "state": None}),
    "state": (0x5E, "0400 2000", {"alarm": 4, "state": 0x20}),
    "clock, a Tuesday": (0x51, "301514124526", {"clock": "2026-05-12T14:15:30"}),
    "clock set, and what it was told": (0x11, "301514124526 8050 3015141200",
                                        {"clock": "2026-05-12T14:15:30", "label": "12 14:15:30"}),
    "mode set": (0x12, "01 8050 3015141200", {"mode": 1.0, "label": "12 14:15:30"}),
    "levels set": (0x17, "000010 0010 0020 8050 3015141200",
                   {"level_high_1": 20.0, "label": "12 14:15:30"}),
    "reports": (0x53, "0600" + "0000" + "0500" * 2 + "0000" * 11,
                {"kinds": 6.0, "every_rain": 0.0, "every_level": 5.0, "every_flow": 5.0}),
    "an hour of rain": (0xB1, "00 08120526 08120526" + "050000" * 12,
                        {"kind": "rain", "from": "2026-05-12T08", "number": 0.0, "rain_12": 0.5}),
    "an hour of levels": (0xB1, "10 08120526 08120526" + "10320400" * 11 + "100000F0",
                          {"kind": "level", "level_1": 43.21, "level_12": -0.01}),
    "cards on": (0x30, "5A", {"done": 1.0}),
    "threshold": (0x20, "1105 10000000", {"level_step": 0.01, "store_every": 5.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", TERMINAL)
def test_a_terminal_in_the_field_is_read_as_it_means_it(name: str) -> None:
    afn, hexed, wanted = TERMINAL[name]
    found = told(one(encode(Frame(True, 3, Kind.ACK, STATION, afn, bytes.fromhex(hexed)))))
    assert {key: found[key] for key in wanted} == wanted
