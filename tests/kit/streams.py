"""What every decoder of frames in a stream of bytes must stand; each protocol says with which frames.

    STREAM = Stream(Codec, Frame)

    class TestStream(StreamTests):
        stream, vectors, good = STREAM, VECTORS, GOOD

A decoder has `feed(bytes)`, `end()` and `waiting`; what is no frame is a fault with `code` and `consumed`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

F = TypeVar("F")
Vector = Mapping[str, Any]

NOISE = (b"", b"\r\n", b"+IPD,60:", b"AT+OK\r\n", b"\xfe\xfe\xfe", b"\x00\xff\x16", b"\x68\x68\x68")
#: One class of tests serves many protocols: hypothesis would take that for a mistake.
_shared = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])


def vectors(protocol: str) -> list[dict[str, Any]]:
    """The checked frames of one protocol: the first, and more of other makers and broken ones."""
    folder = Path(__file__).parents[1] / "vectors" / "protocols"
    found: list[dict[str, Any]] = []
    for path in (folder / f"{protocol}.json", folder / f"{protocol}_more.json"):
        found += json.loads(path.read_text())["vectors"]
    return found


def raw_of(vector: Vector) -> bytes:
    """A vector's bytes."""
    return bytes.fromhex(vector["hex"]) if "hex" in vector else str(vector["text"]).encode()


class Stream(Generic[F]):
    """Bytes into frames. `holding`: a fault may hold a whole frame, which then counts as one."""

    def __init__(
        self, codec: Callable[[], Any], frame: type[F], *, holding: str | None = None
    ) -> None:
        self.codec, self.frame, self._holding = codec, frame, holding

    def all_of(self, data: bytes, size: int = 0) -> list[Any]:
        """What comes out of a stream that then ends; in pieces of `size` bytes."""
        codec = self.codec()
        pieces = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
        found = [event for piece in pieces for event in codec.feed(piece)]
        last = codec.end()
        return [*found, last] if last else found

    def frames_in(self, data: bytes, size: int = 0) -> list[F]:
        """The frames of a stream that then ends."""
        found = [
            event
            if isinstance(event, self.frame) or self._holding is None
            else getattr(event, self._holding)
            for event in self.all_of(data, size)
        ]
        return [each for each in found if isinstance(each, self.frame)]

    def faults_in(self, data: bytes, size: int = 0) -> list[Any]:
        """What is no frame."""
        return [each for each in self.all_of(data, size) if not isinstance(each, self.frame)]


class StreamTests:
    """The tests. `good` is a frame that stands behind the broken ones; `longest` what may be kept waiting.

    `exact`: nothing but the frames behind is found after a broken one. `counted`: every byte is part of
    a frame or of a fault. `encode`: a frame's bytes again, where it does not know how long it was. `floods`:
    more beginnings that are followed by far too much.
    """

    stream: ClassVar[Stream[Any]]
    vectors: ClassVar[Sequence[Vector]]
    good: ClassVar[bytes]
    longest: ClassVar[int]
    noise: ClassVar[Sequence[bytes]] = NOISE
    exact: ClassVar[bool] = True
    counted: ClassVar[bool] = True
    floods: ClassVar[Sequence[bytes]] = ()
    encode: ClassVar[Callable[[Any], bytes] | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """The broken frames, and what may stand between frames."""
        broken = [each for each in self.vectors if each["kind"] == "broken"]
        if "broken" in metafunc.fixturenames:
            metafunc.parametrize("broken", broken, ids=[each["name"] for each in broken])
        for name in {"before", "behind"}.intersection(metafunc.fixturenames):
            metafunc.parametrize(name, self.noise)

    def said(self, frame: Any) -> object:
        """What two readings of one frame have in common."""
        return frame

    def size_of(self, event: Any) -> int:
        """How many bytes of the stream an event took."""
        if not isinstance(event, self.stream.frame):
            return int(event.consumed)
        return int(event.size) if self.encode is None else len(self.encode(event))

    def _whole(self) -> list[bytes]:
        """Frames that decode."""
        every = [
            raw_of(v) for v in self.vectors if v["kind"] == "valid" and {"hex", "text"} & v.keys()
        ]
        return [raw for raw in every if len(self.stream.frames_in(raw)) == 1][1:5]

    @pytest.mark.parametrize("size", [0, 1, 7])
    def test_every_broken_frame_is_its_own_fault(self, broken: Vector, size: int) -> None:
        raw = raw_of(broken)
        events = self.stream.all_of(raw, size)
        assert not isinstance(events[0], self.stream.frame)
        assert events[0].code == broken["expected_error"]
        if self.counted:
            assert sum(self.size_of(event) for event in events) == len(raw)
        if broken["expected_error"] == "truncated":
            codec = self.stream.codec()
            assert codec.feed(raw) == []
            assert codec.waiting == len(raw)

    def test_the_frame_behind_a_broken_one_is_found(self, broken: Vector) -> None:
        for size in (0, 1, 11):
            found = self.stream.frames_in(raw_of(broken) + self.good * 2, size)
            assert (found if self.exact else found[-2:]) == self.stream.frames_in(self.good) * 2

    def test_a_frame_cut_off_loses_at_most_its_follower(self) -> None:
        wanted = self.stream.frames_in(self.good)
        for cut in range(1, len(self.good), 1 + len(self.good) // 80):
            for size in (0, 1):
                assert self.stream.frames_in(self.good[:cut] + self.good * 2, size)[-1:] == wanted

    def test_noise_around_frames_changes_nothing(self, before: bytes, behind: bytes) -> None:
        raw = self._whole()
        wanted = [self.said(frame) for each in raw for frame in self.stream.frames_in(each)]
        stream = before + raw[0] + raw[1] + behind + raw[2] + behind + raw[3]
        for size in (0, 1):
            assert [self.said(frame) for frame in self.stream.frames_in(stream, size)] == wanted

    @given(st.data())
    @settings(_shared, max_examples=40)
    def test_it_does_not_matter_how_a_stream_is_cut(self, data: st.DataObject) -> None:
        every = [v for v in self.vectors if {"hex", "text"} & v.keys()]
        chosen = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=4))
        raw = b"".join(raw_of(each) for each in chosen)
        cut = self.stream.frames_in(raw, data.draw(st.integers(1, 90)))
        assert cut == self.stream.frames_in(raw)

    @given(st.binary(max_size=300), st.integers(1, 50))
    @settings(_shared, max_examples=80)
    def test_hostile_bytes_are_counted_and_bounded(self, noise: bytes, size: int) -> None:
        codec = self.stream.codec()
        raw = noise + self.good[: len(self.good) // 2] + noise + self.good
        taken = 0
        for at in range(0, len(raw), size):
            taken += sum(self.size_of(event) for event in codec.feed(raw[at : at + size]))
            assert codec.waiting <= self.longest
        if self.counted:
            assert taken + codec.waiting == len(raw)

    def test_a_flood_is_not_kept(self) -> None:
        rng = random.Random(651)
        codec = self.stream.codec()
        for begins in {*self.floods, *(self.good[:size] for size in (1, 2, 6, 9, 14))}:
            for noise in (rng.randbytes(20_000), bytes(rng.choices(self.good, k=20_000))):
                codec.feed(begins * 4_000)
                assert codec.waiting <= self.longest
                codec.feed(begins + noise)
                assert codec.waiting <= self.longest
