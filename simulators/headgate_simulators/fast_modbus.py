"""Many fast Modbus TCP devices in one process, to measure a gateway with.

`python -m headgate_simulators.fast_modbus BASE_PORT DEVICES [STAT_PORT]`: the same devices, ports,
registers and statistics as `bench/sim/modbus_devices.c`, which is to be preferred where there is a C
compiler: it takes several times less of the processor that is being measured.

Registers: 0 and 1 the wall clock's milliseconds (low 32 bits, low word first), 2 the device's sequence
number (+1 with each answer that covers it), i >= 3 the value `1000 + 10 i + device + wave`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import struct
import sys
import time
from typing import cast

REGISTERS = 1000
MOST_REGISTERS = 125  # in one answer; MODBUS Application Protocol V1.1b3, section 6.3
_REQUEST = struct.Struct(">HHHBBHH")
_SHORTEST = struct.Struct(">HHHBB")
_HEAD = struct.Struct(">HHHBBB")
_REQUEST_SIZE = _REQUEST.size
_LONGEST = 260
_REFRESH_MS = 100  # the waves' smallest step
_CLOCK_LOW, _CLOCK_HIGH, _SEQUENCE = range(3)


class Device:
    """One device's registers. Answers' bodies are made once per wave step and then only patched."""

    __slots__ = ("_bodies", "_made_for", "number", "sequence")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sequence = 0
        self._bodies: dict[tuple[int, int], bytes] = {}
        self._made_for = -1

    def body(self, first: int, count: int, now_ms: int) -> bytes:
        """The register bytes of an answer at `now_ms`; steps the sequence where it is covered."""
        step = now_ms // _REFRESH_MS
        if step != self._made_for:
            self._bodies.clear()
            self._made_for = step
        body = self._bodies.get((first, count))
        if body is None:
            words = [self._word(i, step) for i in range(first, first + count)]
            body = self._bodies[first, count] = struct.pack(f">{count}H", *words)
        if first > _SEQUENCE:
            return body
        if first + count > _SEQUENCE:
            self.sequence += 1
        own = struct.pack(">3H", now_ms & 0xFFFF, now_ms >> 16 & 0xFFFF, self.sequence & 0xFFFF)
        return (own[2 * first :] + body[2 * (3 - first) :])[: 2 * count]

    def _word(self, register: int, step: int) -> int:
        part = step // (1 + register % 10) % 400
        wave = part if part < 200 else 400 - part
        return (1000 + 10 * register + self.number + wave) & 0xFFFF


class Devices:
    """All devices of the process, and what they have served."""

    def __init__(self, count: int) -> None:
        self.all = [Device(number) for number in range(count)]
        self.transactions = self.registers = self.exceptions = self.sent = 0

    def statistics(self) -> dict[str, object]:
        """What the statistics port tells."""
        return {
            "transactions": self.transactions,
            "registers": self.registers,
            "exceptions": self.exceptions,
            "bytes": self.sent,
            "seq": [device.sequence for device in self.all],
        }


class Connection(asyncio.Protocol):
    """One client. Answers to all requests of one arrival leave in one write."""

    def __init__(self, devices: Devices, number: int) -> None:
        self._devices = devices
        self._own = devices.all[number]
        self._by_unit = devices.all if number == 0 else []
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """The client reads too slowly: read no more from it until it has caught up."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Answer every whole request; hang up on what is not Modbus TCP."""
        if self._rest:
            data = self._rest + data
        now_ms = time.time_ns() // 1_000_000
        at, end, out = 0, len(data), []
        while end - at >= _REQUEST_SIZE:
            transaction, protocol, length, unit, function, first, count = _REQUEST.unpack_from(
                data, at
            )
            if protocol or not 2 <= length <= _LONGEST - 6:
                self._transport.close()
                return
            if end - at < 6 + length:
                break
            at += 6 + length
            out.append(self._answer(transaction, length, unit, function, first, count, now_ms))
        if end - at >= _SHORTEST.size:  # perhaps a whole frame, though shorter than a read
            transaction, _, length, unit, function = _SHORTEST.unpack_from(data, at)
            if 2 <= length <= end - at - 6:
                at += 6 + length
                code = 3 if function in (3, 4) else 1
                out.append(self._refuse(transaction, unit, function, code))
        self._rest = data[at:]
        if out:
            whole = b"".join(out)
            self._devices.transactions += len(out)
            self._devices.sent += len(whole)
            self._transport.write(whole)

    def _answer(
        self, transaction: int, length: int, unit: int, function: int, first: int, count: int, now_ms: int
    ) -> bytes:  # fmt: skip
        if function not in (3, 4):
            return self._refuse(transaction, unit, function, 1)
        if length != _REQUEST_SIZE - 6 or not 1 <= count <= MOST_REGISTERS:
            return self._refuse(transaction, unit, function, 3)
        if first + count > REGISTERS:
            return self._refuse(transaction, unit, function, 2)
        device = self._by_unit[unit - 1] if 1 < unit <= len(self._by_unit) else self._own
        self._devices.registers += count
        body = device.body(first, count, now_ms)
        return _HEAD.pack(transaction, 0, 3 + 2 * count, unit, function, 2 * count) + body

    def _refuse(self, transaction: int, unit: int, function: int, code: int) -> bytes:
        self._devices.exceptions += 1
        return _HEAD.pack(transaction, 0, 3, unit, function | 0x80, code)


class Statistics(asyncio.Protocol):
    """Tells the statistics to whoever connects, and hangs up."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell and hang up."""
        line = cast("asyncio.Transport", transport)
        line.write(json.dumps(self._devices.statistics()).encode() + b"\n")
        line.close()


async def serve(base_port: int, count: int, stat_port: int = 0) -> None:
    """Listen on loopback, say so in one JSON line, and serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for end in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(end, stop.set)
    devices = Devices(count)
    with contextlib.ExitStack() as listening:
        ports = []
        for number in range(count):
            port = base_port + number if base_port else 0
            server = await loop.create_server(
                lambda number=number: Connection(devices, number),  # type: ignore[misc]
                "127.0.0.1",
                port,
                backlog=512,
            )
            listening.callback(server.close)
            ports.append(server.sockets[0].getsockname()[1])
        told = await loop.create_server(lambda: Statistics(devices), "127.0.0.1", stat_port)
        listening.callback(told.close)
        ready = {"ready": True, "ports": ports, "stat_port": told.sockets[0].getsockname()[1]}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(arguments: list[str]) -> int:
    """The command; uvloop carries it where it is installed."""
    if len(arguments) not in (2, 3) or not all(each.isdecimal() for each in arguments):
        sys.stderr.write("fast_modbus BASE_PORT DEVICES [STAT_PORT]\n")
        return 2
    new_loop = None
    with contextlib.suppress(ModuleNotFoundError):
        import uvloop

        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(*map(int, arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
