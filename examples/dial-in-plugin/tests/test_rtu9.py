"""The RTU-9 against recorded calls, and the contract that every driver keeps."""

import asyncio
from pathlib import Path

import pytest
from acme_rtu9 import RTU9
from acme_rtu9.codec import Codec, Fault, Line, line

from headgate.columns import readings
from headgate.sdk import DevicePoint, DeviceRefused, Point, ProfileError
from headgate.testing import FakeChannel, FakeListener, make_device, run_driver_contract

REPORT = b"$REP,A0017,41,20260715080000,21337,12610*"
REPORT += b"%02X\r\n" % (__import__("functools").reduce(lambda a, b: a ^ b, REPORT[1:-1]))
DEVICE = make_device(
    [
        DevicePoint(Point("water_level", "i32", "m"), {"field": "level_mm"}),
        DevicePoint(Point("battery", "i32", "V"), {"field": "battery_mv"}),
        DevicePoint(Point("gate_opening", "i32", "cm"), {"field": "gate_cm"}),
    ],
    address="A0017",
)


def port(*said: bytes) -> FakeListener:
    return FakeListener([FakeChannel([], incoming=said)])


def test_lines_are_found_behind_noise_and_in_pieces() -> None:
    assert line("REP", "A0017", 41, "20260715080000", 21337, 12610) == REPORT
    codec, found = Codec(), []
    for byte in b"\x00\xff noise\r\n" + REPORT:
        found += codec.feed(bytes([byte]))
    assert [type(each) for each in found] == [Fault, Line]
    (wrong,) = Codec().feed(REPORT.replace(b"21337", b"21338"))
    assert isinstance(wrong, Fault) and wrong.code == "bad_checksum"
    assert Codec().feed(b"x" * 1_000_000)[0] == Fault("truncated", 4096)


def test_it_keeps_the_contract() -> None:
    blocks = asyncio.run(run_driver_contract(RTU9(), DEVICE, port(REPORT[:9], REPORT[9:])))
    (block,) = blocks
    said = {each.point: each.raw for each in readings(block, DEVICE.table)}
    assert said == {"water_level": 21337, "battery": 12610}
    assert block.device_time_us == 1_784_073_600_000_000  # 08:00 in Shanghai


def test_it_is_acknowledged_and_a_stranger_is_not() -> None:
    async def talk(*said: bytes) -> list[bytes]:
        listener = port(*said)

        async def safe() -> None:
            """On disk at once."""

        async for delivery in RTU9().serve(listener, [DEVICE]):
            delivery.bind(safe)
        return listener.channels[0].sent

    assert asyncio.run(talk(REPORT)) == [line("ACK", "A0017", "41")]
    assert asyncio.run(talk(REPORT.replace(b"A0017", b"A0018"))) == []
    assert asyncio.run(talk(line("REP", "A0099", 1, "20260715080000", 1, 1))) == []
    assert asyncio.run(talk(line("REP", "A0017", 1, "20261315080000", 1, 1))) == []


def test_a_gate_is_set_once_and_what_it_did_comes_back() -> None:
    async def set_to(cm: int) -> tuple[object, list[bytes]]:
        driver, channel = RTU9(), FakeChannel([])

        async def answer() -> None:
            while not channel.sent:  # noqa: ASYNC110
                await asyncio.sleep(0)
            did = Line("DID", "A0017", ("gate", str(cm)))
            driver.questions.heard(channel, DEVICE, ("gate",), did)

        answering = asyncio.ensure_future(answer())
        back = await driver.write(channel, DEVICE, "gate_opening", cm)
        await answering
        return back, channel.sent

    assert asyncio.run(set_to(120)) == (120, [line("SET", "A0017", "gate", 120)])
    with pytest.raises(DeviceRefused):
        asyncio.run(RTU9().write(FakeChannel([]), DEVICE, "gate_opening", 501))


def test_a_profile_with_a_field_it_does_not_have_is_refused() -> None:
    with pytest.raises(ProfileError):
        RTU9().check(make_device([DevicePoint(Point("flow", "i32"), {"field": "flow"})]))


def test_the_manifest_and_the_profiles_travel_with_the_code() -> None:
    import acme_rtu9

    folder = Path(acme_rtu9.__file__).parent
    assert (folder / "headgate-plugin.toml").is_file()
    assert (folder / "profiles" / "acme" / "rtu-9" / "profile.toml").is_file()
