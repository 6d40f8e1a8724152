"""A water gauge on Modbus TCP, from the standard alone, that keeps a truth as the simulators' do.

It answers function 4 for two registers: a counter that steps with every look (32 bits, high word
first). Source: MODBUS Application Protocol V1.1b3, 6.4; MODBUS Messaging on TCP/IP V1.0b, 3.1.3.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable
from typing import Any

PROFILE = """\
schema = 1
vendor = "simulated"
model = "gauge"
title = "Counter"
title_zh = "计数器"
driver = "modbus"
source = "tests/simulation/gauge.py"
address_base = 0

[[point]]
name = "sample"
title = "Looks so far"
area = "input"
register = 0
type = "uint32"
"""
EXCEPTION_BUSY = 6


class Gauge:
    """One device. `mood` is what it does with a request: answer, silent, busy, late."""

    def __init__(self, name: str, wall_s: Callable[[], float], chance: Callable[[], float]) -> None:
        self.name = name
        self.mood = "answer"
        self.lines: list[dict[str, Any]] = []
        self._sample = 0
        self._wall_s = wall_s
        self._chance = chance

    def line(self) -> asyncio.Protocol:
        """A caller's connection."""
        return _Caller(self)

    def asked(self, request: bytes) -> tuple[float, bytes | None]:
        """What a request is answered with, and after how many seconds; None: not at all."""
        transaction, _, _, unit, function, first, count = struct.unpack(">HHHBBHH", request)
        assert (function, first, count) == (4, 0, 2), request.hex()
        head = struct.pack(">HH", transaction, 0)
        if self.mood == "silent":
            self._note({"fault": "silent", "look": True})
            return 0.0, None
        if self.mood == "busy":
            self._note({"fault": "exception", "look": True, "code": EXCEPTION_BUSY})
            return 0.0, head + struct.pack(">HBBB", 3, unit, function | 0x80, EXCEPTION_BUSY)
        self._sample += 1
        body = struct.pack(">BBBI", unit, function, 4, self._sample)
        late_s = 0.1 + 3.0 * self._chance() if self.mood == "late" else 0.0
        line: dict[str, Any] = {"sample": self._sample, "values": {"sample": self._sample}}
        self._note(line | ({"late_s": late_s} if late_s else {}), late_s)
        return late_s, head + struct.pack(">H", len(body)) + body

    def _note(self, line: dict[str, Any], later_s: float = 0.0) -> None:
        self.lines.append({"t": self._wall_s() + later_s, "device": self.name, **line})


class _Caller(asyncio.Protocol):
    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._bytes = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        while len(self._bytes) >= 12:
            request, self._bytes = self._bytes[:12], self._bytes[12:]
            late_s, answer = self._gauge.asked(request)
            if answer is not None and late_s:
                asyncio.get_running_loop().call_later(late_s, self._transport.write, answer)
            elif answer is not None:
                self._transport.write(answer)


def truth(gauges: list[Gauge], seed: int, started: float) -> str:
    """A truth file of all of them."""
    header = {
        "headgate_truth": 1,
        "seed": seed,
        "started": started,
        "devices": [
            {"id": g.name, "name": g.name, "model": "simulated/gauge", "firmware": "1"}
            for g in gauges
        ],
    }
    lines = sorted((line for g in gauges for line in g.lines), key=lambda line: line["t"])
    return "\n".join(json.dumps(line) for line in [header, *lines]) + "\n"
