"""Frames of stations that dial in: SL 651, HJ 212, SZY 206, GB/T 26875.3."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.lines import vectors
from fuzz.target import Target, pieces, whole
from headgate_drivers.gb26875 import adu
from headgate_drivers.gb26875 import codec as gb26875
from headgate_drivers.gb26875 import frames as fire
from headgate_drivers.hj212 import codec as hj212
from headgate_drivers.hj212 import data as cp
from headgate_drivers.hj212 import replies as hj212_replies
from headgate_drivers.hj212.frames import Packet
from headgate_drivers.hj212.frames import encode as encode_packet
from headgate_drivers.hj212.parts import Assembly as Parts
from headgate_drivers.hj212.parts import split
from headgate_drivers.sl651 import codec as sl651
from headgate_drivers.sl651.answers import lines
from headgate_drivers.sl651.frames import ENDS, LONGEST, Coding, Control, Direction, Frame, encode
from headgate_drivers.sl651.items import Element, Message, Observed, Series, Slots, Status, rows
from headgate_drivers.sl651.packets import Assembly
from headgate_drivers.sl651.points import MOST_VALUES, by_station, count, looks
from headgate_drivers.szy206 import body as waters
from headgate_drivers.szy206 import codec as szy206
from headgate_drivers.szy206 import frames as water_frames
from headgate_drivers.szy206.parts import Assembly as Pictures

HEAD = {Coding.BCD: bytes.fromhex("0001260718143005"), Coding.ASCII: b"0001260718143005"}
#: What an assembly may keep while it is fuzzed.
KEEPS = 65_536

# ---------------------------------------------------------------- SL 651


def _sl651_said(message: Message) -> None:
    for row in rows(message):
        match row.item:
            case Element():
                assert isinstance(row.item.value, int | float | None)
            case Series() | Slots():
                assert isinstance(row.item.values, tuple)
            case Status():
                assert len(row.item.bits) <= 32
            case Observed():
                raise AssertionError("a time holds for rows, it is none")
    assert message.flaws or message.sent_at is not None
    if count(message) <= MOST_VALUES:
        for _, part in by_station(message):
            for function in (0x32, 0x4C, 0x4D):
                looks(part, {"39": "level", "rest": "rest"}, function)
        for line in lines(message):
            assert line.name


def _sl651(data: bytes) -> None:
    codec, assembly, fed, taken = sl651.Codec(), Assembly(KEEPS), 0, 0
    for piece in pieces(data):
        fed += len(piece)
        for event in codec.feed(piece):
            if isinstance(event, Frame):
                taken += len(encode(event))
                whole_body = assembly.add(event) or event
                assert assembly.size <= KEEPS
                if whole_body.message is not None:
                    _sl651_said(whole_body.message)
            else:
                assert event.consumed > 0, "a fault takes bytes with it"
                taken += event.consumed
        assert codec.waiting <= LONGEST
        assert taken + codec.waiting == fed, "every byte is accounted for"
    codec.end()
    assert codec.waiting == 0


def _sl651_body(data: bytes) -> None:
    """Past the checksum: the first byte is the function, the second direction and coding."""
    if len(data) < 3:
        return
    coding = Coding.ASCII if data[1] & 1 else Coding.BCD
    direction = Direction.DOWN if data[1] & 2 else Direction.UP
    body = (b"" if data[1] & 4 else HEAD[coding]) + data[2:]
    frame = Frame(
        direction, 1, "0061512045", "1234", data[0], ENDS[direction][0], body, coding=coding
    )
    _sl651_said(sl651.understand(frame))
    raw = encode(frame)
    (event,) = sl651.Codec().feed(raw)
    found = event if isinstance(event, Frame) else event.frame
    assert found is not None
    assert encode(found) == raw


def _sl651_seeds() -> Iterable[bytes]:
    for vector in vectors("sl651"):
        for text in vector.get("packets", [vector.get("hex")]):
            yield whole(bytes.fromhex(text))
    ascii_frame = Frame(
        Direction.UP, 1, "0061512045", "1234", 0x32, Control.ETX,
        HEAD[Coding.ASCII] + b"ST 0061512045 H TT 2607181430 Z -1.250 ", coding=Coding.ASCII,
    )  # fmt: skip
    yield whole(encode(ascii_frame))


def _sl651_bodies() -> Iterable[bytes]:
    for vector in vectors("sl651"):
        if "hex" in vector and vector["kind"] == "valid":
            raw = bytes.fromhex(vector["hex"])
            yield bytes([raw[10], 4 | (vector["direction"] == "down") << 1]) + raw[14:-3]
    yield b"\x31\x01ST 0061512045 H TT 2607181430 DRN05 PN05 Z 0.5 10.1 M 10.2 "
    yield b"\x42\x0328 -1.250 20 1 "


# ---------------------------------------------------------------- HJ 212

HJ212_KEY = b"0123456789abcdef"


def _hj212_said(packet: Packet) -> None:
    for record in packet.records:
        assert record.at is None or record.time
        for factor in record.factors:
            assert factor.values is not None
            assert factor.quality in ("good", "uncertain", "bad")
    hj212_replies.result_of(packet)
    answer = hj212_replies.answer(packet)
    assert answer is None or hj212_replies.answer(answer) is None


def _hj212(data: bytes) -> None:
    _hj212_through(data, hj212.Codec())


def _hj212_sealed(data: bytes) -> None:
    """CP of 2025, encrypted with a key that is known here."""
    _hj212_through(data, hj212.Codec(keys=lambda mn: HJ212_KEY))


def _hj212_through(data: bytes, codec: hj212.Codec) -> None:
    parts = Parts(KEEPS)
    for piece in pieces(data):
        for event in codec.feed(piece):
            packet = event if isinstance(event, Packet) else event.packet
            if not isinstance(event, Packet):
                assert event.consumed > 0, "a fault takes bytes with it"
            if packet is not None:
                _hj212_said(packet)
                if (joined := parts.add(packet)) is not None:
                    _hj212_said(joined)
                assert parts.size <= KEEPS
        assert codec.waiting <= codec.most
    codec.end()
    assert codec.waiting == 0


def _hj212_cp(data: bytes) -> None:
    """Past the checksum: what is read of CP can be written and cut, and stays what it is."""
    text = data.decode("utf-8", "replace")
    records = cp.read(text)
    cp.flaws(records)
    packet = Packet(qn="20260718143000123", cn="2011", mn="M", cp=text)
    _hj212_said(packet)
    try:
        cut = split(packet)
    except ValueError:
        return
    assert all(len(encode_packet(part)) <= 1024 + 12 for part in cut)


def _hj212_seeds() -> Iterable[bytes]:
    return (whole(vector["text"].encode()) for vector in vectors("hj212"))


def _hj212_sealed_seeds() -> Iterable[bytes]:
    for n, text in enumerate(_hj212_cps()):
        told = Packet(
            qn=f"20260718143000{n % 1000:03}", cn="2011", mn="M", cp=text.decode("utf-8", "replace")
        )
        try:
            sent = encode_packet(told, 9999, HJ212_KEY)
        except ValueError:
            continue
        yield whole(sent)
        head, _, rest = sent.partition(b"CP=&&")
        body, check = rest[:-8], rest[-8:]
        printed = "{" + ",".join(f"0x{byte:02X}" for byte in body[: len(body) // 16 * 16]) + "}"
        left = body[len(body) // 16 * 16 :]
        yield whole(head + b"CP=&&" + printed.encode() + left + check)


def _hj212_cps() -> Iterable[bytes]:
    for vector in vectors("hj212"):
        yield vector["text"].encode().partition(b"CP=&&")[2].rpartition(b"&&")[0] or b"QnRtn=1"
    yield "DataTime=20260718143000;i11001-Info=//a=1;b-c=2,清洗//".encode()


# ---------------------------------------------------------------- SZY 206


def _szy206(data: bytes) -> None:
    codec, pictures, fed, taken = szy206.Codec(), Pictures(KEEPS), 0, 0
    for piece in pieces(data):
        fed += len(piece)
        for event in codec.feed(piece):
            if isinstance(event, water_frames.Frame):
                taken += len(water_frames.encode(event))
                pictures.add(event)
                assert pictures.size <= KEEPS
            else:
                assert event.consumed > 0, "a fault takes bytes with it"
                taken += event.consumed
        assert codec.waiting <= water_frames.LONGEST
        assert taken + codec.waiting == fed, "every byte is accounted for"
    codec.end()
    assert codec.waiting == 0


def _szy206_data(data: bytes) -> None:
    """Past the check: the first byte is the function, the second kind and direction."""
    if len(data) < 2 or len(data) > 200:
        return
    kind, up = water_frames.Kind(data[1] & 15), bool(data[1] & 0x80)
    frame = water_frames.Frame(up, 3, kind, "4207031100", data[0], data[2:])
    for words in ("little", "big"):
        message = waters.read(frame, waters.Reading(words=words))
        assert message is None or all(value.name for value in message.values)
    (event,) = szy206.Codec().feed(water_frames.encode(frame))
    found = event if isinstance(event, water_frames.Frame) else event.frame
    assert found is not None
    assert water_frames.encode(found) == water_frames.encode(frame)


def _szy206_seeds() -> Iterable[bytes]:
    yield from (whole(bytes.fromhex(vector["hex"])) for vector in vectors("szy206"))
    yield whole(bytes.fromhex("680168F02A4406070001610004") + bytes(1026))


def _szy206_datas() -> Iterable[bytes]:
    for vector in vectors("szy206"):
        raw = bytes.fromhex(vector["hex"])
        yield bytes([raw[9], raw[3]]) + raw[10:-2]


# ---------------------------------------------------------------- GB/T 26875.3


def _gb26875(data: bytes) -> None:
    codec, fed, taken = gb26875.Codec(), 0, 0
    for piece in pieces(data):
        fed += len(piece)
        for event in codec.feed(piece):
            if isinstance(event, fire.Frame):
                taken += len(fire.encode(event))
            else:
                assert event.consumed > 0, "a fault takes bytes with it"
                taken += event.consumed
        assert codec.waiting <= fire.LONGEST
        assert taken + codec.waiting == fed, "every byte is accounted for"
    codec.end()
    assert codec.waiting == 0


def _gb26875_adu(data: bytes) -> None:
    """Past the sum: what is read of a unit can be written, and says the same again."""
    message = adu.read(data[: fire.LONGEST_ADU])
    if message is None or message.flaws:
        return
    try:
        again = adu.write(message)
    except ValueError:
        return  # a text that was not GB 18030, and is longer as it was understood
    assert adu.read(again) == message


def _gb26875_seeds() -> Iterable[bytes]:
    return (whole(bytes.fromhex(vector["hex"])) for vector in vectors("gb26875"))


def _gb26875_adus() -> Iterable[bytes]:
    return (bytes.fromhex(vector["hex"])[27:-3] for vector in vectors("gb26875"))


STATIONS: dict[str, Target] = {
    "szy206": Target(_szy206, _szy206_seeds),
    "szy206-data": Target(_szy206_data, _szy206_datas),
    "gb26875": Target(_gb26875, _gb26875_seeds),
    "gb26875-adu": Target(_gb26875_adu, _gb26875_adus),
    "sl651": Target(_sl651, _sl651_seeds),
    "sl651-body": Target(_sl651_body, _sl651_bodies),
    "hj212": Target(_hj212, _hj212_seeds),
    "hj212-sealed": Target(_hj212_sealed, _hj212_sealed_seeds),
    "hj212-cp": Target(_hj212_cp, _hj212_cps),
}
