"""One device that dials a centre: what such simulators have in common, whatever they say on the line.

It observes, dials, talks until the line is gone, hangs up, dials again, and does what its faults say. What is
said, what is a confirmation and when to say it again is the protocol's own. Many of them: `dial_farm`.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headgate_simulators.sl651_stations.line import Line, Transport

EVERY = "*"
_GONE = (OSError, ConnectionError)

#: What any of them may do wrong, and the value where none is given.
#:
#: hush         it observes nothing new
#: silent       it stays on the line and says nothing
#: deaf         no confirmation reaches it
#: clock        its clock is so many seconds ahead (33 years)
#: glue         what it says comes in one segment
#: split        segments of so many bytes
#: wrong-check  the first try of each has a wrong check
#: hangs-up     it hangs up instead of hearing the first confirmation of each
#: twin         a second one with its number, from 127.0.0.2
FAULTS: Mapping[str, float] = {
    "hush": 0.0, "silent": 0.0, "deaf": 0.0, "clock": 33 * 365.25 * 86400, "glue": 0.0, "split": 7.0,
    "wrong-check": 0.0, "hangs-up": 0.0, "twin": 0.0,
}  # fmt: skip

#: Takes lines of the truth.
Write = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One fault of one device, or of all (`*`)."""

    device: str
    kind: str
    value: float = 0.0

    @classmethod
    def make(cls, device: str, kind: str, value: float | None, known: Mapping[str, float]) -> Wrong:
        """From words; a `ValueError` says what was wrong with them."""
        if kind not in known:
            names = ", ".join(sorted(known))
            raise ValueError(f"fault {kind!r} is not known; there are: {names}")
        number = known[kind] if value is None else value
        if kind == "split" and number < 1:
            raise ValueError("split: segments of at least one byte")
        return cls(device, kind, number)

    @classmethod
    def parse(cls, written: str, known: Mapping[str, float] = FAULTS) -> Wrong:
        """`DEVICE:KIND[=VALUE]`."""
        device, colon, rest = written.partition(":")
        kind, equals, value = rest.partition("=")
        try:
            if not colon:
                raise ValueError("no colon")
            number = float(value) if equals else None
        except ValueError:
            raise ValueError(
                f"fault {written!r}: write DEVICE:KIND[=VALUE], for example *:split=3"
            ) from None
        return cls.make(device, kind, number, known)


@dataclass(frozen=True, slots=True)
class Centre:
    """Whom a device dials, and how patient it is. Real seconds."""

    host: str = "127.0.0.1"
    port: int = 0
    transport: Transport = "tcp"
    answer_s: float = 10.0
    redial_s: float = 5.0

    @classmethod
    def parse(cls, written: str, transport: Transport, answer_s: float, redial_s: float) -> Centre:
        """`ADDR:PORT`; a `ValueError` says what to write instead."""
        host, _, port = written.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"to {written!r}: write ADDR:PORT, for example 127.0.0.1:5206")
        return cls(host.strip("[]"), int(port), transport, answer_s, redial_s)

    @property
    def address(self) -> str:
        """As a site file has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Caller(ABC):
    """One device; `run` until cancelled.

    Attributes:
        faults: what it does wrong just now, with each fault's value.
        source: the local address that it dials from; None: any.
        dialled: how often it had a line.
    """

    def __init__(self, name: str, centre: Centre, write: Write, source: str | None = None) -> None:
        self.name, self.centre, self.source = name, centre, source
        self.faults: dict[str, float] = {}
        self.dialled = 0
        self._write = write
        self._line: Line | None = None
        self._random = random.Random(name)
        self._due = asyncio.Event()

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How much is not confirmed yet."""

    @abstractmethod
    async def observe(self) -> None:
        """Look at what it measures, until cancelled; `due` when something is to be said."""

    @abstractmethod
    async def talk(self, line: Line) -> None:
        """Everything on one line. To return, and ConnectionError, are to hang up."""

    def tell(self, what: Mapping[str, Any]) -> None:
        """One line of the truth."""
        self._write({"t": time.time(), "device": self.name, **what})

    def due(self) -> None:
        """There is something to be said: who waits in `heard` goes on."""
        self._due.set()

    async def run(self) -> None:
        """Observe and dial until cancelled."""
        observing = asyncio.create_task(self.observe(), name=f"{self.name} observes")
        try:
            while True:
                await self.call()
                wait = self.centre.redial_s * self._random.uniform(0.5, 1.0)
                await asyncio.sleep(wait)
                if observing.done():
                    await observing  # one that broke must not look like one with nothing to say
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)

    async def call(self) -> None:
        """One line, from dialling to hanging up; nothing where nobody answers."""
        centre = self.centre
        try:
            line = await Line.dial(centre.transport, centre.host, centre.port, self.source)
        except OSError:
            return
        self._line, self.dialled = line, self.dialled + 1
        self.tell({"dialled": True})
        try:
            await self.talk(line)
        except _GONE:
            pass
        finally:
            line.hang_up()

    def hang_up(self) -> None:
        """Give up the line now: it dials again soon."""
        if self._line is not None:
            self._line.hang_up()
            self._line.heard.put_nowait(b"")

    async def heard(self, line: Line, seconds: float, *, wakes: bool) -> bytes | None:
        """What the centre says next; None when the time is over, or something is due and that `wakes`.

        Raises:
            ConnectionError: the line is gone.
        """
        hearing = asyncio.create_task(line.heard.get())
        waiting: set[asyncio.Task[Any]] = {hearing}
        if wakes:
            waiting.add(asyncio.create_task(self._due.wait()))
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if wakes:
                self._due.clear()
            if not hearing.done():
                return None
            if not hearing.result():
                raise ConnectionResetError("the centre hung up")
            return hearing.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def say(self, line: Line, *frames: bytes) -> None:
        """Send frames, each in one segment; in one with `glue`, in small ones with `split`."""
        size = int(self.faults.get("split", 0))
        segments = [b"".join(frames)] if size or "glue" in self.faults else list(frames)
        if size:
            whole = segments[0]
            segments = [whole[at : at + size] for at in range(0, len(whole), size)]
        for segment in segments:
            line.send(segment)
