"""An MQTT 5 broker that lies, written from the standard: QoS 0 and 1, sessions, and every way to break them.

    async with Liar(seed) as broker:
        broker.mood = Mood(forget=0.3, twice=0.2)     # from now on
        ...                                           # clients connect to broker.port

With the default mood it is honest. `told` counts its lies. Source: OASIS MQTT 5.0.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 10, 11, 12, 13, 14


@dataclass(frozen=True)
class Mood:
    """How often each lie is told, 0 to 1, for each message that it could be told about."""

    #: PUBACK, and the message is delivered to nobody.
    forget: float = 0.0
    #: No PUBACK; delivered or not.
    mute: float = 0.0
    #: PUBACK for another packet.
    wrong_id: float = 0.0
    #: Delivered twice, far apart.
    twice: float = 0.0
    #: Held back, and let go later in another order.
    reorder: float = 0.0
    #: Connection closed after a packet, at once after CONNACK among them.
    close: float = 0.0
    #: Delivered under another gateway's topic.
    wrong_topic: float = 0.0
    #: PUBACK that says "nobody listens", or "no room".
    refuse: float = 0.0
    #: A subscription is granted and not kept, or forgotten while it is used.
    deaf: float = 0.0
    #: On CONNECT: what was kept for this client is forgotten, though it is told that it was not.
    amnesia: float = 0.0
    #: A byte of the payload is another.
    alter: float = 0.0
    #: Bytes that are no packet.
    garbage: float = 0.0


@dataclass
class _Session:
    """What is kept of a client between connections."""

    filters: set[str] = field(default_factory=set)
    queue: list[tuple[str, bytes]] = field(default_factory=list)
    unacked: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    writer: asyncio.StreamWriter | None = None
    next_id: int = 0
    keep: bool = False


class Liar:
    """One broker, on a free port of loopback."""

    def __init__(self, seed: object = 0) -> None:
        self._rng = random.Random(f"liar/{seed}")
        self.mood = Mood()
        self.told: Counter[str] = Counter()
        self.port = 0
        self._sessions: dict[str, _Session] = {}
        self._server: asyncio.AbstractServer | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._held: list[tuple[str, bytes]] = []
        #: Topics seen, to deliver under a wrong one.
        self._topics: list[str] = []

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        await asyncio.gather(*list(self._tasks), return_exceptions=True)
        await self._server.wait_closed()

    def drop(self) -> None:
        """Close every connection."""
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()

    def say(self, topic: str, data: bytes) -> None:
        """A message that nobody has sent."""
        self.told["say"] += 1
        self._deliver(topic, data)

    def honest(self) -> None:
        """No lies from here on; what was held back goes out."""
        self.mood = Mood()
        self._release()

    def _lie(self, name: str) -> bool:
        told: bool = self._rng.random() < getattr(self.mood, name)
        if told:
            self.told[name] += 1
        return told

    # ------------------------------------------------------------ packets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        session: _Session | None = None
        try:
            while True:
                kind, flags, body = await _packet(reader)
                if kind == CONNECT:
                    session = self._connect(body, writer)
                elif session is None or kind == DISCONNECT:
                    return
                else:
                    self._on(session, kind, flags, body)
                await writer.drain()
                if self._lie("close"):
                    return
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # its client is gone
        finally:
            self._tasks.pop(task, None)
            if session is not None and session.writer is writer:
                session.writer = None
                if not session.keep:
                    session.filters.clear()
                    session.queue.clear()
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    def _on(self, session: _Session, kind: int, flags: int, body: bytes) -> None:
        writer = session.writer
        assert writer is not None
        if kind == PUBLISH:
            self._published(session, flags, body)
        elif kind == PUBACK:
            session.unacked.pop(int.from_bytes(body[:2], "big"), None)
        elif kind == SUBSCRIBE:
            self._subscribe(session, body)
        elif kind == UNSUBSCRIBE:
            writer.write(_frame(UNSUBACK, body[:2] + b"\0\0"))
        elif kind == PINGREQ:
            writer.write(_frame(PINGRESP, b""))
        self._release()

    def _connect(self, body: bytes, writer: asyncio.StreamWriter) -> _Session:
        flags = body[7]
        size, at = _number(body, 10)
        properties = body[at : at + size]
        name, _ = _string(body, at + size)
        session = self._sessions.setdefault(name, _Session())
        if session.writer is not None:
            session.writer.transport.abort()
        clean = bool(flags & 2)
        known = bool(session.filters) and not clean
        if clean or self._lie("amnesia"):
            session.filters.clear()
            session.queue.clear()
            session.unacked.clear()
        session.writer = writer
        session.keep = 0x11 in properties[:1] or b"\x11" in properties
        writer.write(_frame(CONNACK, bytes([known, 0, 0])))
        session.queue = [*session.unacked.values(), *session.queue]
        session.unacked = {}
        self._flush(session)
        return session

    def links(self) -> list[tuple[str, object]]:
        """Clients that are connected, each with its connection."""
        return [
            (name, one.writer) for name, one in self._sessions.items() if one.writer is not None
        ]

    def _subscribe(self, session: _Session, body: bytes) -> None:
        size, at = _number(body, 2)
        at += size
        answers = bytearray()
        while at < len(body):
            topic, at = _string(body, at)
            at += 1
            answers.append(1)
            if not self._lie("deaf"):
                session.filters.add(topic)
        assert session.writer is not None
        session.writer.write(_frame(SUBACK, body[:2] + b"\0" + bytes(answers)))

    def _published(self, session: _Session, flags: int, body: bytes) -> None:
        topic, at = _string(body, 0)
        qos = flags >> 1 & 3
        number = b""
        if qos:
            number, at = body[at : at + 2], at + 2
        size, at = _number(body, at)
        data = body[at + size :]
        if topic not in self._topics:
            self._topics.append(topic)
        refused = qos and self._lie("refuse")
        if qos and not self._lie("mute"):
            answer = number
            if self._lie("wrong_id"):
                answer = (int.from_bytes(number, "big") % 65_535 + 1).to_bytes(2, "big")
            code = self._rng.choice([0x10, 0x97]) if refused else 0
            assert session.writer is not None
            session.writer.write(_frame(PUBACK, answer + bytes([code, 0])))
        if refused or self._lie("forget"):
            return
        if self._lie("wrong_topic"):
            kind = topic.rsplit("/", 2)[1:]
            topic = self._rng.choice([t for t in self._topics if t.rsplit("/", 2)[1:] == kind])
        if data and self._lie("alter"):
            at = self._rng.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << self._rng.randrange(8)]) + data[at + 1 :]
        if self._lie("twice"):
            self._held.append((topic, data))
        if self._lie("reorder"):
            self._held.append((topic, data))
        else:
            self._deliver(topic, data)

    def _release(self) -> None:
        """Let go of what was held back, some of it in any order; all of it once honest."""
        if self._held and (not self.mood.reorder or self._rng.random() < 0.2):
            held, self._held = self._held, []
            self._rng.shuffle(held)
            for topic, data in held:
                self._deliver(topic, data)

    def _deliver(self, topic: str, data: bytes) -> None:
        for session in self._sessions.values():
            if any(_matches(each, topic) for each in session.filters):
                session.queue.append((topic, data))
                self._flush(session)

    def _flush(self, session: _Session) -> None:
        if session.writer is None:
            return
        waiting, session.queue = session.queue, []
        for topic, data in waiting:
            session.next_id = session.next_id % 65_535 + 1
            session.unacked[session.next_id] = (topic, data)
            name = topic.encode()
            head = len(name).to_bytes(2, "big") + name + session.next_id.to_bytes(2, "big")
            session.writer.write(_frame(PUBLISH, head + b"\0" + data, 2))
        if self._lie("garbage"):
            session.writer.write(self._rng.randbytes(20))


def _frame(kind: int, body: bytes, flags: int = 0) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([kind << 4 | flags]) + bytes(length) + body


async def _packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    (first,) = await reader.readexactly(1)
    size = shift = 0
    while True:
        (digit,) = await reader.readexactly(1)
        size |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return first >> 4, first & 15, await reader.readexactly(size)


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        digit = data[at]
        at += 1
        value |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return value, at


def _string(data: bytes, at: int) -> tuple[str, int]:
    size = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : at + 2 + size].decode(), at + 2 + size


def _matches(pattern: str, topic: str) -> bool:
    wanted, have = pattern.split("/"), topic.split("/")
    for at, part in enumerate(wanted):
        if part == "#":
            return True
        if at >= len(have) or part not in ("+", have[at]):
            return False
    return len(wanted) == len(have)
