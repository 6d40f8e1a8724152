"""One station on the wire: what its PLC answers, what it writes into the log of writes and into the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from headgate_simulators.pump_modbus import registers, wire
from headgate_simulators.pump_modbus.faults import PUMP_FAULTS, PlcFault, Wrong
from headgate_simulators.pump_modbus.plc import Plc
from headgate_simulators.truth import Truth
from headgate_simulators.writes import WriteLog

UNIT = 1
_ILLEGAL_FUNCTION, _ILLEGAL_VALUE, _NO_UNIT = 1, 3, 11


class Station:
    """A PLC behind a port of its own, as unit 1."""

    def __init__(
        self,
        id_: str,
        name: str,
        plc: Plc,
        truth: Truth,
        writes: WriteLog,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.id = id_
        self.name = name
        self.plc = plc
        self.sample = 0
        self.wrong: dict[PlcFault, float] = {}
        self._truth = truth
        self._writes = writes
        self._now = now

    def set_wrong(self, wrong: Wrong, *, on: bool) -> None:
        """Break or mend what the fault says."""
        if wrong.kind in PUMP_FAULTS:
            pump = self.plc.pumps[wrong.pump]
            pump.never_closes = on if wrong.kind is PlcFault.NO_START else pump.never_closes
            pump.welded = on if wrong.kind is PlcFault.WELDED else pump.welded
            pump.contact_broken = on if wrong.kind is PlcFault.NO_FEEDBACK else pump.contact_broken
            if wrong.kind is PlcFault.LATE_FEEDBACK:
                pump.contact_late_s = wrong.value if on else 0.0
            if wrong.kind is PlcFault.TRIP:
                pump.tripped = on
        elif wrong.kind is PlcFault.BLOCKED:
            self.plc.gate.blocked = on
        elif on:
            self.wrong[wrong.kind] = wrong.value
        else:
            self.wrong.pop(wrong.kind, None)

    # ------------------------------------------------------------ answers

    async def answer(self, connection: int, peer: str, unit: int, pdu: bytes) -> bytes | None:
        """Answer one frame. Whatever would write is in the log before its answer leaves."""
        if PlcFault.SLOW in self.wrong:
            await asyncio.sleep(self.wrong[PlcFault.SLOW])
        answer, outcome = self._answer(unit, pdu)
        if pdu[0] in wire.WRITES or outcome == "unknown-function":
            for line in self._lines(pdu, unit, outcome):
                self._writes.note({**line, "connection": connection, "peer": peer})
        return None if outcome in ("silent", "answer-lost") else answer

    def _answer(self, unit: int, pdu: bytes) -> tuple[bytes, str]:
        function = pdu[0]
        if PlcFault.SILENT in self.wrong:
            return b"", "silent"
        if unit != UNIT:
            return wire.exception(function, _NO_UNIT), f"refused {_NO_UNIT}"
        if PlcFault.EXCEPTION in self.wrong:
            code = int(self.wrong[PlcFault.EXCEPTION])
            return wire.exception(function, code), f"refused {code}"
        if function not in wire.READS and function not in (5, 6, 15, 16, 22):
            return wire.exception(function, _ILLEGAL_FUNCTION), "unknown-function"
        try:
            request = wire.parse(pdu)
            if function in wire.READS:
                return self._read(request), ""
            return wire.written_answer(pdu), self._write(request)
        except wire.Malformed:
            return wire.exception(function, _ILLEGAL_VALUE), "malformed"
        except registers.Refused as refused:
            return wire.exception(function, refused.code), f"refused {refused.code}"

    def _read(self, request: wire.Request) -> bytes:
        plc, function = self.plc, request.function
        if function in (1, 2):
            table = registers.coils(plc) if function == 1 else registers.discretes(plc)
            bits = registers.read(table, request.address, request.count)
            return wire.bits_answer(function, bits)
        if function == 3:
            words = registers.read(registers.holding(plc), request.address, request.count)
            return wire.words_answer(function, words)
        counted = request.address <= registers.SAMPLE < request.address + request.count
        sample = self.sample + 1 if counted else self.sample
        table = registers.inputs(plc, sample)
        words = registers.read(table, request.address, request.count)
        if counted:
            self.sample = sample & 0xFFFF
            self._truth.write(
                {"t": self._now(), "device": self.id, "sample": self.sample, "values": told(table)}
            )
        return wire.words_answer(function, words)

    def _write(self, request: wire.Request) -> str:
        """Do it, or not; the outcome as the log names it."""
        address, values = request.address, request.values
        if request.function in (5, 15):
            doing = registers.write_coils(self.plc, address, [bool(bit) for bit in values])
        else:
            if request.function == 22:
                keep, bits = values
                word = registers.read(registers.holding(self.plc), address, 1)[0]
                values = (word & keep | bits & ~keep & 0xFFFF,)
            doing = registers.write_registers(self.plc, address, values)
        if PlcFault.REFUSE in self.wrong:
            raise registers.Refused(int(self.wrong[PlcFault.REFUSE]))
        beat = request.function in (6, 16) and registers.HOLDING.get(address) == "heartbeat"
        if not self.plc.remote and not beat:
            return "local"
        if PlcFault.IGNORE in self.wrong:
            return "ignored"
        for do in doing:
            do()
        return "answer-lost" if PlcFault.ANSWER_LOST in self.wrong else "done"

    # ------------------------------------------------------------ the log

    def _lines(self, pdu: bytes, unit: int, outcome: str) -> list[dict[str, Any]]:
        base = {
            "t": self._now(), "device": self.id, "unit": unit, "function": pdu[0],
            "table": wire.WRITES.get(pdu[0], ""), "raw": pdu.hex(), "outcome": outcome,
        }  # fmt: skip
        try:
            request = wire.parse(pdu)
        except wire.Malformed:
            return [{**base, "address": None, "name": "", "value": None}]
        names: Mapping[int, str] = registers.HOLDING
        if base["table"] == "coil":
            names = registers.COILS
        values = [list(request.values)] if request.function == 22 else list(request.values)
        return [
            {**base, "address": request.address + i, "name": names.get(request.address + i, ""),
             "value": value}
            for i, value in enumerate(values)
        ]  # fmt: skip


def told(words: list[int]) -> dict[str, float]:
    """What the input registers mean, by the names of the profile's points."""
    return {
        "level": words[1] / 1000, "inflow": words[2] / 10,
        "pump1_current": words[3] / 10, "pump2_current": words[4] / 10,
        "pump1_speed": words[5] / 100, "pump2_speed": words[6] / 100,
        "gate_position": words[7] / 10,
        "pump1_starts": words[8] << 16 | words[9], "pump2_starts": words[10] << 16 | words[11],
        "sample": words[12],
    }  # fmt: skip
