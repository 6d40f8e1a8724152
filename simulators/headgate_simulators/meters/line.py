"""The pair that the meters share: everybody hears everything, frames take time, the adapter may echo."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence

from headgate_simulators.meters.meter import DAMAGING, Meter, Said
from headgate_simulators.meters.wire import Asked, requests_in
from headgate_simulators.ports import Port, PtyPort

#: What has begun and does not go on is forgotten after so long.
_STALE_S = 0.5
#: Bits of a byte on the line: start, eight, parity, stop.
BITS = 11
#: How long a meter thinks before it answers (2007: 20 to 500 ms); bytes that leave together.
_THINKS_S, _PIECE = 0.03, 8

#: Controls that move something: a switch (DL/T 645), a valve (CJ/T 188).
_MOVES = (0x1C, 0x04)

#: Told of an answer that left whole: instant, meter, values; and of a request that was left without values.
Told = Callable[[float, Meter, Mapping[str, float | bool | None]], None]
Failed = Callable[[float, Meter, str], None]


class MeterLine:
    """A port with meters behind it: `await line.plug()`, `await line.pull()`.

    Args:
        now: the instant of the world.
        echo: every byte that is sent comes back first, as on many two-wire adapters.
        real_time: requests, echoes and answers take as long as they do at the line's speed.
    """

    def __init__(
        self,
        port: Port,
        meters: Sequence[Meter],
        now: Callable[[], float],
        *,
        echo: bool = True,
        real_time: bool = False,
        told: Told = lambda t, meter, values: None,
        failed: Failed = lambda t, meter, fault: None,
        seed: int = 1,
    ) -> None:
        self.port, self.meters, self._now = port, {meter.id: meter for meter in meters}, now
        self.echo, self.real_time, self._told, self._failed = echo, real_time, told, failed
        self._heard, self._heard_at = b"", 0.0
        self._dice = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._coming: asyncio.Queue[bytes] = asyncio.Queue()
        port.heard = self._coming.put_nowait

    async def plug(self) -> None:
        """Be there."""
        await self.port.plug()
        self._run(self._listen())

    async def pull(self) -> None:
        """Be gone; what was being answered is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.port.pull()

    def _run(self, doing: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def _baud(self) -> int | None:
        return self.port.baud if isinstance(self.port, PtyPort) else None

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await self._coming.get()
            baud = self._baud
            if self.real_time:
                await asyncio.sleep(len(data) * BITS / (baud or 2400))
            if self.echo:
                self.port.say(data)
            if loop.time() > self._heard_at + _STALE_S:
                self._heard = b""
            self._heard_at = loop.time()
            asked, self._heard = requests_in(self._heard + data)
            for each in asked:
                await self._ask(each, baud)

    async def _ask(self, asked: Asked, baud: int | None) -> None:
        t = self._now()
        answers = []
        for meter in self.meters.values():
            if baud is not None and baud != meter.baud:
                continue  # at another speed it hears nothing but noise
            said = self._of(meter, asked, t)
            if said is not None:
                answers.append((meter, said))
        if len(answers) > 1:  # all at once: nobody is understood
            longest = max(len(raw) for _, raw in answers)
            mixed = bytes(longest)
            for _, raw in answers:
                mixed = bytes(a ^ b for a, b in zip(mixed, raw.ljust(longest, b"\0"), strict=True))
            answers = [(answers[0][0], mixed)]
        for meter, raw in answers:
            held = meter.wrong.get("late", meter.wrong.get("slow", 0.0))
            if held:
                self._run(self._later(held, meter, raw))
            else:
                await self._say(meter, raw)

    def _of(self, meter: Meter, asked: Asked, t: float) -> bytes | None:
        """The bytes of its answer; the truth is told of it."""
        said: Said | None = meter.answer(asked, t)
        wrong = meter.wrong
        if said is not None and "neighbour" in wrong:
            neighbour = meter.neighbour()
            said = neighbour.answer(asked._replace(address=neighbour.address), t)
        if said is None:
            return None
        damage = next((kind for kind in DAMAGING if kind in wrong), None)
        if damage == "wrong-di" and asked.protocol == "cjt188":
            damage = None  # an order like the other
        if damage is not None:
            self._failed(t, meter, damage)
        elif said.values:
            self._told(t, meter, said.values)
        if "silent" in wrong or ("answer-lost" in wrong and asked.control in _MOVES):
            return None
        raw = said.raw
        if "wrong-checksum" in wrong:
            raw = raw[:-2] + bytes([raw[-2] ^ 0x55]) + raw[-1:]
        if asked.protocol != "modbus":
            raw = b"\xfe" * meter.preambles + raw
        if "noise" in wrong:
            raw = bytes(self._dice.choices((0x00, 0x68, 0xFE, 0xFF, 0x16), k=5)) + raw
        return raw

    async def _later(self, held: float, meter: Meter, raw: bytes) -> None:
        await asyncio.sleep(held)
        await self._say(meter, raw)

    async def _say(self, meter: Meter, raw: bytes) -> None:
        if not self.real_time:
            self.port.say(raw)
            return
        await asyncio.sleep(_THINKS_S)
        for at in range(0, len(raw), _PIECE):
            piece = raw[at : at + _PIECE]
            await asyncio.sleep(len(piece) * BITS / meter.baud)
            self.port.say(piece)
