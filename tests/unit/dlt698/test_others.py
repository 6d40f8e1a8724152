"""Frames of DL/T 698.45 from public readers, tools and tests, found by content in public repositories."""

from __future__ import annotations

import time

import pytest

from headgate_drivers.dlt698.codec import Codec
from headgate_drivers.dlt698.frames import Fault, Frame, encode

FRAMES = [
    "6817004305000000000000007279050100400C020000628816",
    "682500C305000000000000004885850100400C0200010205110111011108110411000000DB2216",
    "6817004305AAAAAAAAAAAA102B3A0501714001020000C7C216",
    "68170043050100000000001026F60501054000020000D10B16",
    "6817004345AAAAAAAAAAAA005B4F05012540010200000A9216",
    "682100C305330920390000004A55850125400102000109060000392009330000B2D816",
    "681700430500000000000000727905010000100201000D0416",
    "681700430535000000000001124E050101F209040000CB7C16",
    "6817004345AAAAAAAAAAAA10DA5F0501034001020000900F16",
    "6817004345AAAAAAAAAAAA005B4F0501014001020000C60716",
    "6817004345AAAAAAAAAAAA10DA5F05013DFF140200006C6816",
    "6817004345AAAAAAAAAAAAA051EA0501004001020000ED0316",
    "681700430502000000000010485E050115F1010200001A0016",
    "681E0043050200000000001073B70101000000B42016051908050000A4986316",
]
# As published; neither its length nor its check is right.
LONGER_THAN_IT_SAYS = "6818004305580326201102014AEC070101430001000000000000004BEA16"
GOOD = bytes.fromhex(FRAMES[0])


def frames_in(data: bytes) -> list[Frame]:
    return [event for event in Codec().feed(data) if isinstance(event, Frame)]


@pytest.mark.parametrize("text", FRAMES)
def test_it_is_one_frame_whole_cut_and_between_others(text: str) -> None:
    raw = bytes.fromhex(text)

    (frame,) = Codec().feed(raw)
    assert isinstance(frame, Frame)
    assert encode(frame) == raw

    codec = Codec()
    assert [event for byte in raw for event in codec.feed(bytes([byte]))] == [frame]
    assert frames_in(GOOD + raw + GOOD)[1:2] == [frame]
    assert frame in frames_in(b"\xfe\xfe\x68\x00\x16" + raw + b"\x68" + GOOD)


@pytest.mark.parametrize("text", FRAMES)
def test_a_wrong_bit_costs_that_frame_and_at_most_one_more(text: str) -> None:
    for at in range(len(raw := bytes.fromhex(text))):
        damaged = bytearray(raw)
        damaged[at] ^= 0x08
        frames = frames_in(bytes(damaged) + GOOD * 3)
        assert len(frames) >= 2, at
        assert {encode(frame) for frame in frames} == {GOOD}, at


def test_a_frame_longer_than_it_says_is_a_fault() -> None:
    events = Codec().feed(bytes.fromhex(LONGER_THAN_IT_SAYS))

    assert [event.code for event in events if isinstance(event, Fault)] == ["bad_end"]
    assert len(events) == 1


def test_heads_without_a_frame_take_no_more_time_than_frames() -> None:
    def seconds(data: bytes) -> float:
        codec, began = Codec(), time.process_time()
        for at in range(0, len(data), 4096):
            codec.feed(data[at : at + 4096])
        return time.process_time() - began

    # Each of them once cost a search through everything behind it: 250 times as much.
    assert seconds(GOOD[:14] * 2000) < 20 * seconds(GOOD * 1120) + 0.1
