"""RTU, ASCII and identification frames as bytes: cut anywhere, damaged anywhere, late."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "channels")]

from byteserver import Peer, byte_server  # noqa: E402
from modbus_device import make  # noqa: E402

from headgate.channels import ChannelSettings, open_channel  # noqa: E402
from headgate.columns import readings  # noqa: E402
from headgate.env import system_env  # noqa: E402
from headgate.sdk import ChannelTimeout, DeviceError, Identity, ProfileError  # noqa: E402
from headgate_drivers.modbus import ModbusDriver  # noqa: E402
from headgate_drivers.modbus.codec import (  # noqa: E402
    AsciiFraming,
    MbapFraming,
    RtuFraming,
    check_written,
    crc16,
    lrc,
)
from headgate_drivers.modbus.identity import identity_of, identity_part, version_of  # noqa: E402
from headgate_drivers.modbus.transactions import ModbusFraming, framing_of  # noqa: E402

SAID = {0: b"Maker", 1: b"RL-100", 2: b"2.4.1"}


def identity_body(unit: int = 1) -> bytes:
    objects = b"".join(bytes((n, len(v))) + v for n, v in SAID.items())
    return bytes((unit, 43, 14, 1, 1, 0, 0, len(SAID))) + objects


def rtu(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")


def ascii_frame(body: bytes) -> bytes:
    return b":" + (body + bytes((lrc(body),))).hex().upper().encode() + b"\r\n"


BODIES = [
    bytes.fromhex("0103020007"), bytes.fromhex("018302"), bytes.fromhex("0106000a0102"),
    bytes.fromhex("0116000400f20025"), identity_body(),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"function {body[1]}")
@pytest.mark.parametrize("pieces", [1, 2, 3, 39])
@pytest.mark.parametrize("framing", [RtuFraming(), AsciiFraming()], ids=["rtu", "ascii"])
def test_a_frame_in_pieces_with_noise_around_it(
    body: bytes, pieces: int, framing: ModbusFraming
) -> None:
    whole = rtu(body) if isinstance(framing, RtuFraming) else ascii_frame(body)
    stream = b"\xff\x00\r" + whole + b"\x01"
    buffer = bytearray()
    got = []
    for at in range(0, len(stream), pieces):
        buffer += stream[at : at + pieces]
        while (frame := framing.next(buffer)) is not None:
            got.append(frame)
    assert [(f.key, f.payload) for f in got] == [((1, body[1] & 0x7F), body)]


@pytest.mark.parametrize("make_frame", [rtu, ascii_frame])
def test_no_single_changed_bit_is_taken_for_a_frame(make_frame: object) -> None:
    assert callable(make_frame)
    whole = make_frame(bytes.fromhex("0103020007"))
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        framing = RtuFraming() if make_frame is rtu else AsciiFraming()
        frame = framing.next(changed)
        # Hex digits have two cases: a flipped bit 5 of a letter says the same.
        assert frame is None or frame.payload == bytes.fromhex("0103020007")


@given(st.lists(st.binary(max_size=300), max_size=20))
@pytest.mark.parametrize("framing", [RtuFraming(), AsciiFraming(), MbapFraming()])
def test_hostile_bytes_give_frames_or_nothing_and_the_buffer_stays_small(
    framing: ModbusFraming, chunks: list[bytes]
) -> None:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while framing.next(buffer) is not None:
            pass
        assert len(buffer) <= 813  # the limit of the longest framing and one chunk


@given(st.binary(max_size=260))
def test_hostile_identifications_are_declared_errors(payload: bytes) -> None:
    try:
        part = identity_part(payload, 1)
    except DeviceError:
        return
    identity_of(part.objects)


@given(st.binary(max_size=40))
def test_hostile_confirmations_are_declared_errors(payload: bytes) -> None:
    pdu = bytes.fromhex("06000a0102")
    try:
        check_written(payload, 1, pdu)
    except DeviceError:
        return
    assert payload == b"\x01" + pdu


@pytest.mark.parametrize(
    ("form", "raw", "version"),
    [
        ("major.minor bytes", b"\x02\x04", "2.4"),
        ("integer", b"\x01\x2c", "300"),
        ("text", b"V2.4\0\0\xff\xff", "V2.4"),
        ("major.minor bytes", b"\0\0", None),
        ("integer", b"\xff\xff", None),
        ("text", b"   \0", None),
    ],
)
def test_version_registers(form: str, raw: bytes, version: str | None) -> None:
    assert version_of(form, raw) == version


def test_an_identity_is_what_a_person_can_read() -> None:
    assert identity_of({0: b"M\x1b[31m\0junk", 1: b"P", 2: b"", 5: b" RL "}) == Identity(
        "M[31m", "RL", None
    )


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("modbus+tcp://h", MbapFraming), ("modbus+tls://h", MbapFraming),
        ("modbus+udp://h", MbapFraming), ("modbus+rtu:///dev/x?baud=9600", RtuFraming),
        ("modbus+rtu+tcp://h:1", RtuFraming), ("modbus+ascii:///dev/x", AsciiFraming),
        ("modbus+dtu+listen://h:1?registration=a", RtuFraming),
        ("modbus+dtu+listen://h:1?registration=a&framing=tcp", MbapFraming),
    ],
)  # fmt: skip
def test_each_line_has_its_framing(url: str, kind: type) -> None:
    assert type(framing_of(url)) is kind


# ---------------------------------------------------------------- late answers, on a real socket


async def test_a_late_rtu_answer_is_never_the_value_of_the_next_request() -> None:
    # Register n holds n. The first question is answered when the second has long been meant to go.
    late: list[asyncio.TimerHandle] = []

    async def answer(request: bytes, peer: Peer) -> None:
        body = request[:2] + b"\x02" + request[2:4]
        if len(late) % 2 == 0 and request[3] == 10:
            late.append(asyncio.get_running_loop().call_later(0.15, peer.say, rtu(body)))
        else:
            late.append(asyncio.get_running_loop().call_later(0, peer.say, rtu(body)))

    async with byte_server(answer, size=8) as server:
        url = f"modbus+rtu+tcp://127.0.0.1:{server.port}"
        channel = open_channel(system_env(), ChannelSettings("c", url, quiet_s=0.02))
        channel.open()
        await channel.settled()
        driver = ModbusDriver()
        slow, next_one = make({"register": 10}, timeout_s=0.1), make({"register": 200}, timeout_s=5)
        for _ in range(3):
            late.clear()
            with pytest.raises(ChannelTimeout):
                await driver.read(channel, slow, driver.plan(slow))
            block = await driver.read(channel, next_one, driver.plan(next_one))
            assert [r.raw for r in readings(block, next_one.table)] == [200]
        assert channel.counters.dropped_bytes == 3 * 7
        await channel.close()


# ---------------------------------------------------------------- quirks of the line


@pytest.mark.parametrize(
    ("quirks", "start", "order"),
    [({}, 10, "ABCD"), ({"address_shift": -1}, 9, "ABCD"), ({"swapped_words": True}, 10, "CDAB")],
)
def test_a_unit_that_counts_or_swaps_otherwise(
    quirks: dict[str, int | bool], start: int, order: str
) -> None:
    import msgspec

    device = msgspec.structs.replace(make({"register": 10, "type": "uint32"}), quirks=quirks)
    layout = ModbusDriver().plan(device).layout
    assert layout.requests[0].start == start
    assert layout.groups[0][0].encoding.order == order


@pytest.mark.parametrize(
    "quirks",
    [
        {"line": "fast"},
        {"gap_ms": -1},
        {"gap_ms": True},
        {"address_shift": 2},
        {"line": "9600 8X1"},
    ],
)
def test_quirks_of_the_line_that_make_no_sense(quirks: dict[str, str | int | bool]) -> None:
    import msgspec

    with pytest.raises(ProfileError):
        ModbusDriver().plan(msgspec.structs.replace(make({"register": 1}), quirks=quirks))
