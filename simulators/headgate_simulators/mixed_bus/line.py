"""One line with units of several makers behind it: bytes in, bytes out, in the line's framing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.framer.base import FramerBase
from pymodbus.pdu import DecodePDU, ModbusPDU

from headgate_simulators.faults import FaultKind
from headgate_simulators.ports import Port, PtyPort
from headgate_simulators.water_gauge.gauge import Bench, Gauge
from headgate_simulators.water_gauge.units import Answer, Units

MOST_UNITS = 247  # Modbus unit ids are 1..247
#: A request that has begun and does not go on is forgotten after so long.
_STALE_S = 0.1
_LONGEST = 600


class Framing(Enum):
    """How frames stand on the line."""

    RTU = "rtu"
    ASCII = "ascii"
    TCP = "tcp"


_FRAMERS: Mapping[Framing, type[FramerBase]] = {
    Framing.RTU: FramerRTU,
    Framing.ASCII: FramerAscii,
    Framing.TCP: FramerSocket,
}


class BusLine:
    """A port, a framing and the units behind them.

    Args:
        settings: of each unit id, as `9600 8N1`. On a pseudo-terminal a unit understands only what is
            said at its own baud rate, as on a wire; a serial server's settings nobody sees.
    """

    def __init__(
        self,
        id_: str,
        port: Port,
        framing: Framing,
        gauges: Sequence[Gauge],
        settings: Mapping[int, str],
        bench: Bench,
        now: Callable[[], float],
    ) -> None:
        self.id = id_
        self.port = port
        self.framing = framing
        self.units = Units(gauges, bench, now)
        self.settings = settings
        self.plugged = False
        self._framer = _FRAMERS[framing](DecodePDU(is_server=True))
        self._buffer = bytearray()
        self._heard_at = 0.0
        self._dice = random.Random(id_)
        self._answering: set[asyncio.Task[None]] = set()
        port.heard = self._heard

    async def plug(self) -> None:
        """Be there."""
        await self.port.plug()
        self.plugged = True

    async def pull(self) -> None:
        """Be gone; what was being answered is dropped."""
        self.plugged = False
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self.port.pull()
        self._buffer.clear()

    # ------------------------------------------------------------ requests

    def _heard(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() > self._heard_at + _STALE_S or len(self._buffer) > _LONGEST:
            self._buffer.clear()
        self._heard_at = loop.time()
        self._buffer += data
        while self._buffer:
            try:
                used, request = self._framer.handleFrame(bytes(self._buffer), 0, 0)
            except ModbusIOException:
                self._buffer.clear()  # a function nobody here knows: on a bus that is silence
                return
            del self._buffer[:used]
            if request is None:
                return
            if request.dev_id in self.units.gauges and self._understood(request.dev_id):
                task = loop.create_task(self._answer(request))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

    def _understood(self, unit: int) -> bool:
        baud = self.port.baud if isinstance(self.port, PtyPort) else None
        return baud is None or self.settings[unit].startswith(f"{baud} ")

    async def _answer(self, request: ModbusPDU) -> None:
        answer = await self.units.answer(request)
        if answer is None:
            return
        frame = self._frame(answer)
        if self.framing is not Framing.TCP:
            await asyncio.sleep(_on_the_wire_s(frame, self.settings[request.dev_id]))
        self.port.say(frame)

    def _frame(self, answer: Answer) -> bytes:
        if answer.damage is FaultKind.WRONG_UNIT:
            answer.pdu.dev_id = answer.pdu.dev_id % MOST_UNITS + 1
        frame = self._framer.buildFrame(answer.pdu)
        if answer.damage is FaultKind.SHORT:
            frame = frame[: len(frame) // 2]
        elif answer.damage is FaultKind.WRONG_CHECKSUM:
            frame = self._spoilt(frame)
        if answer.noise:
            # From 0x80 on: no letter of ASCII, and of RTU no unit that stands on these lines.
            frame = (
                bytes(self._dice.choices(range(0xF8, 0x100), k=self._dice.randint(1, 8))) + frame
            )
        return frame

    def _spoilt(self, frame: bytes) -> bytes:
        """One bit of the checksum turned; in ASCII one of its digits replaced by another."""
        if self.framing is Framing.ASCII:
            digit = b"0" if frame[-3:-2] != b"0" else b"1"
            return frame[:-3] + digit + frame[-2:]
        return frame[:-1] + bytes([frame[-1] ^ 0x20])


def _on_the_wire_s(frame: bytes, settings: str) -> float:
    """How long a frame takes: ten or eleven bits a byte."""
    baud, _, rest = settings.partition(" ")
    bits = 1 + int(rest[0]) + (rest[1] != "N") + int(rest[2])
    return len(frame) * bits / int(baud)
