"""The counting end: opens every record as a platform would, sends receipts, and measures.

    python -m bench.counting PORT CERTS

Commands on standard input, one answer line each: `begin`, `report`.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.scene import GATEWAY
from headgate import mqtt
from headgate.crypto.provider import default_provider
from headgate.crypto.x509 import Certificate
from headgate.envelope.grant import verify_grant
from headgate.envelope.payload import decode_payload
from headgate.envelope.ranges import RangeSet
from headgate.envelope.receipt import Receipt, make_receipt
from headgate.envelope.record import RecordKey, open_record, parse_header
from headgate.model import Block, Gap, GapReason, Quality

_FIRST_THREE = struct.Struct(">HHH")
#: A sample older than this is history: its age says how long it had to lie, not how long it travelled.
_HISTORY_MS = 60_000


class Count:
    """What came in since `begin`, and since the start."""

    def __init__(self) -> None:
        self.points = self.blocks = self.bytes = self.records = self.bad = self.gap_looks = 0
        self.old_points = 0
        self.ages: list[int] = []
        self.began = time.monotonic()


class Platform:
    """Keys, range sets, counters."""

    def __init__(self, port: int, certs: Path) -> None:
        self.port = port
        self.provider = default_provider()
        self.anchor = Certificate.load((certs / "ca.crt").read_bytes())
        self.own = Certificate.load((certs / "platform-encryption.crt").read_bytes())
        self.unwrapping = self.provider.sm2_load_private(
            (certs / "platform-encryption.key").read_bytes()
        )
        self.signing = self.provider.sm2_load_private((certs / "platform-receipt.key").read_bytes())
        self.keys: dict[bytes, RecordKey] = {}
        self.stored: dict[bytes, RangeSet] = {}
        self.fresh: set[bytes] = set()
        self.serial = 0
        self.count = Count()
        self.first: float | None = None
        self.seen: dict[int, RangeSet] = {}
        self.top: dict[int, int] = {}
        self.doubled = 0
        self.off_gaps = 0

    async def run(self) -> None:
        """Connect again and again; the broker is taken away in one of the measurements."""
        settings = mqtt.Settings(
            host="127.0.0.1", port=self.port, identifier="bench-platform", window=1000
        )
        said = False
        while True:
            try:
                async with mqtt.connect(settings) as link:
                    await link.subscribe("headgate/v1/+/up/#")
                    if not said:
                        print("ready", flush=True)
                        said = True
                    receipts = asyncio.create_task(self._receipts(link))
                    try:
                        async for message in link.messages():
                            await self._take(message.topic, message.payload)
                    finally:
                        receipts.cancel()
                        await asyncio.gather(receipts, return_exceptions=True)
            except mqtt.UplinkUnavailable:
                await asyncio.sleep(0.1)

    async def _take(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/grant"):

            async def unwrap(_: bytes, wrapped: bytes) -> bytes:
                return self.unwrapping.decrypt(wrapped)

            grant = await verify_grant(
                self.provider, payload, anchors=[self.anchor], recipients=[self.own.fingerprint],
                unwrap=unwrap, at=datetime.now(UTC),
            )  # fmt: skip
            self.keys[grant.key.key_id] = grant.key
            return
        header = parse_header(payload)
        ranges = self.stored.setdefault(header.epoch, RangeSet())
        self.fresh.add(header.epoch)
        if header.n in ranges:
            return
        opened = decode_payload(open_record(self.provider, self.keys[header.key_id], payload))
        now = int(time.time() * 1000) & 0xFFFFFFFF
        count = self.count
        count.records += 1
        count.bytes += len(payload)
        for item in opened.items:
            if type(item) is Gap:
                count.gap_looks += item.looks or 0
                self.off_gaps += item.reason is GapReason.GATEWAY_OFF
            elif type(item) is Block:
                self._block(item, now)
        ranges.add(header.n)
        if self.first is None:
            self.first = time.monotonic()

    def _block(self, block: Block, now: int) -> None:
        count = self.count
        if block.columns is None or (block.quality and max(block.quality) == Quality.BAD):
            count.bad += 1
            return
        column = block.columns[0]
        assert isinstance(column, bytes)
        low, high, seq = _FIRST_THREE.unpack_from(column)
        count.points += len(column) // 2
        count.blocks += 1
        age = (now - (high << 16 | low)) & 0xFFFFFFFF
        if age < _HISTORY_MS:
            count.ages.append(age)
        else:
            count.old_points += len(column) // 2
        # The sequence is 16 bits of a counter: take the reading of it that is nearest to the last.
        top = self.top.get(block.device, seq)
        full = top + ((seq - top + 0x8000) & 0xFFFF) - 0x8000
        self.top[block.device] = max(top, full)
        seen = self.seen.setdefault(block.device, RangeSet())
        if full in seen:
            self.doubled += 1
        else:
            seen.add(full)

    async def _receipts(self, link: mqtt.Link) -> None:
        while True:
            await asyncio.sleep(0.1)
            fresh, self.fresh = self.fresh, set()
            for epoch in fresh:
                ranges = self.stored[epoch]
                self.serial += 1
                receipt = Receipt(GATEWAY, epoch, self.serial, ranges.floor, ranges.ranges()[-512:])
                await link.publish(
                    f"headgate/v1/{GATEWAY}/down/receipt", make_receipt(receipt, self.signing)
                )

    def report(self) -> dict[str, object]:
        """The window since `begin`, and the account of sequence numbers since the start."""
        count = self.count
        seconds = time.monotonic() - count.began
        ages = sorted(count.ages)

        def at(share: float) -> int | None:
            return ages[min(len(ages) - 1, int(share * len(ages)))] if ages else None

        holes = sum(
            (s.ranges()[-1][1] - s.ranges()[0][0] + 1) - sum(b - a + 1 for a, b in s.ranges())
            for s in self.seen.values()
        )
        return {
            "seconds": seconds, "points": count.points, "blocks": count.blocks, "records": count.records,
            "bytes": count.bytes, "bad": count.bad, "gap_looks": count.gap_looks, "off_gaps": self.off_gaps,
            "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": ages[-1] if ages else None,
            "old_points": count.old_points, "first": self.first, "holes": holes, "doubled": self.doubled,
            "looks": sum(sum(b - a + 1 for a, b in s.ranges()) for s in self.seen.values()),
        }  # fmt: skip


async def main() -> None:
    """Serve commands until standard input ends."""
    platform = Platform(int(sys.argv[1]), Path(sys.argv[2]))
    work = asyncio.create_task(platform.run())
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line.strip() == b"begin":
            platform.count = Count()
            print("{}", flush=True)
        elif line.strip() == b"report":
            print(json.dumps(platform.report()), flush=True)
        if work.done():
            work.result()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
