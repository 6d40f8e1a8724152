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
        if answer is not None:
            answer.transaction_id = request.transaction_id
            answer.dev_id = request.dev_id
            self.pdu_send(answer)

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
        self.gauges: Mapping[int, Gauge] = {gauge.unit: gauge for gauge in gauges}
        self.answering: set[asyncio.Task[None]] = set()
        self._bench = bench
        self._now = now
        super().__init__([_device(gauge) for gauge in gauges], address=(host, port))

    def callback_new_connection(self) -> Connection:
        """A client has connected."""
        return Connection(self)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""
        listening: Any = self.transport
        host, port = listening.sockets[0].getsockname()[:2]
        return host, port

    async def open(self) -> None:
        """Listen; an `OSError` when the address is taken or not ours."""
        self.transport = await self.call_create()
        self.is_listener = True

    async def stop(self) -> None:
        """Stop listening, hang up on every client, and end what was being answered."""
        listening: Any = self.transport
        clients: list[Any] = [each.transport for each in self.active_connections.values()]
        await self.shutdown()  # type: ignore[no-untyped-call]
        for client in clients:
            client.abort()  # a client that reads nothing must not hold us up
        await asyncio.gather(*self.answering, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round
        if listening is not None:
            await listening.wait_closed()

    async def answer(self, request: ModbusPDU) -> ModbusPDU | None:
        """The answer to `request`, or None when the unit keeps silent."""
        gauge = self.gauges.get(request.dev_id)
        if gauge is None:
            return ExceptionResponse(request.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
        look = request.function_code == gauge.instrument.function and gauge.covers_counter(
            request.address, request.count
        )
        wrong = self._bench.wrong_with(gauge, self._now())
        if FaultKind.SILENT in wrong:
            self._bench.note_fault(gauge, self._now(), "silent", look)
            return None
        late_s = wrong.get(FaultKind.SLOW, 0.0)
        if late_s:
            try:
                await asyncio.sleep(late_s)
            except asyncio.CancelledError:
                self._bench.note_fault(gauge, self._now(), "slow", look, late_s=late_s)
                raise
        if FaultKind.EXCEPTION in wrong:
            return self._except(gauge, request, int(wrong[FaultKind.EXCEPTION]), look)
        return await self._read(gauge, request, look, late_s)

    async def _read(self, gauge: Gauge, request: ModbusPDU, look: bool, late_s: float) -> ModbusPDU:
        if request.function_code != gauge.instrument.function:
            return self._except(gauge, request, ExcCodes.ILLEGAL_FUNCTION, look)
        now = self._now()
        wrong = frozenset(self._bench.wrong_with(gauge, now)) & gauge.instrument.conditions
        told = gauge.look(now, wrong, counted=look)
        # The device's action (below) shows pymodbus the registers of this look; nothing waits between.
        answer = await request.datastore_update(self.context, request.dev_id)  # type: ignore[arg-type]
        if isinstance(answer, ExceptionResponse):
            return self._except(gauge, request, answer.exception_code, look)
        if look:
            self._bench.truth.write({**told, "late_s": late_s} if late_s else told)
        return answer

    def _except(self, gauge: Gauge, request: ModbusPDU, code: int, look: bool) -> ModbusPDU:
        self._bench.note_fault(gauge, self._now(), "exception", look, code=int(code))
        return ExceptionResponse(request.function_code, code)


def _device(gauge: Gauge) -> SimDevice:
    """The gauge as pymodbus wants it: its memory, filled anew for each look."""
    size = gauge.instrument.size

    async def show(
        function: int,
        start: int,
        address: int,
        count: int,
        memory: list[int],
        written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        memory[:size] = gauge.registers
        return None

    block = SimData(0, values=[0] * size, datatype=DataType.REGISTERS, readonly=True)
    return SimDevice(gauge.unit, simdata=[block], action=show)
