"""MiBeacon frames of more devices, recorded by others.

Every one stands in the tests of github:custom-components/ble_monitor (test_xiaomi_parser.py) with
the values expected here; none of them is among the vectors.
"""

from __future__ import annotations

from typing import Any

import pytest

from headgate_drivers.ble.codec import FORMATS, advert_of

# fmt: off
RECORDED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "cgdk2": (
        "043e2a02010000892012342d581e0201061a1695fe58586f0607892012342d585f176dd54f0200002fa453faaf",
        "a3bfe9853dd85a620debe3620caaa351",
        {"temperature": 22.6},
    ),
    "lywsd03mmc": (
        "043e22020100004c94b438c1a416151695fe50305b05034c94b438c1a40d10041001ea01cf",
        "",
        {"temperature": 27.2, "humidity": 49.0},
    ),
    "xmwsdj04mmc": (
        "043e260201000004702565112c1a020106161695fe48590312a41b776e7c96add7000000f2bf545bce",
        "b2cf9a553d53571b5657defd582d676e",
        {"humidity": 45.0},
    ),
    "jtyjgd03mi_press": (
        "043e2b02010000bc9ce344ef541f0201061b1695fe5859970964bc9ce344ef5422206088fd000000003a148fb3cb",
        "5b51a7c91cde6707c9ef18dfda143a58",
        {"button": "single press"},
    ),
    "gcls002": (
        "043e28020100003e596d8d7cc41c020106030295fe141695fe7120bc03cd3e596d8d7cc40d0410023c01a8",
        "",
        {"temperature": 31.6},
    ),
    "ps1bb": (
        "043e26020100009bd60f38c1a41a020106161695fe48594c3f21f4957fb405c9cf040000d8252537cc",
        "9b4441bc2505db3c3484bae6b7631b34",
        {"pressure_present_duration": 7800},
    ),
    "mjwsd06mmc": (
        "043e290201000107158038c1a41d020106191695fe5859b5553407158038c1a4bcc732980e000066960f10c6",
        "4d8f1373fb4d3bab557d0ebd1c78f8c4",
        {"humidity": 39},
    ),
    "mue4094rt": (
        "043e1c020102010c39b2e870de100201060c1695fe4030dd032403000101c6",
        "",
        {"motion": 1, "motion_timer": 1},
    ),
    "mmc_w505": (
        "043e4a02010201dbab531824d03e02010603020918151695fe702291030fdbab531824d0090a0002750d0709094d4d432d573530350000000000000000000000000000000000000000000000c6",
        "",
        {"temperature": 34.45},
    ),
    "linptech_m1sbb_4a12": (
        "043e290201030067e56638c1a41d020106191695fe585989189a67e56638c1a49dd97af3260000c8a60bd5de",
        "0fdcc30fe9289254876b5ef7c11ef1f0",
        {"opening": 1},
    ),
    "xmznms08lm_door": (
        "043e270201000198be447389ee1b020106171695fe4855390e339c71c0241fffee8053000002b4c539c0",
        "2c3795afa33019a8afdc17ba99e6f217",
        {"door": 0, "door_action": "close the door"},
    ),
    "linptech_hs1bb_battery": (
        "043e2902010001e98e0538c1a41d020106191695fe5859eb2a9ee98e0538c1a4d07ad3e338000033635d10c6",
        "7475a4a77584401780ffc3ee62dd353c",
        {"battery": 100},
    ),
    "linptech_hs1bb_no_motion": (
        "043e2a02010001e98e0538c1a41e0201061a1695fe5859eb2ac1e98e0538c1a40759530f8d380000b77a70f8c6",
        "7475a4a77584401780ffc3ee62dd353c",
        {"motion": 0, "no_motion_time": 60},
    ),
    "linptech_es3_illuminance": (
        "043e260201000176c3c738c1a41a020106161695fe4859fb50d986d27e8f5313e900000030ad6da8c6",
        "b26295a7a08fbac306c8706ade7f0fe4",
        {"illuminance": 173.0},
    ),
    "linptech_es3_occupancy": (
        "043e290201000176c3c738c1a41d020106191695fe5859fb50da76c3c738c1a4aabc4c16000000c60c1646c6",
        "b26295a7a08fbac306c8706ade7f0fe4",
        {"occupancy": 1},
    ),
    "linptech_es3_data_only_motion_clear": (
        "043e29020100018a88a438c1a41d020106191695fe5859fb50328a88a438c1a4458a85b796000048fe13bac6",
        "fb352ea2139ab095877a9e2ae600c912",
        {"occupancy": 0},
    ),
    "mjznz018h_bed_occupancy": (
        "043e29020100007b37d6d1b5cc1d020106191695fe5859db20177b37d6d1b5cc86f2d4ce0200002b6ba459cc",
        "13f072b8c8469f54ac2c333ee746d771",
        {"bed_occupancy": 0},
    ),
    "mjznz018h_double_click": (
        "043e29020100007b37d6d1b5cc1d020106191695fe5859db20b57b37d6d1b5cceeac2cf2030000af66e6b0cc",
        "13f072b8c8469f54ac2c333ee746d771",
        {"button": "double press"},
    ),
    "mjznz018h_battery": (
        "043e29020100007b37d6d1b5cc1d020106191695fe5859db200a7b37d6d1b5cce79fcf95020000a0e4f773cc",
        "13f072b8c8469f54ac2c333ee746d771",
        {"battery": 76},
    ),
    "xmwxkg01lm_single_click": (
        "043e28020100000d692a3cc2181c020106181695fe58598723ff0d692a3cc21876d7a70800006024e757c0",
        "c533a5ab361b0a24de4d21d1d9a3d8a1",
        {"button": "single press"},
    ),
    "xmwxkg01lm_double_click": (
        "043e28020100000d692a3cc2181c020106181695fe58598723010d692a3cc218f397dd09000079826b9dc0",
        "c533a5ab361b0a24de4d21d1d9a3d8a1",
        {"button": "double press"},
    ),
    "xmwxkg01lm_long_click": (
        "043e28020100000d692a3cc2181c020106181695fe58598723030d692a3cc218258824090000a360b8a1c0",
        "c533a5ab361b0a24de4d21d1d9a3d8a1",
        {"button": "long press"},
    ),
    "ptx": (
        "043e2802010000adb9a538c1a41c020106181695fe5859bb3804adb9a538c1a4dc10b50400002c122fb6cc",
        "a74510b40386d35ae6227a7451efc76e",
        {"button": "single press"},
    ),
    "xmpiro2sxs": (
        "043e260201000043ea2d958edc1a020106161695fe485931350b64799117331ef4020000c5d2f6accc",
        "685d647dc5e7bc9bcfcf5a1357bd2114",
        {"motion": 1, "motion_timer": 1, "illuminance": 51.0},
    ),
}
# fmt: on


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_frame_tells_what_its_source_says(name: str) -> None:
    hci, key, expected = RECORDED[name]
    event = bytes.fromhex(hci)
    address = ":".join(f"{byte:02X}" for byte in event[12:6:-1])
    advert = advert_of(event[14 : 14 + event[13]], address, 0)

    frames = list(FORMATS["mibeacon"].frames(advert, bytes.fromhex(key) if key else None))

    assert [frame.fault for frame in frames] == [None]
    told = {field.name: field.value for field in frames[0].fields}
    assert {name: told.get(name) for name in expected} == pytest.approx(expected)
    if key:
        (wrong,) = FORMATS["mibeacon"].frames(advert, bytes(16))
        assert wrong.fault == "bad_checksum"
        assert not wrong.fields
