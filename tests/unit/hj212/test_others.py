"""Packets that were not made here: the standards' examples, and what loggers in public sources send.

Length and check are worked out here once more, bit by bit; what a packet says is read here once more, by
nothing but `;`, `,` and `=`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from headgate_drivers.hj212 import data, sealed
from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.editions import Edition
from headgate_drivers.hj212.frames import Fault, Flag, Packet, encode
from headgate_drivers.hj212.replies import answer

OTHERS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "others.json").read_text())[
    "packets"
]


def check(raw: bytes) -> int:
    """Annex A of both editions, as its text has it."""
    register = 0xFFFF
    for byte in raw:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low, register = register & 1, register >> 1
            if low:
                register ^= 0xA001
    return register


def framed(segment: bytes, of: bytes | None = None) -> bytes:
    """A packet; its check may be that of another segment."""
    return b"##%04d%b%04X\r\n" % (len(segment), segment, check(segment if of is None else of))


def raw_of(other: dict[str, Any]) -> bytes:
    if "segment" in other:
        return framed(other["segment"].encode())
    return other["text"].encode() + b"\r\n"


def named(others: list[dict[str, Any]]) -> list[str]:
    return [f"{n}-{other['source'][:40]}" for n, other in enumerate(others)]


RIGHT = [other for other in OTHERS if "expected_error" not in other]
WRONG = [other for other in OTHERS if "expected_error" in other]


@pytest.mark.parametrize("other", RIGHT, ids=named(RIGHT))
@pytest.mark.parametrize("size", [0, 1])
def test_a_packet_of_somebody_else_says_what_it_says(other: dict[str, Any], size: int) -> None:
    raw = raw_of(other)
    codec = Codec()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    (packet,) = [event for piece in pieces for event in codec.feed(piece)]
    assert isinstance(packet, Packet), packet
    head, _, cp = raw[6:-6].decode().partition("CP=&&")
    said = {
        name.strip(): value for name, _, value in (p.partition("=") for p in re.split("[;,]", head))
    }
    assert (packet.qn, packet.st, packet.cn) == (said.get("QN", ""), said["ST"], said["CN"])
    assert (packet.pw, packet.mn) == (said["PW"], said["MN"])
    assert (packet.flag and str(packet.flag.number)) == said.get("Flag")
    assert (packet.pnum, packet.pno) == (int(said.get("PNUM", 0)), int(said.get("PNO", 0)))
    everything = [
        (f"{factor.code}-{name}", text)
        for record in packet.records
        for factor in record.factors
        for name, text in factor.fields
    ] + [item for record in packet.records for item in record.items]
    everything += [
        ("DataTime", record.time) for record in packet.records if record.time is not None
    ]
    wanted = [
        (name.strip(), value)
        for name, _, value in (p.partition("=") for p in re.split("[;,]", cp.removesuffix("&&")))
        if name.strip()
    ]
    assert sorted(everything) == sorted(wanted)


@pytest.mark.parametrize("other", WRONG, ids=named(WRONG))
def test_a_packet_that_was_published_wrong_is_its_own_fault(other: dict[str, Any]) -> None:
    raw, whole = raw_of(other), framed(b"ST=32;CN=2011;PW=;MN=M;CP=&&&&")
    fault, *rest = Codec().feed(raw + whole)
    assert isinstance(fault, Fault)
    assert fault.code == other["expected_error"]
    assert rest[-1:] == Codec().feed(whole)


def test_checks_with_zeros_in_front_are_always_written_with_them() -> None:
    """Why a shorter check is told as a fault: four characters belong to it (table 2), and all write four."""
    checks = [other["text"][-4:] for other in RIGHT if "text" in other]
    assert any(each.startswith("0") for each in checks)


# ------------------------------------------------------------ how makers stray from the standard

SEGMENT = "QN=20240123123205877;ST=32;CN=2011;PW=123456;MN=000101;Flag=5;CP=&&{}&&"


def of(cp: str) -> bytes:
    return SEGMENT.format(cp).encode()


def only(raw: bytes) -> Packet | Fault:
    (event,) = Codec().feed(raw)
    return event


@pytest.mark.parametrize(
    "segment",
    [
        SEGMENT.replace(";Flag", "; Flag").format(" DataTime=20240123123200;w01018-Rtd =1"),  # C.43, C.44
        SEGMENT.format("DataTime=20240123123200000;w01018-Rtd=1"),  # milliseconds, two makers
        SEGMENT.replace("20240123123205877", "1617936069734").format("DataTime=20240123123200;w01018-Rtd=1"),
        SEGMENT.replace("Flag=5", "Flag=7").format("DataTime=20240123123200;w01018-Rtd=1"),  # no PNUM
        SEGMENT.replace("CP", "PNUM=1;PNO=0;CP").format("DataTime=20240123123200;w01018-Rtd=1;"),
        SEGMENT.replace("CP", "PNO=0001;PNUM=0001;CP").format("DataTime=20240123123200;w01018-Rtd=1;;"),
    ],
)  # fmt: skip
def test_what_harms_nothing_is_taken(segment: str) -> None:
    packet = only(framed(segment.encode()))
    assert isinstance(packet, Packet), packet
    (record,) = packet.records
    assert record.at is not None
    assert record.factors[0].value("Rtd") == 1.0
    back = answer(packet)
    assert back is not None
    assert (back.qn, back.cn) == (packet.qn, "9014")


def test_a_check_without_its_zeros_is_told_and_the_packet_is_not_lost() -> None:
    segment = next(
        raw for n in range(999) if check(raw := of(f"DataTime=20240123123200;a-Rtd={n}")) < 0x100
    )
    short = b"##%04d%b%X\r\n" % (len(segment), segment, check(segment))
    for size in (1, len(short)):
        codec = Codec()
        events = [e for at in range(0, len(short), size) for e in codec.feed(short[at : at + size])]
        (fault,) = events
        assert isinstance(fault, Fault)
        assert (fault.code, fault.consumed) == ("bad_length", len(short))
        assert [fault.packet] == Codec().feed(framed(segment))


def test_a_length_in_characters_is_told_and_the_packet_is_not_lost() -> None:
    for coding in ("utf-8", "gb18030"):
        text = SEGMENT.format("DataTime=20240123123200;PolId=w01018;i11001-Info=//清洗管路//")
        raw = text.encode(coding)
        fault = only(b"##%04d%b%04X\r\n" % (len(text), raw, check(raw)))
        assert isinstance(fault, Fault)
        assert fault.code == "bad_length"
        assert fault.packet is not None
        assert "清洗管路" in fault.packet.cp


@pytest.mark.parametrize("more", [1, 4, 6, 7])
def test_a_length_that_counts_check_and_end_is_told_and_the_packet_is_not_lost(more: int) -> None:
    segment = of("DataTime=20240123123200;w01018-Rtd=1")
    raw = b"##%04d%b%04X\r\n" % (len(segment) + more, segment, check(segment))
    (wanted,) = Codec().feed(framed(segment))
    fault, after = Codec().feed(raw + framed(segment))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.consumed) == ("bad_length", len(raw))
    assert after == wanted
    assert fault.packet == (wanted if more in (4, 6) else None)  # a logger of either kind is known


@pytest.mark.parametrize("end", [b"\n", b"\r", b""])
def test_another_end_of_line_is_told_and_the_packet_is_not_lost(end: bytes) -> None:
    segment = of("DataTime=20240123123200;w01018-Rtd=1")
    one = framed(segment)[:-2] + end
    (wanted,) = Codec().feed(framed(segment))
    codec = Codec()
    events: list[Packet | Fault] = [*codec.feed(one + one + one)]
    assert codec.unended is (end != b"\n")
    last = codec.end()
    events += [last] if last else []
    assert [event.code for event in events if isinstance(event, Fault)] == ["bad_end"] * 3
    assert [event.packet for event in events if isinstance(event, Fault)] == [wanted] * 3


# ------------------------------------------------------------ encrypted, HJ 212-2025

#: 16 bytes 30H: the key of annex A.2 of HJ 212-2025.
KEY = b"0" * 16
#: What that annex prints of its fourth example.
PRINTED = """
E4 3E 15 9A CF AB 24 2C B5 31 55 FB 8B 92 81 A1 A2 42 57 7A BF AE D8 81 BE 88 B7 2D 69 FC 55 ED
1A 80 11 9F AA C8 B3 CD 33 D2 85 CC 76 F5 7F 2C A7 F8 8B 95 73 C6 64 7E 0F 07 E2 46 09 BD 6B 63
EB 20 C5 B9 78 4F 28 E7 1D 2F 49 94 FF 61 D9 E1 3B 39 1A 1D 2A 45 4B 65 38 8D 5D 94 35 DB F0 21
52 8C 7B F9 75 5E F1 65 18 71 0C 0C AC 0A DE F9 C5 15 6C D0 A5 A1 76 74 AC 0E D2 AB C4 00 23 E9
EF 70 12 85 54 B8 24 38 E9 1A DC E9 8A 0D 03 A4
"""
PLAIN = OTHERS[-1]["text"].encode()


def encrypted(shape: str) -> bytes:
    """Example 4 of annex A.2: CP as bytes, or as the annex prints it, with either length."""
    head, mark, _ = PLAIN[6:-4].partition(b"CP=&&")
    block = bytes.fromhex(PRINTED)
    if shape == "bytes":
        return PLAIN[:6] + head + mark + block + b"g=N&&" + PLAIN[-4:] + b"\r\n"
    text = b"{" + b",".join(b"0x%02X" % byte for byte in block) + b"}g=N"
    segment = head + mark + text + b"&&"
    length = PLAIN[2:6] if shape == "printed" else b"%04d" % len(segment)
    return b"##" + length + segment + PLAIN[-4:] + b"\r\n"


@pytest.mark.parametrize("shape", ["bytes", "printed", "printed with its own length"])
@pytest.mark.parametrize("size", [1, 0])
def test_an_encrypted_packet_is_opened_with_its_key(shape: str, size: int) -> None:
    raw = encrypted(shape)
    codec = Codec(keys={"010000A8900016F000169DC0": KEY}.get)
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)] if size else [raw]
    (packet,) = [event for piece in pieces for event in codec.feed(piece)]
    (plain,) = Codec().feed(PLAIN + b"\r\n")
    assert isinstance(packet, Packet)
    assert isinstance(plain, Packet)
    assert packet.sealed
    assert not plain.sealed
    assert (packet.cp, packet.qn, packet.mn) == (plain.cp, plain.qn, plain.mn)
    assert data.read(packet.cp)[0].factors[0].value("Avg") == 1.35


def test_the_longest_packet_is_opened_also_where_it_is_printed() -> None:
    cp = "DataTime=20240520210600;" + ";".join(f"a{n:05}-Rtd=1" for n in range(71))
    plain = framed(SEGMENT.replace("Flag=5", "Flag=9").format(cp).encode())
    assert 1000 < int(plain[2:6]) <= 1024
    (packet,) = Codec().feed(plain)
    assert isinstance(packet, Packet)
    sent = encode(packet, key=KEY)
    before, mark, rest = sent[6:-6].partition(b"CP=&&")
    block = rest[:-2]
    whole = len(block) // 16 * 16
    text = b"{" + b",".join(b"0x%02X" % byte for byte in block[:whole]) + b"}" + block[whole:]
    printed = sent[:6] + before + mark + text + b"&&" + sent[-6:]
    for size in (len(printed), 100):
        codec = Codec(keys=lambda mn: KEY)
        events = [
            e for at in range(0, len(printed), size) for e in codec.feed(printed[at : at + size])
        ]
        (opened,) = events
        assert isinstance(opened, Packet)
        assert opened.cp == packet.cp


@pytest.mark.parametrize("shape", ["bytes", "printed", "printed with its own length"])
def test_an_encrypted_packet_without_a_key_is_said_to_be_one(shape: str) -> None:
    raw = encrypted(shape)
    fault, after = Codec().feed(raw + PLAIN + b"\r\n")
    assert isinstance(fault, Fault)
    assert (fault.code, fault.consumed) == ("not_supported", len(raw))
    assert "encrypted" in fault.detail
    assert fault.packet is not None
    assert (fault.packet.mn, fault.packet.cp) == ("010000A8900016F000169DC0", "")
    assert isinstance(after, Packet)


@pytest.mark.parametrize("flag", [None, Flag(Edition.OF_2017, split=False, answer=True)])
def test_who_has_a_key_is_opened_whatever_its_flag_says(flag: Flag | None) -> None:
    cp = "DataTime=20240520210600;a01001-Rtd=1.35,a01001-Flag=N"
    sent = encode(
        Packet(qn="20240520210600123", st="31", cn="2011", mn="M", flag=flag, cp=cp), key=KEY
    )
    (packet,) = Codec(keys=lambda mn: KEY).feed(sent)
    assert isinstance(packet, Packet)
    assert (packet.cp, packet.sealed) == (cp, True)


def test_another_key_or_a_changed_byte_is_a_wrong_check() -> None:
    raw = encrypted("bytes")
    changed = bytearray(raw)
    changed[150] ^= 1
    for key, spoilt in ((b"1" * 16, raw), (KEY, bytes(changed))):
        (fault,) = Codec(keys=lambda mn, key=key: key).feed(spoilt)
        assert isinstance(fault, Fault)
        assert fault.code == "bad_checksum"


def test_what_is_encrypted_in_another_way_is_no_data() -> None:
    segment = SEGMENT.replace("Flag=5", "Flag=9").format("4A6F686E20446F654A6F686E20446F65")
    fault = only(framed(segment.encode()))
    assert isinstance(fault, Fault)
    assert fault.code == "not_supported"


def test_what_is_written_encrypted_keeps_length_and_check_of_the_plain_one() -> None:
    (plain,) = Codec().feed(PLAIN + b"\r\n")
    assert isinstance(plain, Packet)
    assert encode(plain, key=KEY) == encrypted("bytes")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0" * 16, KEY), ("30" * 16, KEY), (" " + "30" * 16 + "\n", KEY), ("3" * 31, None), ("", None),
    ],
)  # fmt: skip
def test_a_key_is_32_hex_characters_or_16_characters(text: str, key: bytes | None) -> None:
    assert sealed.key_of(text) == key
