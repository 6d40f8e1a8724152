"""What each kind of meter counts and answers. Consumption follows the world: cold weather heats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum

from headgate_simulators.meters.wire import (
    Asked,
    answer_188,
    answer_645,
    answer_modbus,
    bcd,
)
from headgate_simulators.world import World


class Kind(Enum):
    """What stands on the pair."""

    DLT645_2007 = "dlt645-2007"
    DLT645_1997 = "dlt645-1997"
    WATER = "cjt188-water"
    #: Wants its identifier as 90 1F, where the others want 1F 90.
    WATER_REVERSED = "cjt188-water-901f"
    HEAT = "cjt188-heat"
    #: Puts the unit before each value.
    HEAT_UNIT_FIRST = "cjt188-heat-unit-first"
    MODBUS = "modbus"


_LINES = {Kind.MODBUS: "9600 8N1", Kind.DLT645_1997: "1200 8E1"}


class Meter:
    """One meter. `values` is what it says now: the truth."""

    def __init__(self, kind: Kind, number: int, world: World) -> None:
        self.kind, self.number, self.world = kind, number, world
        digits = 14 if kind.value.startswith("cjt188") else 12
        self.address = str(number) if kind is Kind.MODBUS else f"{number:0{digits}d}"
        self.id = f"meter-{number:03d}"
        self.line = _LINES.get(kind, "2400 8E1")
        self.valve_closed = False

    def values(self, t: float) -> Mapping[str, float]:
        """What stands in its registers at this world time, rounded as it shows it."""
        hours = (t - self.world.start) / 3600
        volts = 220 + 3 * math.sin(t / 977)
        cold = max(0.0, 20.0 - self.world.air_temperature_c(t))
        load = 0.4 + 0.3 * math.sin(t / 13_751 + self.number) ** 2
        base = 1000.0 + 37 * self.number
        if self.kind in (Kind.DLT645_2007, Kind.MODBUS):
            return {"energy": round(base + load * hours, 2), "power": round(load, 4),
                    "voltage": round(volts, 1)}  # fmt: skip
        if self.kind is Kind.DLT645_1997:
            return {
                "energy": round(base + load * hours, 2),
                "voltage": float(round(volts)),
            }
        if self.kind in (Kind.WATER, Kind.WATER_REVERSED):
            return {"total": round(base + 0.02 * hours, 2), "settlement": round(base, 2)}
        return {"heat": round(base + cold * hours / 10, 2), "volume": round(base / 3, 2),
                "supply_temperature": round(45 + cold, 2),
                "return_temperature": round(38 + cold / 2, 2)}  # fmt: skip

    def answer(self, asked: Asked, t: float) -> tuple[bytes, dict[str, float]] | None:
        """Bytes and what they tell; None where it is not meant, or does not understand."""
        if self.kind is Kind.MODBUS:
            return self._modbus(asked, t) if asked.protocol == "modbus" else None
        if self.kind in (Kind.DLT645_2007, Kind.DLT645_1997):
            return self._electricity(asked, t) if asked.protocol == "dlt645" else None
        return self._metered(asked, t) if asked.protocol == "cjt188" else None

    def _electricity(self, asked: Asked, t: float) -> tuple[bytes, dict[str, float]] | None:
        old = self.kind is Kind.DLT645_1997
        if asked.control == 0x13 and asked.address == "A" * 12 and not old:
            return answer_645(self.address, 0x93, bytes.fromhex(self.address)[::-1]), {}
        if asked.address != self.address or asked.control != (0x01 if old else 0x11):
            return None
        said = dict(self.values(t))
        known = {
            "1090": ("energy", 4, 100), "11B6": ("voltage", 2, 1),
        } if old else {
            "00000100": ("energy", 4, 100), "00010102": ("voltage", 2, 10), "00000302": ("power", 3, 10_000),
        }  # fmt: skip
        name, size, times = known.get(asked.data.hex().upper(), ("", 0, 0))
        if not name:  # no such data
            return answer_645(self.address, 0xC1 if old else 0xD1, b"\x02"), {}
        content = bcd(round(said[name] * times), size)
        return answer_645(self.address, asked.control | 0x80, asked.data + content), {
            name: said[name]
        }

    def _metered(self, asked: Asked, t: float) -> tuple[bytes, dict[str, float]] | None:
        heat = self.kind in (Kind.HEAT, Kind.HEAT_UNIT_FIRST)
        kind = 0x20 if heat else 0x10
        wanted = b"\x90\x1f" if self.kind is Kind.WATER_REVERSED else b"\x1f\x90"
        if asked.address != self.address or asked.kind not in (kind, 0xAA):
            return None
        if asked.control == 0x04 and asked.data[:2] in (
            wanted[:1] + b"\xa0",
            b"\x17\xa0",
            b"\xa0\x17",
        ):
            self.valve_closed = asked.data[3] == 0x99
            state = bytes([self.valve_closed, 0])
            return answer_188(kind, self.address, 0x84, asked.data[:3] + state), {}
        if asked.control != 0x01 or asked.data[:2] != wanted:
            return None
        said = dict(self.values(t))
        when = bytes.fromhex("00000018072620")
        if not heat:
            body = self._value(said["total"], 100, 0x2C) + self._value(
                said["settlement"], 100, 0x2C
            )
            body += when + bytes([self.valve_closed, 0])
        else:
            body = self._value(said["heat"], 100, 0x05) * 2 + self._value(1.5, 100, 0x17)
            body += self._value(0.25, 10_000, 0x35) + self._value(said["volume"], 100, 0x2C)
            body += bcd(round(said["supply_temperature"] * 100), 3)
            body += bcd(round(said["return_temperature"] * 100), 3) + bcd(4711, 3) + when + b"\0\0"
        return answer_188(kind, self.address, 0x81, asked.data[:3] + body), said

    def _value(self, value: float, times: int, unit: int) -> bytes:
        raw, beside = bcd(round(value * times), 4), bytes([unit])
        return beside + raw if self.kind is Kind.HEAT_UNIT_FIRST else raw + beside

    def _modbus(self, asked: Asked, t: float) -> tuple[bytes, dict[str, float]] | None:
        if asked.address != self.address or asked.control != 3:
            return None
        start, count = int.from_bytes(asked.data[:2], "big"), int.from_bytes(asked.data[2:], "big")
        said = dict(self.values(t))
        energy, volts = round(said["energy"] * 100), round(said["voltage"] * 10)
        words = [energy >> 16, energy & 0xFFFF, volts, round(said["power"] * 1000)]
        if start + count > len(words):
            return None
        raw = b"".join(word.to_bytes(2, "big") for word in words[start : start + count])
        return answer_modbus(self.number, 3, raw), said


def stairwell(world: World, count: int = 32) -> list[Meter]:
    """So many meters, the kinds taken in turn, one of them Modbus."""
    turn = [kind for kind in Kind if kind is not Kind.MODBUS]
    meters = [Meter(turn[n % len(turn)], n + 2, world) for n in range(count - 1)]
    return [Meter(Kind.MODBUS, 1, world), *meters]
