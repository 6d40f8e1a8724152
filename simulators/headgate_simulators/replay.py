"""A recorded device: answers each request as it was answered when the trace was saved.

It knows no registers. What was asked before is answered as before, the answers to one request in turn
and from the beginning again; what was never asked gets no answer. Traces of Modbus TCP, RTU and ASCII are
read; over Modbus TCP the transaction id of the request is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path


def read_trace(text: str) -> list[tuple[bytes, bytes]]:
    """(request, answer) of a trace file: `> hex`, `< hex`, comments after `#`. Raises ValueError."""
    pairs: list[tuple[bytes, bytes]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            frame = bytes.fromhex(words[1:])
        except ValueError:
            raise ValueError(f"line {number}: no hex") from None
        if words[0] == ">" and frame:
            pairs.append((frame, b""))
        elif words[0] == "<" and pairs:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] + frame)
        else:
            raise ValueError(f"line {number}: > request, < answer")
    return pairs


class Replay:
    """The answers of a trace."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._answers: dict[bytes, list[bytes]] = {}
        self._turn: dict[bytes, int] = {}
        self.unknown = 0
        for request, answer in pairs:
            if answer:
                self._answers.setdefault(_without_id(request), []).append(answer)

    @property
    def requests(self) -> int:
        """How many different requests it knows an answer to."""
        return len(self._answers)

    def answer(self, request: bytes) -> bytes | None:
        """What was answered to this request, None when nobody ever asked it."""
        key = _without_id(request)
        known = self._answers.get(key)
        if known is None:
            self.unknown += 1
            return None
        turn = self._turn.get(key, 0)
        self._turn[key] = turn + 1
        answer = known[turn % len(known)]
        return request[:2] + answer[2:] if _has_id(request) else answer


class ReplayServer:
    """A `Replay` on a TCP port: Modbus TCP, or a serial server in raw mode."""

    def __init__(self, replay: Replay, host: str = "127.0.0.1", port: int = 0) -> None:
        self.replay = replay
        self.host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    def of_file(cls, path: Path, host: str = "127.0.0.1", port: int = 0) -> ReplayServer:
        """A server of a saved trace. Raises OSError, ValueError."""
        return cls(Replay(read_trace(path.read_text())), host, port)

    async def __aenter__(self) -> ReplayServer:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            # A request comes in one piece from everybody we know; a cut one has no recorded answer.
            while request := await reader.read(600):
                answer = self.replay.answer(request)
                if answer is not None:
                    writer.write(answer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _has_id(request: bytes) -> bool:
    """Whether it is Modbus TCP: protocol 0 and a length that is right."""
    return len(request) >= 8 and request[2:4] == b"\0\0" and request[5] == len(request) - 6


def _without_id(request: bytes) -> bytes:
    return request[2:] if _has_id(request) else request
