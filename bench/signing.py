"""What a signature in each record costs: sealing with and without, in pairs, on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from headgate.crypto.provider import default_provider
from headgate.envelope.chain import Chain
from headgate.envelope.payload import PayloadBuilder
from headgate.envelope.record import RecordKey, Sealer
from headgate.model import Block

#: Looks at 100 registers in one record: a quiet box, a busy one, one at its limit.
LOOKS: Final = (1, 20, 320)
_PAIRS: Final = 41


def measure(pairs: int = _PAIRS) -> list[dict[str, Any]]:
    """One row a size: microseconds of CPU for each record, and the median ratio of pairs."""
    provider = default_provider()
    bare = RecordKey(b"key-id-1", b"salt", b"sixteen bytes k.")
    signed = RecordKey(b"key-id-2", b"salt", b"sixteen bytes k.", bytes(32))
    chain = Chain(provider)
    chain.signed_by(provider.sm2_generate())
    sealer = Sealer(provider)
    rows = []
    for looks in LOOKS:
        payload = _payload(looks)
        times = max(4, 4000 // looks // 10)
        ratios, seal_us, sign_us = [], [], []
        for _ in range(pairs):
            one = _cpu_us(lambda: sealer.seal(bare, b"epoch--1", 1, payload), times)  # noqa: B023
            two = _cpu_us(
                lambda: sealer.seal_signed(signed, b"epoch--1", 1, payload, chain),  # noqa: B023
                times,
            )
            ratios.append(two / one)
            seal_us.append(one)
            sign_us.append(two)
        size = len(sealer.seal(bare, b"epoch--1", 1, payload))
        rows.append(
            {
                "what": "signed",
                "payload": len(payload),
                "record": size,
                "more_bytes": len(sealer.seal_signed(signed, b"epoch--1", 1, payload, chain))
                - size,
                "seal_us": statistics.median(seal_us),
                "signed_us": statistics.median(sign_us),
                "ratio": statistics.median(ratios),
            }
        )
    return rows


def _payload(looks: int) -> bytes:
    builder = PayloadBuilder(b"boot-of-a-machin")
    for look in range(looks):
        values = b"".join(
            ((1000 + 7 * point + (look * point) % 13) & 0xFFFF).to_bytes(2, "big")
            for point in range(100)
        )
        builder.add(Block(1, b"t" * 32, 1_000_000 * look, look, (values,)))
    return builder.close()


def _cpu_us(work: Callable[[], object], times: int) -> float:
    began = time.process_time_ns()
    for _ in range(times):
        work()
    return (time.process_time_ns() - began) / times / 1000
