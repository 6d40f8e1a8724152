"""Water, heat and gas meters of CJ/T 188, in both orders of the identifier; some have a valve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from headgate_simulators.meters.meter import Meter, Said
from headgate_simulators.meters.wire import Asked, answer_188, bcd, moment

M3, KWH, KW, M3_H = 0x2C, 0x05, 0x17, 0x35
_EVERYBODY = "A" * 14
_OPEN, _CLOSE = 0x55, 0x99


class Metered(Meter):
    """What they share."""

    digits = 14
    kind: ClassVar[int]
    #: How its identifiers stand on the wire.
    lowest_first: ClassVar[bool] = True
    unit_first: ClassVar[bool] = False
    valve: ClassVar[bool] = True

    closed = False

    def values(self, t: float) -> Mapping[str, float | bool]:
        """What stands in its registers."""
        hours = (t - self.world.start) / 3600
        base = 1000.0 + 37 * self.number
        state = {
            "battery_low": False,
            "status": float(self.closed << 8),
            "valve_closed": self.closed,
        }
        return {"total": round(base + 0.2 * hours, 2), "settlement": round(base, 2), **state}

    def content(self, values: Mapping[str, float | bool], t: float) -> bytes:
        """Present data behind the serial number."""
        body = self.value(values["total"], 100, M3) + self.value(values["settlement"], 100, M3)
        return body + self.ending(t)

    def value(self, value: float | bool, times: int, unit: int) -> bytes:
        """Four bytes of digits and the unit, on its side."""
        raw = bcd(round(value * times), 4)
        first = self.unit_first or "unit-first" in self.wrong
        return bytes([unit]) + raw if first else raw + bytes([unit])

    def ending(self, t: float) -> bytes:
        """Its time and its state."""
        return moment(self.local(t), "S", "M", "H", "d", "m", "y", "C") + bytes([self.closed, 0])

    def answer(self, asked: Asked, t: float) -> Said | None:
        if asked.protocol != "cjt188" or asked.kind not in (self.kind, 0xAA):
            return None
        if asked.address not in (self.address, _EVERYBODY) or len(asked.data) < 3:
            return None
        identifier = asked.data[1::-1] if self.lowest_first else asked.data[:2]
        if asked.control == 0x03 and identifier == b"\x81\x0a":
            return Said(answer_188(self.kind, self.address, 0x83, asked.data[:3]))
        if asked.address != self.address:
            return None
        if "refuses" in self.wrong and asked.control in (0x01, 0x04):
            state = bytes([asked.data[2], int(self.wrong["refuses"]), 0])
            return Said(answer_188(self.kind, self.address, asked.control | 0xC0, state))
        if asked.control == 0x04 and identifier == b"\xa0\x17" and self.valve:
            return self._move(asked, t)
        if asked.control != 0x01 or identifier != b"\x90\x1f":
            return None
        said = self.values(t)
        told = asked.data[1::-1] if "wrong-di" in self.wrong else asked.data[:2]
        body = told + asked.data[2:3] + self.content(said, t)
        return Said(answer_188(self.kind, self.address, 0x81, body), said)

    def _move(self, asked: Asked, t: float) -> Said | None:
        command = asked.data[3] if len(asked.data) == 4 else 0
        known = command in (_OPEN, _CLOSE)
        stuck = "stuck" in self.wrong
        if known and not stuck:
            self.closed = command == _CLOSE
        outcome = "malformed" if not known else "stuck" if stuck else "done"
        self.noted(t, "valve", f"{command:02X}", outcome)
        if not known:
            return Said(answer_188(self.kind, self.address, 0xC4, asked.data[2:3] + b"\x01\x00"))
        state = bytes([self.closed, 0])
        return Said(answer_188(self.kind, self.address, 0x84, asked.data[:3] + state))


class Water(Metered):
    """Cold water; identifiers lowest byte first."""

    model = "generic/water-meter-cjt188"
    kind = 0x10
    points = frozenset({"total", "settlement", "valve_closed", "battery_low", "status"})


class WaterReversed(Water):
    """Cold water; wants its identifiers as they are printed."""

    lowest_first = False


class Heat(Metered):
    """Heat: the colder, the more."""

    model = "generic/heat-meter-cjt188"
    kind = 0x20
    valve = False
    points = frozenset({
        "heat", "heat_settlement", "power", "flow", "volume", "supply_temperature",
        "return_temperature", "hours", "battery_low", "status",
    })  # fmt: skip

    def values(self, t: float) -> Mapping[str, float | bool]:
        hours = (t - self.world.start) / 3600
        cold = max(0.0, 20.0 - self.world.air_temperature_c(t))
        base = 1000.0 + 37 * self.number
        return {
            "heat": round(base + 2.0 * hours, 2), "heat_settlement": round(base, 2),
            "power": round(0.5 + cold / 10, 2), "flow": 0.25, "volume": round(base / 3 + hours / 4, 2),
            "supply_temperature": round(45 + cold, 2), "return_temperature": round(38 + cold / 2, 2),
            "hours": float(4711 + int(hours)), "battery_low": False, "status": 0.0,
        }  # fmt: skip

    def content(self, values: Mapping[str, float | bool], t: float) -> bytes:
        rows = (
            ("heat_settlement", 100, KWH), ("heat", 100, KWH), ("power", 100, KW),
            ("flow", 10_000, M3_H), ("volume", 100, M3),
        )  # fmt: skip
        body = b"".join(self.value(values[name], times, unit) for name, times, unit in rows)
        for name in ("supply_temperature", "return_temperature"):
            body += bcd(round(values[name] * 100), 3)
        return body + bcd(round(values["hours"]), 3) + self.ending(t)


class HeatUnitFirst(Heat):
    """Heat; puts the unit before each value."""

    unit_first = True


class Gas(Metered):
    """Gas; its valve is closed by itself, not by us."""

    model = "generic/gas-meter-cjt188"
    kind = 0x30
    valve = False
    points = frozenset(
        {"total", "settlement", "valve_closed", "valve_fault", "battery_low", "status"}
    )

    def values(self, t: float) -> Mapping[str, float | bool]:
        return {**super().values(t), "valve_fault": False}
