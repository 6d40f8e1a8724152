"""A bureau's platform for HJ 212, written by the standard and not on our codec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PATIENCE_S = 30


def check(data: bytes) -> int:
    """Annex A of HJ 212-2017, as its text has it."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low, register = register & 1, register >> 1
            if low:
                register ^= 0xA001
    return register


def framed(said: str) -> bytes:
    """A data segment as a packet."""
    data = said.encode()
    return b"##%04d%b%04X\r\n" % (len(data), data, check(data))


def opened(key: bytes, said: bytes) -> bytes:
    """A segment of 2025 with its CP in the clear: whole blocks were encrypted, what is left was not."""
    head, mark, rest = said.partition(b"CP=&&")
    cp = rest[:-2]
    whole = len(cp) // 16 * 16
    turn = Cipher(algorithms.SM4(key), modes.ECB()).decryptor()
    return head + mark + turn.update(cp[:whole]) + cp[whole:] + b"&&"


def fields_of(said: bytes) -> dict[str, str]:
    """The fields of a segment; CP without its marks."""
    head, _, cp = said.decode().partition("CP=")
    found = dict(each.partition("=")[::2] for each in head.split(";") if each)
    return {**found, "CP": cp.removeprefix("&&").removesuffix("&&")}


def factors_of(cp: str) -> dict[str, str]:
    """Every `name=value` of a CP."""
    return dict(each.partition("=")[::2] for item in cp.split(";") for each in item.split(","))


class Bureau:
    """Listens, keeps every packet in `heard`, and answers 9014 where `answers` says so."""

    def __init__(self) -> None:
        self.heard: list[dict[str, str]] = []
        self.calls = 0
        self.answers: Callable[[dict[str, str]], bool] = lambda packet: True
        self._changed = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        #: CP is encrypted with it, as in 2025.
        self.key: bytes | None = None

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        self.calls += 1
        self._writers.append(writer)
        try:
            while True:
                head = await reader.readexactly(6)
                assert head[:2] == b"##", head
                said = await reader.readexactly(int(head[2:]))
                assert len(said) <= 1024
                if self.key is not None and b";CN=2" in said:
                    said = opened(self.key, said)
                assert await reader.readexactly(6) == b"%04X\r\n" % check(said), said
                packet = fields_of(said)
                self.heard.append(packet)
                self._changed.set()
                if int(packet.get("Flag", "0")) & 1 and self.answers(packet):
                    flag = int(packet["Flag"]) & ~3
                    writer.write(framed(
                        f"QN={packet['QN']};ST=91;CN=9014;PW={packet['PW']};MN={packet['MN']};"
                        f"Flag={flag};CP=&&&&"
                    ))  # fmt: skip
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.remove(writer)
            self._talks.discard(task)

    def say(self, said: str) -> None:
        """Send a segment to whoever is on the line."""
        self._writers[-1].write(framed(said))

    def hang_up(self) -> None:
        """End every call."""
        for writer in self._writers:
            writer.close()

    def of(self, cn: str) -> list[dict[str, str]]:
        """The packets of a command."""
        return [each for each in self.heard if each["CN"] == cn]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until what was heard makes something true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def start(self, port: int = 0) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._call, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every call, and listen no more."""
        if self._server is not None:
            self._server.close()
            self.hang_up()
            for talk in list(self._talks):
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None


@asynccontextmanager
async def running_bureau() -> AsyncIterator[Bureau]:
    """A bureau on a free port."""
    bureau = Bureau()
    await bureau.start()
    try:
        yield bureau
    finally:
        await bureau.stop()
