"""Recorded values as a device."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import readings
from headgate.errors import ProtocolError
from headgate.model import Quality, Status
from headgate_drivers.opcua import OpcUaDriver
from headgate_drivers.opcua.replay import data_value


def test_what_is_not_recorded_is_not_there(device) -> None:
    station = device({"name": "a", "path": "A"}, {"name": "b", "path": "B"})
    block = OpcUaDriver().replay(station, [(b"A", b"\x01\x0b" + struct.pack("<d", 1.5))])
    got = {r.point: (r.value, r.quality, r.status >> 8) for r in readings(block, station.table)}
    assert got == {
        "a": (1.5, Quality.GOOD, 0),
        "b": (None, Quality.BAD, Status.REFUSED),
    }


def test_it_reads_what_the_library_writes() -> None:
    ua = pytest.importorskip("asyncua").ua
    from asyncua.ua.ua_binary import struct_to_binary

    for value, kind in [
        (True, "Boolean"), (-3, "SByte"), (200, "Byte"), (-300, "Int16"), (60000, "UInt16"),
        (-70000, "Int32"), (4_000_000_000, "UInt32"), (-(2**40), "Int64"), (2**63, "UInt64"),
        (1.5, "Float"), (2.25, "Double"), ("水泵", "String"), ([1, 2], "UInt16"),
    ]:  # fmt: skip
        sent = ua.DataValue(
            ua.Variant(value, getattr(ua.VariantType, kind)), ua.StatusCode(0x40900000)
        )
        assert data_value(struct_to_binary(sent)) == (0x40900000, value)


@given(st.binary(max_size=60))
def test_hostile_bytes_are_a_value_or_a_protocol_error(data: bytes) -> None:
    with suppress(ProtocolError):
        data_value(data)
