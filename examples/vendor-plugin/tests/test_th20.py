"""The TH-20 against a recorded exchange, and the contract that every driver keeps."""

import asyncio
from pathlib import Path

import pytest
from acme_th20 import TH20
from acme_th20.codec import Replies, parse, poll

from headgate.sdk import DevicePoint, Point, ProfileError, ProtocolError
from headgate.testing import FakeChannel, make_device, run_driver_contract

POLL = bytes.fromhex("07 10 17")
REPLY = bytes.fromhex("07 10 ff 9c 02 58 0c")  # -10.0 degrees, 60.0 %

DEVICE = make_device(
    [
        DevicePoint(Point("air_temperature", "i16", "Cel"), {"field": "temperature"}),
        DevicePoint(Point("relative_humidity", "u16", "%"), {"field": "humidity"}),
    ],
    address=7,
)


def test_the_example_of_the_manual() -> None:
    assert poll(7) == POLL
    assert parse(REPLY) == {"temperature": -100, "humidity": 600}


def test_a_reply_is_found_behind_noise_and_a_broken_one_is_not_taken() -> None:
    buffer = bytearray(b"\x07\x10\x00" + REPLY)
    frame = Replies().next(buffer)
    assert frame is not None
    assert frame == (7, REPLY)
    assert Replies().next(bytearray(REPLY[:-1] + b"\x0d")) is None
    with pytest.raises(ProtocolError):
        parse(REPLY[:-1])


def test_it_keeps_the_contract() -> None:
    (block,) = asyncio.run(run_driver_contract(TH20(), DEVICE, FakeChannel([(POLL, REPLY)])))
    assert block.columns == (b"\xff\x9c", b"\x02\x58")


def test_a_profile_with_a_field_it_does_not_have_is_refused() -> None:
    wrong = make_device([DevicePoint(Point("dew_point", "i16"), {"field": "dew"})])
    with pytest.raises(ProfileError):
        TH20().plan(wrong)


def test_the_manifest_and_the_profiles_travel_with_the_code() -> None:
    import acme_th20

    folder = Path(acme_th20.__file__).parent
    assert (folder / "headgate-plugin.toml").is_file()
    assert (folder / "profiles" / "acme" / "th-20" / "profile.toml").is_file()
