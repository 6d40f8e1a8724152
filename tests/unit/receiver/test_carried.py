"""Records on a stick: believed for the same reasons as on the line, and recognised when they come again."""

from __future__ import annotations

from typing import Any

import pytest
from kit.gateway import Gateway, Gauge

from headgate.envelope.carry import beginning, frame
from headgate.errors import EnvelopeError
from headgate_receiver.carried import take

LEVELS = "SELECT at_us FROM readings WHERE point = 'level' ORDER BY at_us"


def records(gateway: Gateway, gauge: Gauge, count: int) -> list[bytes]:
    first = gateway.link()
    rest = [gateway.record(gauge.block(10 * k), announce=[gauge.body]) for k in range(1, count)]
    return [first, *rest]


def stick(gateway: Gateway, grant: bytes, sealed: list[bytes]) -> bytes:
    return (
        beginning(gateway.id) + frame("grant", grant) + b"".join(frame("record", r) for r in sealed)
    )


async def test_what_was_carried_is_stored_once_and_acknowledged_when_the_link_is_back(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    grant, sealed = gateway.grant(), records(gateway, gauge, 600)
    taken = await take(platform.core, platform.sink, stick(gateway, grant, sealed))
    assert taken == {"carried": 600, "stored": 600, "refused": 0}
    assert len(platform.rows(LEVELS)) == 599
    taken = await take(platform.core, platform.sink, stick(gateway, grant, sealed))
    assert taken == {"carried": 600, "stored": 0, "refused": 0}
    (receipt,) = await platform.deliver(grant, *sealed[:2])
    assert receipt.floor == 600, "what came on the stick counts as stored"
    assert len(platform.rows(LEVELS)) == 599


async def test_an_altered_record_is_not_believed(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    sealed = records(gateway, gauge, 3)
    forged = bytearray(sealed[1])
    forged[-1] ^= 1
    taken = await take(
        platform.core, platform.sink, stick(gateway, gateway.grant(), [sealed[0], bytes(forged)])
    )
    assert taken == {"carried": 2, "stored": 1, "refused": 1}


async def test_a_file_that_is_cut_off_gives_what_stands_before(
    platform: Any, gateway: Gateway, gauge: Gauge
) -> None:
    whole = stick(gateway, gateway.grant(), records(gateway, gauge, 5))
    with pytest.raises(EnvelopeError) as cut:
        await take(platform.core, platform.sink, whole[:-7])
    assert cut.value.code == "HG-7061"
    assert len(platform.rows(LEVELS)) == 3
    with pytest.raises(EnvelopeError) as other:
        await take(platform.core, platform.sink, b"PK\x03\x04")
    assert other.value.code == "HG-7060"
