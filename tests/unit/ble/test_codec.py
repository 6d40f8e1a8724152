"""Every recorded and constructed advertisement, and every other sequence of bytes."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate_drivers.ble.codec import FORMATS, Advert, Told, advert_of
from headgate_drivers.ble.codec.freshness import Freshness

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors/protocols/bthome.json").read_text(encoding="utf-8")
)["vectors"]

FORMAT_OF = {
    "bthome_v2": "bthome", "atc_pvvx": "atc", "mikrotik_tg": "mikrotik",
}  # fmt: skip

# What the source of a vector calls otherwise than we do: its name and unit -> ours, and how many of
# our unit make one of its.
TRANSLATED: dict[tuple[str, str | None], tuple[str, float]] = {
    ("battery", "mV"): ("voltage", 1000),
    ("battery", "eddystone"): ("voltage", 1000),
    ("motion", "ruuvi"): ("", 0),
    ("motion_timer", "ruuvi"): ("", 0),
    ("packet_counter", "ruuvi"): ("sequence", 1),
    ("pressure", "ruuvi"): ("pressure", 0.01),
    # Guessed from the voltage by the source's library; the tag does not say it.
    ("battery", "ruuvi"): ("", 0),
    ("battery", "kkm"): ("", 0),
}

# Rounded by the source's library: half of its last digit.
ROUNDED = {("ruuvi", "humidity"): 0.005, ("kkm", "acceleration"): 0.05}


def vectors(kind: str) -> list[Any]:
    return [pytest.param(v, id=v["name"]) for v in VECTORS if v["kind"] == kind]


def advert_in(vector: dict[str, Any], service_data: str | None = None) -> Advert:
    if "hci" in vector:
        # LE Meta event, one LE Advertising Report: address at 7 (reversed), data length at 13.
        event = bytes.fromhex(vector["hci"])
        address = ":".join(f"{byte:02X}" for byte in event[12:6:-1])
        rssi = int.from_bytes(event[-1:], "big", signed=True)
        return advert_of(event[14 : 14 + event[13]], address, rssi)
    address = vector.get("mac", "00:00:00:00:00:00")
    if "manufacturer_data" in vector:
        company = int(vector["company_id"], 16)
        return Advert(address, company=((company, bytes.fromhex(vector["manufacturer_data"])),))
    data = bytes.fromhex(service_data or vector["service_data"])
    return Advert(address, service=((vector["service_uuid"], data),))


def frames_in(vector: dict[str, Any], advert: Advert) -> list[Told]:
    key = bytes.fromhex(vector["bindkey"]) if "bindkey" in vector else None
    name = FORMAT_OF.get(vector["format"], vector["format"])
    if name == "teltonika_eye":
        return [f for n in ("sig", "ela") for f in FORMATS[n].frames(advert, key)]
    return list(FORMATS[name].frames(advert, key))


def expected_in(vector: dict[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for field in vector["fields"]:
        name, value, unit = field["field"], field["value"], field.get("unit")
        if name == "mac":
            if "hci" in vector:
                continue  # the report's, checked below
            value = value.lower()
        if name == "rssi":
            continue
        where = unit if unit == "mV" else None if unit else vector["format"]
        name, factor = TRANSLATED.get((name, where), (name, 1))
        if not name:
            continue
        if factor != 1 and value is not None:
            value /= factor
        if name == "timestamp":
            value = int(dt.datetime.fromisoformat(value).timestamp())
        for key, more in field.get("properties", {}).items():
            wanted[f"{name.removeprefix('event:')}_{key}"] = more
        wanted[name.removeprefix("event:")] = value
    return wanted


def told_fields(frames: list[Told]) -> dict[str, Any]:
    return {field.name: field.value for frame in frames for field in frame.fields}


def check_fields(vector: dict[str, Any], frames: list[Told]) -> None:
    told = told_fields(frames)
    for name, value in expected_in(vector).items():
        assert name in told, f"{name} is not told: {told}"
        if isinstance(value, str) or value is None:
            assert told[name] == value, name
        else:
            slack = ROUNDED.get((vector["format"], name), 1e-12)
            assert math.isclose(told[name], value, rel_tol=1e-12, abs_tol=slack), name


@pytest.mark.parametrize("vector", vectors("valid"))
def test_a_valid_frame_tells_what_its_source_says(vector: dict[str, Any]) -> None:
    advert = advert_in(vector)
    frames = frames_in(vector, advert)
    assert frames
    assert [frame.fault for frame in frames] == [None] * len(frames)
    check_fields(vector, frames)
    for field in vector["fields"]:
        if field["field"] == "rssi":
            assert advert.rssi == field["value"]
        if field["field"] == "mac" and "hci" in vector:
            assert advert.address.replace(":", "") == field["value"]


@pytest.mark.parametrize("vector", vectors("broken"))
def test_a_broken_frame_gives_its_error_and_what_came_before(vector: dict[str, Any]) -> None:
    if "sequence" in vector:
        fresh = Freshness()
        told = [frames_in(vector, advert_in(vector, data))[0] for data in vector["sequence"]]
        assert [one.fault for one in told] == [None, None], "each of them opens"
        assert [fresh.accept(one.counter or 0, 0) for one in told] == [True, False]
        return
    frames = frames_in(vector, advert_in(vector))
    assert {str(frame.fault) for frame in frames} == {vector["expected_error"]}
    check_fields(vector, frames)
    wanted = expected_in(vector)
    assert not told_fields(frames).keys() - wanted.keys()


def test_no_vector_is_left_out() -> None:
    assert len(vectors("valid")) + len(vectors("broken")) == len(VECTORS) >= 90


KEY = "231d39c1d7cc1ab1aee224cd096db932"
MAC = "54:48:E6:8F:80:A5"


def told_in(
    service: str, data: str, *, key: str | None = None
) -> tuple[dict[str, Any], str | None]:
    name = "bthome" if service == "fcd2" else "bthome_v1"
    advert = Advert(MAC, service=((service, bytes.fromhex(data)),))
    (told,) = FORMATS[name].frames(advert, bytes.fromhex(key) if key else None)
    return told_fields([told]), None if told.fault is None else str(told.fault)


# What bthome.io's tables say, worked out by hand where the format's page gives no example.
@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ("40F100010204", {"firmware": "4.2.1.0"}),
        ("40F2000106", {"firmware": "6.1.0"}),
        ("40F00100", {"device_type": 1}),
        ("406507", {"settings_revision": 7}),
        ("403A01", {"button": "press"}),
        ("403A00", {"button": None}),
        ("403A003A01", {"button_1": None, "button_2": "press"}),
        ("403A81", {"button": "hold_release"}),
        ("403C0205", {"dimmer": "rotate_right", "dimmer_steps": 5}),
        ("403C0000", {"dimmer": None, "dimmer_steps": 0}),
        ("403B0002", {"command": "toggle", "command_args": ""}),
        ("403B02030102", {"command": "step_up", "command_args": "0102"}),
        ("4054020BEE", {"raw": "0bee"}),
        ("405300", {"text": ""}),
        ("40530548656C6C6F02CA09", {"text": "Hello", "temperature": 25.06}),
        ("40574F", {"temperature": 79}),
        ("405D02EA", {"current": -5.63}),
        ("405A02EA", {"count": -5630}),
        ("4063A1080000", {"acceleration": 0.002209}),
        ("406096", {"channel": 150}),
        (
            "4002CA0945120157EA",
            {"temperature_1": 25.06, "temperature_2": 27.4, "temperature_3": -22},
        ),
        # With its address inside, and as a device that sends when it likes.
        ("42A5808FE6485402CA09", {"temperature": 25.06}),
        ("4402CA09", {"temperature": 25.06}),
    ],
)
def test_objects_of_bthome_that_no_recording_has(data: str, fields: dict[str, Any]) -> None:
    assert told_in("fcd2", data) == (fields, None)


@pytest.mark.parametrize(
    ("data", "fields", "fault"),
    [
        ("4002CA09AA03BF13", {"temperature": 25.06}, "not_supported"),
        ("4002CA0953", {"temperature": 25.06}, "truncated"),
        ("4002CA095305486560", {"temperature": 25.06}, "truncated"),
        ("4002CA093B050201", {"temperature": 25.06}, "truncated"),
        ("4002CA093B0009", {"temperature": 25.06}, "bad_field"),
        ("4002CA093C0901", {"temperature": 25.06}, "bad_field"),
        ("4002CA091102", {"temperature": 25.06}, "bad_field"),
        ("42A5808FE648", {}, "truncated"),
        ("2002CA09", {}, "not_supported"),
        ("6002CA09", {}, "not_supported"),
        ("40", {}, None),
    ],
)
def test_what_came_before_a_broken_object_is_kept(
    data: str, fields: dict[str, Any], fault: str | None
) -> None:
    assert told_in("fcd2", data) == (fields, fault)


def test_a_sealed_frame_with_one_bit_changed_does_not_open() -> None:
    whole = bytes.fromhex("41A47266C95F730011223378237214")
    assert told_in("fcd2", whole.hex(), key=KEY)[1] is None
    for at in range(1, len(whole)):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1
        assert told_in("fcd2", spoilt.hex(), key=KEY) == ({}, "bad_checksum")


# bthome.io/v1, and frames that thermometers of that time sent.
@pytest.mark.parametrize(
    ("service", "data", "key", "fields", "fault"),
    [
        ("181c", "2302CA090303BF13", None, {"temperature": 25.06, "humidity": 50.55}, None),
        ("181c", "02000C0404138A01", None, {"packet_id": 12, "pressure": 1008.83}, None),
        ("181c", "4306FE70", None, {"mass": 102.24}, None),
        ("181c", "A5505D396164", None, {"timestamp": 1684093277}, None),
        ("181c", "021001", None, {"power_on": True}, None),
        ("181c", "023A04", None, {"button": "long_press"}, None),
        ("181c", "033C0103", None, {"dimmer": "rotate_left", "dimmer_steps": 3}, None),
        ("181c", "665348656C6C6F", None, {"text": "Hello"}, None),
        # It says how long it is, so what nobody knows is passed over.
        ("181c", "03AA01022302CA09", None, {"temperature": 25.06}, None),
        ("181c", "2302CA090303BF", None, {"temperature": 25.06}, "truncated"),
        ("181c", "2302CA0901", None, {"temperature": 25.06}, "bad_length"),
        ("181c", "2302CA09", KEY, {}, "not_supported"),
        ("181e", "FBA435E4D3C312FB0011223357D90A99", KEY, {"temperature": 25.06, "humidity": 50.55}, None),
        ("181e", "FBA435E4D3C312FB0011223357D90A98", KEY, {}, "bad_checksum"),
        ("181e", "FBA435E4D3C312FB0011223357D90A99", None, {}, "bad_checksum"),
        ("181e", "0011223357D90A99", KEY, {}, "truncated"),
    ],
)  # fmt: skip
def test_bthome_of_version_1(
    service: str, data: str, key: str | None, fields: dict[str, Any], fault: str | None
) -> None:
    assert told_in(service, data, key=key) == (fields, fault)


@given(
    st.sampled_from(sorted(FORMATS)), st.binary(max_size=255), st.sampled_from([None, bytes(16)])
)
@example("bthome", b"\x41", bytes(16))
def test_no_bytes_make_a_codec_fail(name: str, data: bytes, key: bytes | None) -> None:
    services = (
        "fcd2",
        "181c",
        "181e",
        "fe95",
        "feaa",
        "181a",
        "5242",
        "2a6e",
        "2a6f",
        "2a6d",
        "2a19",
    )
    companies = (0x004C, 0x0499, 0x0757, 0x094F)
    advert = Advert(
        "A4:C1:38:8D:18:B2", -60,
        tuple((uuid, data) for uuid in services), tuple((number, data) for number in companies),
    )  # fmt: skip
    for frame in FORMATS[name].frames(advert, key):
        for field in frame.fields:
            assert field.name.rstrip("0123456789").rstrip("_") in FORMATS[name].names or (
                field.name in FORMATS[name].names
            )
            assert field.value is None or isinstance(field.value, (int, float, bool, str))


@given(st.sampled_from(VECTORS), st.data())
def test_no_frame_cut_or_altered_makes_a_codec_fail(
    vector: dict[str, Any], data: st.DataObject
) -> None:
    if "sequence" in vector:
        return
    advert = advert_in(vector)

    def spoiled(raw: bytes) -> bytes:
        cut = bytearray(raw[: data.draw(st.integers(0, len(raw)))])
        if cut:
            cut[data.draw(st.integers(0, len(cut) - 1))] ^= data.draw(st.integers(1, 255))
        return bytes(cut)

    spoilt = advert._replace(
        service=tuple((uuid, spoiled(raw)) for uuid, raw in advert.service),
        company=tuple((number, spoiled(raw)) for number, raw in advert.company),
    )
    frames_in(vector, spoilt)


@given(st.binary(max_size=300))
def test_no_bytes_make_an_advert_fail(data: bytes) -> None:
    advert = advert_of(data, "A4:C1:38:8D:18:B2")
    assert sum(len(raw) for _, raw in (*advert.service, *advert.company)) <= len(data)


def test_a_counter_may_wrap_but_not_fall() -> None:
    fresh = Freshness(bits=32)
    assert fresh.accept(0xFFFFFFFE, 0)
    assert not fresh.accept(0xFFFFFFFE, 0)
    assert fresh.accept(3, 0)
    assert not fresh.accept(2, 0)


def test_a_lower_counter_is_believed_after_the_silence_that_the_site_allows() -> None:
    fresh = Freshness(restart_us=3_600_000_000)
    assert fresh.accept(5000, 0)
    assert not fresh.accept(1, 3_599_999_999)
    assert fresh.accept(1, 3_600_000_000)
    assert not fresh.accept(1, 9_999_999_999), "the same frame is a replay after any silence"
    never = Freshness()
    assert never.accept(5000, 0)
    assert not never.accept(1, 10**15)
