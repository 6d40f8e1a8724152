"""What a profile may say of frames, points and requests, and how it is told what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.columns import readings
from headgate.errors import ProfileError
from headgate.messages import render_problem
from headgate.profiles.decode import decode
from headgate.sdk import Device, DevicePoint, Point, Quality, Status
from headgate.testing.devices import make_device
from headgate_drivers.serial import PolledSerialDriver, SerialDriver
from headgate_drivers.serial.checksum import ALGORITHMS
from headgate_drivers.serial.codec import Check, Number
from headgate_drivers.serial.rules import template

Frame = dict[str, str | int | float | bool]


def device(frame: Frame, *points: tuple[str, dict[str, Any]], address: str | int = 1) -> Device:
    """Points as (column type, source)."""
    held = [
        DevicePoint(Point(f"p{at}", kind), {"type": _TYPES.get(kind, kind), **source})  # type: ignore[arg-type]
        for at, (kind, source) in enumerate(points)
    ]
    return make_device(
        held, address=address, quirks={f"frame.{key}": value for key, value in frame.items()}
    )


_TYPES = {
    "u16": "uint16", "i16": "int16", "u32": "uint32", "i32": "int32", "u64": "uint64",
    "f32": "float32", "f64": "float64",
}  # fmt: skip
LINE: Frame = {"start": "#", "end": "\n", "separator": ","}
BINARY: Frame = {"start": "hex:AA", "size": 10, "check": "sum8"}


def heard(made: Device, said: bytes) -> list[tuple[Any, int]]:
    """(value, status) of each point."""
    block = SerialDriver().replay(made, [(b"", said)])
    return [(r.value, r.status >> 8) for r in readings(block, made.table)]


def binary(body: str) -> bytes:
    frame = b"\xaa" + bytes.fromhex(body)
    return frame + bytes([sum(frame) & 0xFF])


@pytest.mark.parametrize(
    ("kind", "source", "value"),
    [
        ("u16", {"at": 1}, 0x0102),
        ("u16", {"at": 1, "order": "little"}, 0x0201),
        ("u16", {"at": 8, "size": 1}, 0xF8),
        ("i16", {"at": 8, "size": 1}, -8),
        ("u16", {"at": -2, "size": 1}, 0xF8),
        ("i32", {"at": 1, "size": 3}, 0x010203),
        ("u32", {"at": 1, "order": "CDAB"}, 0x03040102),
        ("u32", {"at": 1, "order": "BADC"}, 0x02010403),
        ("f32", {"at": 5, "size": 4}, pytest.approx(0.0, abs=1e30)),
        ("bool", {"at": 8, "bit": 3}, True),
        ("bool", {"at": 8, "bit": 0}, False),
        ("u16", {"at": 1, "size": 2, "encoding": "bcd"}, 102),
        ("u32", {"at": 1, "encoding": "bcd", "order": "little"}, 4030201),
    ],
)
def test_a_binary_value_is_read_as_it_is_written(
    kind: str, source: dict[str, Any], value: object
) -> None:
    made = device(BINARY, (kind, source))
    assert heard(made, binary("01 02 03 04 05 06 07 F8")) == [(value, 0)]


@pytest.mark.parametrize(
    ("kind", "source", "text", "value"),
    [
        ("f64", {"field": 0}, "1.250", 1.25),
        ("f64", {"field": 0}, " +1.25 ", 1.25),
        ("f64", {"field": 0}, "-.5e1", -5.0),
        ("i16", {"field": 0}, "-012", -12),
        ("f64", {"field": 0, "prefix": "T=", "suffix": "C"}, "T=21.5C", 21.5),
        ("f64", {"prefix": "H="}, "T=21.5,H=40", 40.0),
        ("f64", {"field": -1}, "1,2,3", 3.0),
        ("bool", {"field": 0, "is": "O"}, "O", True),
        ("bool", {"field": 0, "is": "O"}, "C", False),
        ("bool", {"field": 0}, "1", True),
        ("text", {"field": 0}, "v2.1 ", "v2.1"),
        ("u16", {"field": 0, "encoding": "hex"}, "00FF", 255),
        ("i16", {"field": 0, "encoding": "hex"}, "FFFE", -2),
        ("f64", {"at": 3, "size": 4, "encoding": "ascii"}, "L=1.25m", 1.25),
    ],
)
def test_a_value_in_text_is_read_as_it_is_written(
    kind: str, source: dict[str, Any], text: str, value: object
) -> None:
    assert heard(device(LINE, (kind, source)), f"#{text}\r\n".encode()) == [(value, 0)]


@pytest.mark.parametrize(
    ("source", "text", "status"),
    [
        ({"field": 0}, "", Status.SENTINEL),
        ({"field": 0, "no_value": "---|ERR"}, "ERR", Status.SENTINEL),
        ({"field": 0, "no_value": "---", "prefix": "T="}, "T=---", Status.SENTINEL),
        ({"field": 0}, "1_000", Status.MALFORMED),
        ({"field": 0}, "nan", Status.MALFORMED),
        ({"field": 0}, "0x10", Status.MALFORMED),
        ({"field": 0}, "1" * 40, Status.MALFORMED),
        ({"field": 0}, "9e999", Status.MALFORMED),
        ({"field": 3}, "1,2", Status.MALFORMED),
        ({"prefix": "H="}, "T=1", Status.MALFORMED),
        ({"field": 0, "valid_field": 1}, "1,V", Status.DEVICE_FAULT),
        ({"field": 0, "encoding": "hex"}, "XYZ", Status.MALFORMED),
    ],
)
def test_what_is_no_value_is_bad_and_says_why(
    source: dict[str, Any], text: str, status: Status
) -> None:
    made = device(LINE, ("f32", source))
    ((value, said),) = heard(made, f"#{text}\r\n".encode())
    assert (value, Status(said)) == (None, status)


def test_a_number_that_does_not_fit_its_column_is_no_value() -> None:
    assert heard(device(LINE, ("u16", {"field": 0})), b"#70000\n") == [(None, Status.MALFORMED)]
    assert heard(device(LINE, ("u16", {"field": 0})), b"#-1\n") == [(None, Status.MALFORMED)]


def test_a_bcd_digit_above_nine_is_no_value() -> None:
    made = device(BINARY, ("u16", {"at": 1, "size": 1, "encoding": "bcd"}))
    assert heard(made, binary("1A 00 00 00 00 00 00 00")) == [(None, Status.MALFORMED)]


def test_of_two_units_on_a_line_each_hears_its_own() -> None:
    frame: Frame = {**LINE, "address_field": 0}
    said = b"#01,5\n#02,6\n"
    assert heard(device(frame, ("u16", {"field": 1}), address=1), said) == [(5, 0)]
    assert heard(device(frame, ("u16", {"field": 1}), address="02"), said) == [(6, 0)]
    assert heard(device(frame, ("u16", {"field": 1}), address=3), said) == [
        (None, Status.NO_ANSWER)
    ]


def test_a_sentence_of_any_talker_but_no_other() -> None:
    frame: Frame = {"dialect": "nmea0183", "check_required": False}
    made = device(frame, ("u16", {"field": 1, "sentence": "MWV"}))
    assert heard(made, b"$IIMWV,7\r\n") == [(7, 0)]
    assert heard(made, b"$PXMWV,7\r\n") == [(None, Status.NO_ANSWER)]
    own = device(frame, ("u16", {"field": 1, "sentence": "PHG"}))
    assert heard(own, b"$PHG,7\r\n") == [(7, 0)]


@pytest.mark.parametrize(
    ("text", "address", "sent"),
    [
        ("#{address:02d}R\r", 7, b"#07R\r"),
        ("{address:02X}?", 200, b"C8?"),
        ("${address}{check}\n", "AB", b"$AB03\n"),
        ("hex:AA {address} 01 {check} 0D", 2, b"\xaa\x02\x01\x03\x0d"),
    ],
)
def test_a_request_is_filled_in(text: str, address: str | int, sent: bytes) -> None:
    check = Check(ALGORITHMS["xor8"], Number(-2, 2, "hex"), begin=1)
    if text.startswith("hex:"):
        check = Check(ALGORITHMS["xor8"], Number(-1), begin=1)
    assert template(text, address, None, check) == sent


@pytest.mark.parametrize(
    ("frame", "key"),
    [
        ({}, "end"),
        ({"end": "\n", "chek": "xor8"}, "chek"),
        ({"end": "\n", "check": "crc-16"}, "check"),
        ({"end": "\n", "check": "crc16"}, "crc_poly"),
        ({"end": "\n", "check": "xor8", "crc_init": 1}, "crc_init"),
        ({"size": 9}, "size"),
        ({"start": "#", "length_at": 1}, "length_at"),
        ({"start": "hex:ZZ", "end": "\n"}, "start"),
        ({"end": "\n", "longest": 9999}, "longest"),
        ({"end": "\n", "size": 5, "start": "a", "length_at": 1, "check": "xor8"}, "size"),
        ({"end": "\n", "address_field": 0}, "address_field"),
        ({"end": "\n", "dialect": "nmea"}, "dialect"),
        ({"end": "\n", "check": 5}, "check"),
        ({"end": "\n", "check": "xor8", "check_required": "no"}, "check_required"),
    ],
)
def test_a_frame_that_cannot_be_is_told_with_its_key(frame: Frame, key: str) -> None:
    made = device(frame, ("u16", {"at": 0, "size": 1}))
    with pytest.raises(ProfileError) as wrong:
        SerialDriver().check(made)
    assert key in {problem.fields["key"] for problem in wrong.value.problems}
    for problem in wrong.value.problems:
        assert key in render_problem(problem, "en")


@pytest.mark.parametrize(
    ("kind", "source", "key"),
    [
        ("u16", {}, "at"),
        ("u16", {"at": 0, "field": 1}, "at"),
        ("u16", {"at": 0, "order": "middle"}, "order"),
        ("f32", {"at": 0, "size": 3}, "size"),
        ("u64", {"at": 0, "size": 9}, "size"),
        ("text", {"at": 0}, "size"),
        ("u16", {"at": 0, "bit": 16}, "bit"),
        ("u16", {"at": 0, "encoding": "morse"}, "encoding"),
        ("u16", {"field": 0, "request": "?"}, "request"),
    ],
)
def test_a_point_that_cannot_be_is_told_with_its_key(
    kind: str, source: dict[str, Any], key: str
) -> None:
    with pytest.raises(ProfileError) as wrong:
        SerialDriver().check(device(LINE, (kind, source)))
    assert [problem.fields["key"] for problem in wrong.value.problems] == [key]


def test_who_is_asked_needs_a_request_and_an_address_that_fits() -> None:
    with pytest.raises(ProfileError) as wrong:
        PolledSerialDriver().plan(device(LINE, ("u16", {"field": 0})))
    assert [p.fields["key"] for p in wrong.value.problems] == ["request"]
    frame: Frame = {**BINARY, "address_at": 1, "request": "hex:AA {address} {check}"}
    with pytest.raises(ProfileError) as wrong:
        PolledSerialDriver().plan(device(frame, ("u16", {"at": 2}), address=256))
    assert [p.fields["key"] for p in wrong.value.problems] == ["address"]


def test_a_variant_changes_the_frame_key_by_key() -> None:
    text = """
