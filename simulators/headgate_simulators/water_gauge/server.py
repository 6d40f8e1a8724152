"""The wire: pymodbus's TCP server, with a connection that keeps requests apart.

pymodbus 3.16's own connection remembers one request only: a second request that comes while the first
is still being answered takes over its transaction, and pipelined bytes are dropped. A slow unit would
then answer under its neighbour's name. Here every request is answered by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from headgate_simulators.faults import FaultKind
from headgate_simulators.water_gauge.gauge import Bench, Gauge
from headgate_simulators.water_gauge.units import Answer, Units

MOST_UNITS = 247  # Modbus unit ids are 1..247
_MBAP = 6  # bytes before the counted part of a frame


class Connection(ServerRequestHandler):
    """One client's connection to a line of gauges."""

    def __init__(self, line: Line) -> None:
        super().__init__(line, None, None, None)  # type: ignore[no-untyped-call]
        self._line = line
        self._answering: set[asyncio.Task[None]] = set()

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:
        """Take every whole frame of `data`; returns how many bytes were used."""
        used = 0
        while True:
            try:
                length, pdu = self.framer.handleFrame(data[used:], 0, 0)
            except ModbusIOException as refused:
                used += self._refuse(data[used:], refused)
                continue
            used += length
            if pdu is None:
                return used
            task = self.loop.create_task(self._answer(pdu))
            for tasks in (self._answering, self._line.answering):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    def callback_disconnected(self, exc: Exception | None) -> None:
        """The client went away: what was being answered is dropped."""
        for task in self._answering:
            task.cancel()
        super().callback_disconnected(exc)

    def send(self, data: bytes, addr: tuple[Any, ...] | None = None) -> None:
        """Write without forgetting a request that has arrived half."""
        if self.transport is not None:
            self.transport.write(data)  # type: ignore[attr-defined]

    async def _answer(self, request: ModbusPDU) -> None:
        answer = await self._line.answer(request)
        if answer is None:
            return
        if answer.damage is FaultKind.WRONG_UNIT:
            answer.pdu.dev_id = answer.pdu.dev_id % MOST_UNITS + 1
        frame = self.framer.buildFrame(answer.pdu)
        if answer.damage is not FaultKind.SHORT:
            self.send(frame)
            return
        # Whoever breaks off in a stream hangs up: else the next unit's answer would fill the frame, and
        # without a checksum nobody could tell.
        self.send(frame[: len(frame) // 2])
        if self.transport is not None:
            self.transport.close()

    def _refuse(self, data: bytes, refused: ModbusIOException) -> int:
        """Answer a frame that pymodbus could not read; returns its length."""
        function = data[7] & 0x7F
        known = function in (1, 2, 3, 4)  # a known function that failed had a bad count
        code = ExcCodes.ILLEGAL_VALUE if known else ExcCodes.ILLEGAL_FUNCTION
        answer = ExceptionResponse(function, code, refused.dev_id, refused.transaction_id)
        self.pdu_send(answer)
        return min(len(data), _MBAP + int.from_bytes(data[4:6], "big"))


class Line(ModbusTcpServer):
    """One listening port with the gauges behind it, by unit id."""

    def __init__(
        self, host: str, port: int, gauges: list[Gauge], bench: Bench, now: Callable[[], float]
    ) -> None:
        self.units = Units(gauges, bench, now)
        self.plugged = False
        self._behind = gauges
        self._bench, self._now = bench, now
        self._address = host, port
        self.answering: set[asyncio.Task[None]] = set()
        # pymodbus wants devices of its own; every request is answered by ours before it asks them.
        nobody = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        super().__init__([nobody], address=(host, port))

    def callback_new_connection(self) -> Connection:
        """A client has connected."""
        return Connection(self)

    @property
    def gauges(self) -> Mapping[int, Gauge]:
        """The gauges behind it, by unit id."""
        return self.units.gauges

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on, or did."""
        return self._address

    def again(self) -> Line:
        """The same gauges behind the same address, once this one has stopped."""
        return Line(*self._address, self._behind, self._bench, self._now)

    async def open(self) -> None:
        """Listen; an `OSError` when the address is taken or not ours."""
        listening: Any = await self.call_create()
        self.transport = listening
        self.is_listener = True
        self._address = listening.sockets[0].getsockname()[:2]
        self.plugged = True

    async def stop(self) -> None:
        """Stop listening, hang up on every client, and end what was being answered."""
        if not self.plugged:
            return
        self.plugged = False
        listening: Any = self.transport
        clients: list[Any] = [each.transport for each in self.active_connections.values()]
        await self.shutdown()  # type: ignore[no-untyped-call]
        for client in clients:
            client.abort()  # a client that reads nothing must not hold us up
        await asyncio.gather(*self.answering, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round
        await listening.wait_closed()

    async def answer(self, request: ModbusPDU) -> Answer | None:
        """The answer to `request`, or None when the unit keeps silent."""
        if request.dev_id not in self.units.gauges:
            refusal = ExceptionResponse(request.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
            refusal.transaction_id, refusal.dev_id = request.transaction_id, request.dev_id
            return Answer(refusal)
        return await self.units.answer(request)
