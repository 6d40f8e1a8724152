"""What the units behind one line answer, whatever the line is: faults, exceptions, looks, truth.

Requests and answers are pymodbus's; registers, faults and the truth are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, ReadInputRegistersResponse

from headgate_simulators.faults import DAMAGE, FaultKind
from headgate_simulators.water_gauge.gauge import Bench, Gauge


class Answer(NamedTuple):
    """What a unit says, and what becomes of it on the way."""

    pdu: ModbusPDU
    #: One of `DAMAGE`; None: it arrives as it left.
    damage: FaultKind | None = None
    noise: bool = False


class Units:
    """The gauges behind one line, by unit id."""

    def __init__(self, gauges: Iterable[Gauge], bench: Bench, now: Callable[[], float]) -> None:
        self.gauges: Mapping[int, Gauge] = {gauge.unit: gauge for gauge in gauges}
        self._bench = bench
        self._now = now

    async def answer(self, request: ModbusPDU) -> Answer | None:
        """The answer to a request of a unit that is here; None when it keeps silent."""
        gauge = self.gauges[request.dev_id]
        wrong = self._bench.wrong_with(gauge, self._now())
        look = request.function_code == gauge.instrument.function and gauge.covers_counter(
            request.address, request.count
        )
        if FaultKind.SILENT in wrong:
            self._bench.note_fault(gauge, self._now(), "silent", look)
            return None
        late_s = max(wrong.get(FaultKind.SLOW, 0.0), wrong.get(FaultKind.LATE, 0.0))
        if late_s:
            try:
                await asyncio.sleep(late_s)
            except asyncio.CancelledError:
                self._bench.note_fault(gauge, self._now(), "slow", look, late_s=late_s)
                raise
        answer = self._told(gauge, request, wrong, look, late_s)
        answer.pdu.transaction_id = request.transaction_id
        answer.pdu.dev_id = request.dev_id
        return answer

    def _told(
        self,
        gauge: Gauge,
        request: ModbusPDU,
        wrong: Mapping[FaultKind, float],
        look: bool,
        late_s: float,
    ) -> Answer:
        noise = FaultKind.NOISE in wrong
        code = self._refused(gauge, request, wrong)
        if code is not None:
            self._bench.note_fault(gauge, self._now(), "exception", look, code=int(code))
            return Answer(ExceptionResponse(request.function_code, code), noise=noise)
        damage = next((kind for kind in DAMAGE if kind in wrong), None)
        told = gauge.look(
            self._now(),
            frozenset(wrong) & gauge.instrument.conditions,
            counted=look and damage is None,
        )
        if damage is not None:
            self._bench.note_fault(gauge, self._now(), damage.value, look)
        elif look:
            self._bench.truth.write({**told, "late_s": late_s} if late_s else told)
        words = gauge.registers[request.address : request.address + request.count]
        if _on_plate(gauge, request):
            words = [gauge.instrument.plate[request.function_code, request.address]]
        kind = (
            ReadHoldingRegistersResponse
            if request.function_code == 3
            else ReadInputRegistersResponse
        )
        return Answer(kind(registers=words), damage, noise)

    @staticmethod
    def _refused(
        gauge: Gauge, request: ModbusPDU, wrong: Mapping[FaultKind, float]
    ) -> ExcCodes | int | None:
        if FaultKind.EXCEPTION in wrong:
            return int(wrong[FaultKind.EXCEPTION])
        if _on_plate(gauge, request):
            return None
        if request.function_code != gauge.instrument.function:
            return ExcCodes.ILLEGAL_FUNCTION
        if request.address + request.count > gauge.instrument.size:
            return ExcCodes.ILLEGAL_ADDRESS
        return None


def _on_plate(gauge: Gauge, request: ModbusPDU) -> bool:
    return request.count == 1 and (request.function_code, request.address) in gauge.instrument.plate