schema = 1
vendor = "acme"
model = "x"
driver = "serial"
[frame]
end = "\\n"
separator = ","
[[point]]
name = "a"
type = "float64"
field = 0
[[variant]]
name = "old"
firmware = { below = "2" }
[[variant]]
name = "new"
firmware = { from = "2" }
when_unknown = true
[variant.frame]
separator = ";"
"""
    decoded = decode(text.encode(), "x.toml", {"serial": SerialDriver.point_keys})
    assert decoded.problems == ()
    assert decoded.profile is not None
    assert [v.quirks["frame.separator"] for v in decoded.profile.variants] == [",", ";"]
    assert {v.quirks["frame.end"] for v in decoded.profile.variants} == {"\n"}


def test_a_frame_may_hold_no_lists() -> None:
    decoded = decode(
        b'schema = 1\nvendor = "a"\nmodel = "b"\ndriver = "serial"\n[frame]\nend = [1]\n', "x"
    )
    assert "HG-8007" in [problem.code for problem in decoded.problems]


def test_a_block_speaks_of_the_points_of_its_sentence_alone() -> None:
    frame: Frame = {"dialect": "nmea0183", "check_required": False}
    made = device(
        frame, ("f64", {"field": 1, "sentence": "MWV"}), ("f64", {"field": 1, "sentence": "XDR"})
    )
    block = SerialDriver().replay(made, [(b"", b"$WIMWV,1\r\n")])
    assert block.quality == bytes([Quality.GOOD, Quality.BAD])
