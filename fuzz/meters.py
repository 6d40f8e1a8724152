"""Frames of meters that are asked: electricity (DL/T 645, 698.45), water, heat and gas (CJ/T 188)."""

from __future__ import annotations

from collections.abc import Iterable

from fuzz.lines import vectors
from fuzz.target import Target, pieces, whole
from headgate_drivers.cjt188 import codec as cjt188
from headgate_drivers.cjt188 import frames as cjt188_frames
from headgate_drivers.cjt188 import messages as cjt188_messages
from headgate_drivers.cjt188.points import ITEMS, value_of
from headgate_drivers.dlt645 import codec as dlt645
from headgate_drivers.dlt645 import frames as dlt645_frames
from headgate_drivers.dlt645 import messages as dlt645_messages
from headgate_drivers.dlt698 import codec as dlt698
from headgate_drivers.dlt698 import frames as dlt698_frames


def _dlt645(data: bytes) -> None:
    codec, fed, taken = dlt645.Codec(), 0, 0
    for piece in pieces(data):
        fed += len(piece)
        for event in codec.feed(piece):
            found = event.frame if isinstance(event, dlt645_frames.Fault) else event
            if found is not None:
                assert dlt645.Codec().feed(dlt645_frames.encode(found)) == [event]
            taken += event.consumed if isinstance(event, dlt645_frames.Fault) else event.size
        assert codec.waiting <= dlt645_frames.LONGEST
        assert taken + codec.waiting == fed, "every byte is accounted for"
    codec.end()
    assert codec.waiting == 0


def _dlt645_data(data: bytes) -> None:
    """Past the sum: the first byte is the control."""
    if data:
        message = dlt645_messages.understand(data[0], data[1:256])
        assert len(message.fields) <= 520


def _cjt188(data: bytes) -> None:
    codec, fed, taken = cjt188.Codec(), 0, 0
    for piece in pieces(data):
        fed += len(piece)
        for event in codec.feed(piece):
            found = event.frame if isinstance(event, cjt188_frames.Fault) else event
            if found is not None:
                assert cjt188.Codec().feed(cjt188_frames.encode(found)) == [event]
            taken += event.consumed if isinstance(event, cjt188_frames.Fault) else event.size
        assert codec.waiting <= cjt188_frames.LONGEST
        assert taken + codec.waiting == fed, "every byte is accounted for"
    codec.end()
    assert codec.waiting == 0


def _cjt188_data(data: bytes) -> None:
    """Past the sum: the first byte is the control."""
    if data:
        message = cjt188_messages.understand(data[0], data[1:256])
        for item in ITEMS:
            value_of(message, item)


def _dlt698(data: bytes) -> None:
    codec = dlt698.Codec()
    for piece in pieces(data):
        for event in codec.feed(piece):
            if isinstance(event, dlt698_frames.Frame):
                assert dlt698.Codec().feed(dlt698_frames.encode(event)) == [event]
            else:
                assert event.consumed > 0, "a fault takes bytes with it"
        assert codec.waiting <= dlt698_frames.LONGEST
    codec.end()
    assert codec.waiting == 0


def _seeds(name: str) -> Iterable[bytes]:
    return (whole(bytes.fromhex(vector["hex"])) for vector in vectors(name))


def _dlt645_bodies() -> Iterable[bytes]:
    for vector in vectors("dlt645"):
        for event in dlt645.Codec().feed(bytes.fromhex(vector["hex"])):
            if isinstance(event, dlt645_frames.Frame):
                yield bytes([event.control]) + event.data


def _cjt188_bodies() -> Iterable[bytes]:
    for vector in vectors("cjt188"):
        for event in cjt188.Codec().feed(bytes.fromhex(vector["hex"])):
            if isinstance(event, cjt188_frames.Frame):
                yield bytes([event.control]) + event.data


METERS: dict[str, Target] = {
    "dlt645": Target(_dlt645, lambda: _seeds("dlt645")),
    "dlt645-data": Target(_dlt645_data, _dlt645_bodies),
    "cjt188": Target(_cjt188, lambda: _seeds("cjt188")),
    "cjt188-data": Target(_cjt188_data, _cjt188_bodies),
    "dlt698": Target(
        _dlt698,
        lambda: [whole(bytes.fromhex("681800432601300100000000a183ee05010220000201006baf16"))],
    ),
}
