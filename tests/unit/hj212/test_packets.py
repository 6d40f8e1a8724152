"""HJ 212 packets out of a stream: every vector, however it is cut, whatever stands around it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.streams import Stream, StreamTests, vectors

from headgate_drivers.hj212.codec import Codec
from headgate_drivers.hj212.crc import crc16
from headgate_drivers.hj212.frames import Fault, Flag, Packet, encode, segment

VECTORS = vectors("hj212")
VALID = [v for v in VECTORS if v["kind"] == "valid"]
ANNEX_A = next(v for v in VALID if v["source"] == ["HJ 212-2017 annex A example"])["text"].encode()
NOISE = (b"", b"\r\n", b"#", b"AT+OK\r\n", b"\x00\xff#\xfe", b"###")

STREAM = Stream(Codec, Packet)
all_of, packets_in = STREAM.all_of, STREAM.frames_in


class TestStream(StreamTests):
    stream, vectors, good = STREAM, VECTORS, ANNEX_A
    longest = Codec().most
    encode = staticmethod(encode)
    exact = False
    counted = False  # what stands between packets is no fault
    floods = (b"##1024", b"##9999", b"##00000", b"####")
    noise = NOISE


def fields(packet: Packet) -> dict[str, Any]:
    """A packet in the words of the vectors."""
    (record,) = packet.records
    flag = packet.flag
    return {
        "QN": packet.qn,
        "ST": packet.st,
        "CN": packet.cn,
        "PW": packet.pw,
        "MN": packet.mn,
        "PNUM": str(packet.pnum),
        "PNO": str(packet.pno),
        "Flag": flag and str(flag.number),
        "Flag_bits": flag
        and {"version": flag.version, "split": flag.split, "ack_required": flag.answer},
        "CP.DataTime": record.time,
        **{f"CP.{name}": text for name, text in record.items},
        **{f"factor.{factor.code}": factor.values for factor in record.factors},
    }


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
@pytest.mark.parametrize("size", [0, 1])
def test_every_packet_says_what_it_says(vector: dict[str, Any], size: int) -> None:
    raw = vector["text"].encode()
    (packet,) = packets_in(raw, size)
    found = fields(packet)
    assert {f["field"]: f["value"] for f in vector["fields"]}.items() <= found.items()
    # The check may be written in either case.
    assert encode(packet).upper() == raw.upper()


def test_a_packet_is_found_inside_of_one_whose_length_ends_with_it() -> None:
    cut = ANNEX_A[6:60]
    swallows = b"##%04d" % (len(cut) + len(ANNEX_A) - 6) + cut
    events = all_of(swallows + ANNEX_A)
    assert isinstance(events[0], Fault)
    assert (events[0].code, events[0].consumed) == ("bad_checksum", len(swallows))
    assert events[1:] == all_of(ANNEX_A)


def test_the_check_is_that_of_annex_a_with_its_zeros() -> None:
    assert crc16(ANNEX_A[6:107]) == 0x1C80
    zeros = next(n for n in range(9999) if crc16(segment(Packet(cn="2011", mn=str(n)))) < 0x100)
    packet = Packet(cn="2011", mn=str(zeros))
    assert encode(packet)[-6:-4] == b"00"
    assert packets_in(encode(packet)) == [packet]


def test_a_logger_may_be_allowed_longer_packets() -> None:
    packet = Packet(cn="2011", mn="M", cp="i21001-Info=//" + "x" * 1500 + "//")
    raw = encode(packet, 2000)
    assert Codec(longest=2000).feed(raw) == [packet]
    fault = Codec().feed(raw)[0]
    assert isinstance(fault, Fault)
    assert fault.code == "bad_length"
    with pytest.raises(ValueError, match="1024 allowed"):
        encode(packet)


def test_a_packet_without_its_end_is_said_with_what_it_holds() -> None:
    fault = all_of(ANNEX_A[:-2] + ANNEX_A)[0]
    assert isinstance(fault, Fault)
    assert (fault.code, fault.consumed) == ("bad_end", len(ANNEX_A) - 2)
    assert [fault.packet] == packets_in(ANNEX_A)


def said(text: str) -> Packet | Fault:
    raw = text.encode()
    (event,) = all_of(b"##%04d" % len(raw) + raw + b"%04X\r\n" % crc16(raw))
    return event


@pytest.mark.parametrize(
    "text",
    [
        "ST=22;CN=2011;PW=1;MN=M;Flag=4",
        "ST=22;CN=2011;PW=1;MN=M;Flag=4;CP=&&DataTime=20260718143000",
        "ST=22;CN=20;PW=1;MN=M;Flag=4;CP=&&&&",
        "ST=22;CN=2011;PW=1;Flag=4;CP=&&&&",
        "ST=22;CN=2011;PW=1;MN=M;Flag=256;CP=&&&&",
        "ST=22;CN=2011;PW=1;MN=M;Flag=x;CP=&&&&",
        "ST=22;CN=2011;PW=1;MN=M;Flag=7;PNUM=2;PNO=3;CP=&&&&",
        "ST=22;CN=2011;PW=1;MN=M;Flag=7;PNUM=2;CP=&&&&",
        "QN=20261318143000000;ST=22;CN=2011;PW=1;MN=M;Flag=4;CP=&&&&",
        "QN=2026;ST=22;CN=2011;PW=1;MN=M;Flag=4;CP=&&&&",
        "ST=22;CN=2011;PW=1;MN=M;Flag=4;CP=&&DataTime=20260231000000;a-Rtd=1&&",
        "ST=22;nonsense;CN=2011;PW=1;MN=M;CP=&&&&",
    ],
)
def test_a_field_that_makes_no_sense_is_said_with_the_rest(text: str) -> None:
    event = said(text)
    assert isinstance(event, Fault)
    assert event.code == "bad_field"
    assert event.detail
    assert event.packet is not None
    assert event.packet.st == "22"


@pytest.mark.parametrize(
    "text",
    [
        "ST=32;CN=2011;PW=;MN=null;CP=&&DataTime=20160824003817;B01-Rtd=36.91&&",
        "ST=null;CN=2011;MN=M;Flag=4;CP=&&&&",
        "QN=20160801085857534,ST=32;CN=2061;PW=1;MN=M;Flag=5;CP=&&DataTime=20160801080000&&",
        "QN=20260718143000000;ST=22;CN=2011;PW=1;MN=M;Flag=4;Extra=1;CP=&&&&",
    ],
)
def test_what_loggers_do_wrong_and_does_no_harm_is_taken(text: str) -> None:
    assert isinstance(said(text), Packet)


def test_text_of_an_old_logger_is_read() -> None:
    raw = "ST=22;CN=3020;PW=1;MN=M;CP=&&i11001-Info=//清洗//&&".encode("gb18030")
    (event,) = all_of(b"##%04d" % len(raw) + raw + b"%04X\r\n" % crc16(raw))
    assert isinstance(event, Packet)
    assert "清洗" in event.cp


plain = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789_.:", max_size=20)


@given(
    st.builds(
        Packet,
        qn=st.sampled_from(["", "20260718143000123"]),
        st=plain,
        cn=st.integers(0, 9999).map("{:04}".format),
        pw=plain,
        mn=plain.filter(bool),
        flag=st.none() | st.builds(Flag, st.integers(0, 63), st.just(False), st.booleans()),
        cp=st.lists(plain, max_size=20).map(";".join),
    )
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_written_is_read(packet: Packet) -> None:
    assert all_of(encode(packet), 5) == [packet]


def test_every_flag_comes_back() -> None:
    assert [Flag.of(number).number for number in range(256)] == list(range(256))
