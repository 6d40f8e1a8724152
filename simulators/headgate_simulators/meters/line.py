"""The pair that the meters share: everybody hears everything, one answers, the adapter may echo."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from headgate_simulators.meters.meters import Meter
from headgate_simulators.meters.wire import Asked, requests_in
from headgate_simulators.ports import Port, PtyPort

#: What has begun and does not go on is forgotten after so long.
_STALE_S = 0.5


class Wrong(Enum):
    """What may be wrong with a meter, as a person would say it."""

    SILENT = "silent"
    SLOW = "slow"
    WRONG_CHECKSUM = "wrong-checksum"
    WRONG_ADDRESS = "wrong-address"
    NOISE = "noise"


class MeterLine:
    """A port with meters behind it: `await line.plug()`, `await line.pull()`.

    Args:
        echo: every byte that is sent comes back first, as on many two-wire adapters.
        real_time: answers take as long as they do at the meter's own speed.
        truth: told a line for every answer that left whole: time, meter, values.
    """

    def __init__(
        self,
        port: Port,
        meters: Sequence[Meter],
        now: Callable[[], float],
        *,
        echo: bool = True,
        real_time: bool = False,
        truth: Callable[[Mapping[str, Any]], None] = lambda line: None,
        seed: int = 1,
    ) -> None:
        self.port, self.meters, self._now = port, {meter.id: meter for meter in meters}, now
        self.echo, self.real_time, self._truth = echo, real_time, truth
        self.wrong: dict[str, Wrong] = {}
        self._heard, self._heard_at = b"", 0.0
        self._dice = random.Random(seed)
        self._saying: set[asyncio.Task[None]] = set()
        port.heard = self._hear

    async def plug(self) -> None:
        """Be there."""
        await self.port.plug()

    async def pull(self) -> None:
        """Be gone; what was being answered is dropped."""
        for task in self._saying:
            task.cancel()
        await asyncio.gather(*self._saying, return_exceptions=True)
        await self.port.pull()

    def _hear(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if self.echo:
            self.port.say(data)
        if loop.time() > self._heard_at + _STALE_S:
            self._heard = b""
        self._heard_at = loop.time()
        asked, self._heard = requests_in(self._heard + data)
        for each in asked:
            for meter in self.meters.values():
                if self._understood(meter):
                    self._ask(meter, each)

    def _understood(self, meter: Meter) -> bool:
        baud = self.port.baud if isinstance(self.port, PtyPort) else None
        return baud is None or meter.line.startswith(f"{baud} ")

    def _ask(self, meter: Meter, asked: Asked) -> None:
        wrong = self.wrong.get(meter.id)
        t = self._now()
        told = meter.answer(asked, t)
        if told is None or wrong is Wrong.SILENT:
            return
        raw, values = told
        if wrong is Wrong.WRONG_CHECKSUM:
            raw = raw[:-2] + bytes([raw[-2] ^ 0x55]) + raw[-1:]
        elif wrong is Wrong.WRONG_ADDRESS:
            # Its neighbour's address, and a sum that is right for it.
            neighbour = Meter(meter.kind, meter.number + 1, meter.world)
            raw = (neighbour.answer(asked._replace(address=neighbour.address), t) or (b"", {}))[0]
        elif wrong is Wrong.NOISE:
            raw = bytes(self._dice.choices((0x00, 0x68, 0xFE, 0xFF, 0x16), k=5)) + raw
        if values and wrong not in (Wrong.WRONG_CHECKSUM, Wrong.WRONG_ADDRESS):
            self._truth({"t": t, "device": meter.id, "values": values})
        delay = 0.5 if wrong is Wrong.SLOW else 0.0
        if self.real_time:
            delay += len(raw) * 11 / int(meter.line.split()[0])
        if not delay:
            self.port.say(raw)
            return
        task = asyncio.get_running_loop().create_task(self._later(delay, raw))
        self._saying.add(task)
        task.add_done_callback(self._saying.discard)

    async def _later(self, delay: float, raw: bytes) -> None:
        await asyncio.sleep(delay)
        self.port.say(raw)
