"""A device that lies: a TCP server that answers Modbus requests wrongly, on purpose and by script.

For tests of whoever asks. It knows just enough of Modbus TCP (MBAP header, functions 3 and 4) to
make a right answer, in which register `a` holds the value `a`; each `Lie` then spoils that answer.
Lies are used up one per request, in order; when none is left it answers right.

    async with ByteServer([late(0.5), wrong_unit(), short()]) as server:
        ... connect to server.host, server.port ...
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class Close(Enum):
    """Hang up at this point."""

    NOW = "now"


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long before going on."""

    seconds: float


Step = bytes | Pause | Close
Lie = Callable[[bytes], Sequence[Step]]  # from a whole request frame to what is sent for it


def right(request: bytes) -> bytes:
    """The right answer to a read: register `a` holds `a`. Anything else gets exception 1."""
    transaction, _, _, unit, function = struct.unpack(">HHHBB", request[:8])
    if function not in (3, 4) or len(request) != 12:
        return struct.pack(">HHHBBB", transaction, 0, 3, unit, function | 0x80, 1)
    address, count = struct.unpack(">HH", request[8:12])
    words = [(address + i) & 0xFFFF for i in range(count)]
    return frame(transaction, unit, function, struct.pack(f">{count}H", *words))


def frame(transaction: int, unit: int, function: int, data: bytes) -> bytes:
    """A read's answer with these register bytes, every length right."""
    head = struct.pack(">HHHBBB", transaction, 0, 3 + len(data), unit, function, len(data) & 0xFF)
    return head + data


def honest() -> Lie:
    """No lie: to let right answers stand between wrong ones."""
    return lambda request: [right(request)]


def silent() -> Lie:
    """No answer."""
    return lambda request: []


def late(seconds: float) -> Lie:
    """The right answer, late. What is asked meanwhile waits behind it, as on a serial line."""
    return lambda request: [Pause(seconds), right(request)]


def short(keep: int = -1) -> Lie:
    """The first `keep` bytes of the answer and then nothing (-1: all but the last byte)."""
    return lambda request: [right(request)[:keep]]


def wrong_unit(by: int = 1) -> Lie:
    """The answer of another unit."""
    return lambda request: [_patched(right(request), 6, bytes([(request[6] + by) & 0xFF]))]


def wrong_transaction(by: int = 1) -> Lie:
    """The answer to another transaction."""

    def lie(request: bytes) -> Sequence[Step]:
        number = (int.from_bytes(request[:2], "big") + by) & 0xFFFF
        return [_patched(right(request), 0, number.to_bytes(2, "big"))]

    return lie


def wrong_function(function: int = 0x2B) -> Lie:
    """The answer to a function nobody called."""
    return lambda request: [_patched(right(request), 7, bytes([function]))]


def wrong_count(by: int = 1) -> Lie:
    """`by` registers more (or fewer) than asked for; header and byte count agree with each other."""

    def lie(request: bytes) -> Sequence[Step]:
        count = max(0, int.from_bytes(request[10:12], "big") + by)
        return [right(_patched(request, 10, count.to_bytes(2, "big")))]

    return lie


def wrong_byte_count(by: int = 2) -> Lie:
    """The right frame, but its byte count does not fit its length."""
    return lambda request: [_patched(right(request), 8, bytes([(right(request)[8] + by) & 0xFF]))]


def wrong_length(by: int = 2) -> Lie:
    """The right frame, but the MBAP length promises `by` bytes more."""

    def lie(request: bytes) -> Sequence[Step]:
        answer = right(request)
        length = (int.from_bytes(answer[4:6], "big") + by) & 0xFFFF
        return [_patched(answer, 4, length.to_bytes(2, "big"))]

    return lie


def exception(code: int) -> Lie:
    """A Modbus exception."""
    return lambda request: [request[:4] + b"\0\3" + request[6:7] + bytes([request[7] | 0x80, code])]


def byte_by_byte(gap_s: float = 0.001) -> Lie:
    """The right answer, one byte in each packet."""

    def lie(request: bytes) -> Sequence[Step]:
        return [step for byte in right(request) for step in (bytes([byte]), Pause(gap_s))]

    return lie


def garbage_before(garbage: bytes = b"\xff\x00\xff") -> Lie:
    """Bytes that belong to nothing, then the right answer."""
    return lambda request: [garbage + right(request)]


def twice() -> Lie:
    """The right answer, two times."""
    return lambda request: [right(request) * 2]


def close_mid_answer(after: int = 5) -> Lie:
    """Some bytes of the answer, then it hangs up."""
    return lambda request: [right(request)[:after], Close.NOW]


def raw(*steps: Step) -> Lie:
    """Exactly these steps, whatever was asked."""
    return lambda request: steps


def _patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


class ByteServer:
    """Listens on a free port while its `async with` lasts; `requests` keeps what it was sent."""

    def __init__(self, lies: Iterable[Lie] = (), host: str = "127.0.0.1") -> None:
        self.lies = deque(lies)
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()  # set by every request
        self.connections = 0
        self.host = host
        self.port = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ByteServer:
        self._server = await asyncio.start_server(self._talk, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await asyncio.sleep(0)
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        self.connections += 1
        try:
            while True:
                head = await reader.readexactly(6)
                request = head + await reader.readexactly(int.from_bytes(head[4:6], "big"))
                self.requests.append(request)
                self.asked.set()
                lie = self.lies.popleft() if self.lies else honest()
                for step in lie(request):
                    if isinstance(step, Close):
                        return
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                    else:
                        writer.write(step)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client hung up, or our test is over
        finally:
            self._talks.discard(talk)
            writer.close()
