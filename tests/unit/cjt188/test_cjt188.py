"""CJ/T 188 against published frames, and meters that lie, refuse and keep silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import readings
from headgate.errors import ChannelTimeout, DeviceRefused, ProfileError, ProtocolError
from headgate.sdk import Device, DevicePoint, Point
from headgate.testing.channel import FakeChannel
from headgate.testing.devices import make_device
from headgate_drivers.cjt188 import Cjt188Driver
from headgate_drivers.cjt188.codec import LONGEST, Telegrams, read, volumes, write

PATH = Path(__file__).parents[2] / "vectors" / "protocols" / "cjt188.json"
VECTORS: list[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))["vectors"]
VALID = [v for v in VECTORS if v["kind"] == "valid"]
BROKEN = [v for v in VECTORS if v["kind"] == "broken"]


def fields(vector: dict[str, Any]) -> dict[str, Any]:
    return {field["field"]: field["value"] for field in vector["fields"]}


def frame(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["hex"])


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_a_published_frame_is_read(vector: dict[str, Any]) -> None:
    buffer = bytearray(frame(vector))
    found = Telegrams().next(buffer)
    assert found is not None
    assert not buffer
    telegram = read(found.payload)
    assert telegram is not None
    told = fields(vector)
    assert f"{telegram.type:02X}" == told["type"]
    assert telegram.address == told["address"] == found.key
    assert f"{telegram.control:02X}" == told["control"]
    if "settlement_day_total" in told:
        meter = volumes(telegram.data)
        assert meter is not None
        assert meter.total_m3 == told["current_total"]
        assert meter.settlement_m3 == told["settlement_day_total"]
        assert f"{meter.status:04X}" == told["status"]


@pytest.mark.parametrize("vector", BROKEN, ids=lambda v: v["name"])
def test_a_broken_frame_brings_no_value(vector: dict[str, Any]) -> None:
    framing = Telegrams()
    found = framing.next(bytearray(frame(vector)))
    if vector["expected_error"] == "bad_field":
        assert found is not None
        meter = volumes(read(found.payload).data)  # type: ignore[union-attr]
        assert meter is not None
        assert (meter.total_m3, meter.settlement_m3) == (None, None)
    else:
        assert found is None
        assert bool(framing.damaged) is (vector["expected_error"] != "truncated")


def test_a_published_request_is_what_we_send() -> None:
    asked = [v for v in VALID if fields(v)["control"] == "01"]
    assert asked
    for vector in asked:
        told = fields(vector)
        data = bytes.fromhex(told["DI_wire"]) + bytes([told.get("serial", 0)])
        assert write(int(told["type"], 16), told["address"], 1, data) == frame(vector)


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_whatever_comes_nothing_is_raised_and_little_is_kept(pieces: list[bytes]) -> None:
    framing, buffer = Telegrams(), bytearray()
    for piece in pieces:
        buffer += piece
        while framing.next(buffer) is not None:
            pass
        assert len(buffer) <= LONGEST


@given(st.binary(max_size=40))
def test_after_noise_the_telegram_is_found(noise: bytes) -> None:
    whole = frame(VALID[2])
    framing, buffer = Telegrams(), bytearray(noise + whole + whole)
    found = []
    while (one := framing.next(buffer)) is not None:
        found.append(one)
    # A sum of eight bits cannot tell everything: noise that adds up may swallow a telegram. What it
    # makes then is longer than the noise alone and has another meter's address, which is not asked for.
    if whole not in [one.payload for one in found]:
        address = fields(VALID[2])["address"]
        assert found
        assert all(one.key != address for one in found)


# ---------------------------------------------------------------- the driver

ADDRESS = "00924040000018"
SAID = frame(next(v for v in VALID if fields(v)["address"] == ADDRESS))


def meter(address: str | int = ADDRESS, **quirks: Any) -> Device:
    columns = {"total": "f64", "settlement": "f64", "valve_closed": "bool", "battery_low": "bool"}
    points = [DevicePoint(Point(item, kind), {"item": item}) for item, kind in columns.items()]  # type: ignore[arg-type]
    return make_device(points, address=address, quirks=quirks)


async def look(answer: bytes | None, device: Device | None = None) -> dict[str, object]:
    device = device or meter()
    driver = Cjt188Driver()
    plan = driver.plan(device)
    line = FakeChannel([(plan.request, answer), (plan.request, answer)])
    block = await driver.read(line, device, plan)
    return {r.point: r.value for r in readings(block, device.table)}


async def test_a_meter_tells_its_volumes() -> None:
    # Status 0023: the maker's byte is second, valve and battery are in the first.
    assert await look(b"\xfe\xfe" + SAID) == {
        "total": 0.29, "settlement": 0.29, "valve_closed": False, "battery_low": False,
    }  # fmt: skip


async def test_the_identifier_goes_out_as_the_meter_wants_it() -> None:
    assert b"\x1f\x90" in Cjt188Driver().plan(meter()).request
    assert b"\x90\x1f" in Cjt188Driver().plan(meter(identifier="901F")).request


async def test_another_meter_s_answer_is_not_taken() -> None:
    with pytest.raises(ChannelTimeout):
        await look(frame(VALID[2]))


async def test_several_meters_on_one_pair_are_each_read_as_themselves() -> None:
    # Every meter hears every request; each answers its own address, one of them late.
    water = [fields(v) | {"said": frame(v)} for v in VALID]
    water = [v for v in water if (v["type"], v["control"]) == ("10", "81")]
    told = {str(v["address"]): v["said"] for v in water}
    assert len(told) > 5
    driver = Cjt188Driver()
    plans = {address: driver.plan(meter(address)) for address in told}
    assert len({plan.request for plan in plans.values()}) == len(told)
    late = b""
    for address, plan in plans.items():
        # What the one before said once more stands before the answer that was asked for.
        line = FakeChannel([(plan.request, late + b"\xfe\xfe" + told[address])])
        device = meter(address)
        block = await driver.read(line, device, plan)
        alone = await look(told[address], device)
        assert {r.point: r.value for r in readings(block, device.table)} == alone
        late = told[address]


async def test_silence_damage_and_refusal_are_three_things() -> None:
    with pytest.raises(ChannelTimeout):
        await look(None)
    spoilt = SAID[:14] + bytes([SAID[14] ^ 1]) + SAID[15:]
    with pytest.raises(ProtocolError):
        await look(spoilt)
    refusal = write(0x10, ADDRESS, 0xC1, bytes.fromhex("070102"))
    with pytest.raises(DeviceRefused):
        await look(refusal)


@pytest.mark.parametrize(
    "device",
    [meter("123456789012345"), meter("meter"), meter(meter_type=999), meter(identifier="F901")],
)
def test_what_cannot_be_is_told_before_anything_is_asked(device: Device) -> None:
    with pytest.raises(ProfileError):
        Cjt188Driver().plan(device)
