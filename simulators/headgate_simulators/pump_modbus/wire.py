"""Modbus TCP as the PLC speaks it: frames from a socket, one after the other, answers in that order.

Written from MODBUS Messaging on TCP/IP V1.0b (MBAP header) and Application Protocol V1.1b3 (functions 1 to 6,
15, 16, 22). What does not belong to a frame ends the connection.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

READS = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
#: Functions that change something, and the table that they change.
WRITES = {5: "coil", 6: "holding", 15: "coil", 16: "holding", 22: "holding", 23: "holding"}
_MBAP = struct.Struct(">HHHB")
_ROUNDS = 4  # of the loop, from a socket's being taken to the task that serves it
_MOST_BITS, _MOST_WORDS, _MOST_WRITTEN_BITS, _MOST_WRITTEN_WORDS = 2000, 125, 1968, 123


class Malformed(Exception):
    """The bytes of a request do not fit its function."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. `values` are bits or words to write; (and, or) masks for function 22."""

    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()


#: From (connection number, peer, unit, PDU) to the answering PDU; None: it keeps silent.
Answering = Callable[[int, str, int, bytes], Awaitable[bytes | None]]


def parse(pdu: bytes) -> Request:
    """A request's PDU.

    Raises:
        Malformed: a length or a count that cannot be.
    """
    function, body = pdu[0], pdu[1:]
    if len(body) < 4:
        raise Malformed
    address, second = struct.unpack(">HH", body[:4])
    if function in READS:
        most = _MOST_BITS if function < 3 else _MOST_WORDS
        if len(body) != 4 or not 1 <= second <= most:
            raise Malformed
        return Request(function, address, second)
    if function == 5:
        if len(body) != 4 or second not in (0, 0xFF00):
            raise Malformed
        return Request(function, address, 1, (int(second == 0xFF00),))
    if function == 6:
        if len(body) != 4:
            raise Malformed
        return Request(function, address, 1, (second,))
    if function == 15:
        data = body[5:]
        size = (second + 7) // 8
        if (
            not 1 <= second <= _MOST_WRITTEN_BITS
            or body[4:5] != bytes((size,))
            or len(data) != size
        ):
            raise Malformed
        bits = tuple(data[i // 8] >> i % 8 & 1 for i in range(second))
        return Request(function, address, second, bits)
    if function == 16:
        data = body[5:]
        if not 1 <= second <= _MOST_WRITTEN_WORDS or body[4:5] != bytes((2 * second,)):
            raise Malformed
        if len(data) != 2 * second:
            raise Malformed
        return Request(function, address, second, struct.unpack(f">{second}H", data))
    if function == 22:
        if len(body) != 6:
            raise Malformed
        return Request(function, address, 1, struct.unpack(">HH", body[2:]))
    raise Malformed


def bits_answer(function: int, bits: list[int]) -> bytes:
    """The answer to a read of coils or discrete inputs."""
    packed = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        packed[i // 8] |= int(bit) << i % 8
    return bytes((function, len(packed))) + bytes(packed)


def words_answer(function: int, words: list[int]) -> bytes:
    """The answer to a read of registers."""
    return bytes((function, 2 * len(words))) + struct.pack(f">{len(words)}H", *words)


def written_answer(pdu: bytes) -> bytes:
    """The answer to a write that is done: 5, 6 and 22 echo it, 15 and 16 tell address and count."""
    return pdu if pdu[0] in (5, 6, 22) else pdu[:5]


def exception(function: int, code: int) -> bytes:
    """An exception."""
    return bytes((function | 0x80, code))


class Port:
    """A listening port. `answer` is asked for every whole frame; connections are numbered from 1."""

    def __init__(self, host: str, port: int, answer: Answering) -> None:
        self.host = host
        self.port = port
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    @property
    def plugged(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def open(self) -> None:
        """Listen, on the same port as before; an `OSError` when it is taken."""
        self._server = await asyncio.start_server(self._talk, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more and hang up on everybody."""
        server, self._server = self._server, None
        if server is None:
            return
        # Who has just been let in is met first: a socket handed to a closed server is forgotten open.
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await asyncio.sleep(0)
        await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        if self._server is None:  # it was let in while the plug was being pulled
            writer.close()
            return
        self._talks.add(talk)
        host, port = writer.get_extra_info("peername")[:2]
        number, peer = next(self._numbers), f"{host}:{port}"
        try:
            while True:
                head = await reader.readexactly(_MBAP.size)
                transaction, protocol, length, unit = _MBAP.unpack(head)
                if protocol or not 2 <= length <= 254:
                    return
                pdu = await reader.readexactly(length - 1)
                answer = await self._answer(number, peer, unit, pdu)
                if answer is not None:
                    writer.write(_MBAP.pack(transaction, 0, len(answer) + 1, unit) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the caller hung up, or our own end
        finally:
            self._talks.discard(talk)
            writer.close()
