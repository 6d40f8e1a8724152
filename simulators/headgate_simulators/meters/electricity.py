"""Electricity meters: DL/T 645-2007 (three-phase, and single-phase with a switch) and of 1997.

They freeze at midnight of their own clock, take the time once a day where it is less than five minutes
off, and trip and close by password until the command is void (2007, clause 7, and its supplement).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, NamedTuple

from headgate_simulators.meters.meter import Meter, Said
from headgate_simulators.meters.wire import Asked, answer_645, bcd, moment, signed

EVERYBODY, BROADCAST = "A" * 12, "9" * 12
#: Words of a refusal.
OTHER, NO_DATA, PASSWORD = 1, 2, 4
_CLOCK_MOST_S, _DAY_S = 300.0, 86_400.0
#: What a switched meter is delivered with: class 02, then six digits; as the master sends them.
DELIVERED_WITH = "02123456"
_TRIP, _PERMIT, _CLOSE = 0x1A, 0x1B, 0x1C


class Register(NamedTuple):
    """One item of an answer: which point, bytes, and counts in one of its unit."""

    point: str
    size: int
    times: int
    sign: bool = False


class Electricity(Meter):
    """What both editions have."""

    registers: ClassVar[Mapping[str, tuple[Register, ...]]]
    read: ClassVar[int] = 0x11
    follow: ClassVar[int] = 0x12

    def load_kw(self, t: float) -> float:
        """The load: cold weather heats."""
        cold = max(0.0, 20.0 - self.world.air_temperature_c(t))
        return 0.4 + 0.02 * cold + 0.3 * math.sin(t / 13_751 + self.number) ** 2

    def energy_kwh(self, t: float) -> float:
        """What it has counted, as it shows it. Rises."""
        hours = (t - self.world.start) / 3600
        return round(1000.0 + 37 * self.number + 0.6 * hours, 2)

    def values(self, t: float) -> Mapping[str, float | bool]:
        """What stands in its registers."""
        volts = [round(220 + 3 * math.sin(t / 977 + n), 1) for n in range(3)]
        power = round(self.load_kw(t), 4)
        amps = [round(1000 * power / 3 / volt, 3) for volt in volts]
        return {
            "energy_import": self.energy_kwh(t), "energy_export": round(0.01 * self.number, 2),
            **dict(zip(("voltage_a", "voltage_b", "voltage_c"), volts, strict=True)),
            **dict(zip(("current_a", "current_b", "current_c"), amps, strict=True)),
            "power": power, "power_factor": 0.985, "frequency": round(50 + 0.03 * math.sin(t / 61), 2),
        }  # fmt: skip

    def answer(self, asked: Asked, t: float) -> Said | None:
        if asked.protocol != "dlt645":
            return None
        if asked.address == BROADCAST and asked.control == 0x08:
            self._set_clock(asked.data, t)
            return None
        if asked.address not in (self.address, EVERYBODY):
            return None
        if "refuses" in self.wrong and asked.control in (self.read, 0x1C):
            return self.refusal(asked.control, int(self.wrong["refuses"]))
        if asked.control == self.read:
            return self._said(asked, t)
        if asked.control == self.follow:
            return self._more(asked)
        return self.told(asked, t) if asked.address == self.address else None

    def told(self, asked: Asked, t: float) -> Said | None:
        """Another command than to read."""
        return None

    def special(self, identifier: str, t: float) -> bytes | None:
        """What stands behind an identifier that is no point's; None: nothing."""
        return None

    def refusal(self, control: int, word: int) -> Said:
        """It says no."""
        return Said(answer_645(self.address, control | 0xC0, bytes([word])))

    def _said(self, asked: Asked, t: float) -> Said | None:
        identifier = asked.data[::-1].hex().upper()
        rows = self.registers.get(identifier)
        values: dict[str, float | bool] = {}
        if rows is not None:
            shown = self.values(t)
            values = {row.point: shown[row.point] for row in rows}
            content = b"".join(_digits(row, shown[row.point]) for row in rows)
        else:
            special = self.special(identifier, t)
            if special is None:
                return self.refusal(asked.control, NO_DATA)
            content, values = special, self.switch_told(identifier)
        if "wrong-di" in self.wrong:
            return Said(answer_645(self.address, self.read | 0x80, asked.data[::-1] + content))
        part = int(self.wrong.get("follow-ups", 0))
        if part and len(content) > part:
            self._rest = identifier, content[part:]
            content = content[:part]
            raw = answer_645(self.address, self.read | 0xA0, asked.data + content)
            return Said(raw, values)
        return Said(answer_645(self.address, self.read | 0x80, asked.data + content), values)

    def switch_told(self, identifier: str) -> dict[str, float | bool]:
        """What a status word says of a switch."""
        return {}

    _rest: tuple[str, bytes] = ("", b"")

    def _more(self, asked: Asked) -> Said | None:
        identifier, rest = self._rest
        size = len(identifier) // 2
        if asked.data[:size][::-1].hex().upper() != identifier or not rest:
            return self.refusal(asked.control, OTHER)
        part = int(self.wrong.get("follow-ups", 200))
        more = 0x20 if len(rest) > part else 0
        self._rest = identifier, rest[part:]
        # The number of the follow-up stands behind the data (2007 alone).
        body = asked.data[:size] + rest[:part] + asked.data[size:]
        return Said(answer_645(self.address, self.follow | 0x80 | more, body))

    _set_at = -math.inf

    def _set_clock(self, data: bytes, t: float) -> None:
        try:
            told = datetime.strptime(data[::-1].hex(), "%y%m%d%H%M%S").replace(tzinfo=self.zone)
        except ValueError:
            self.noted(t, "clock", data.hex(), "malformed")
            return
        off = told - self.local(t)
        taken = abs(off.total_seconds()) <= _CLOCK_MOST_S and t - self._set_at >= _DAY_S
        if taken:
            self._set_by += off
            self._set_at = t
        self.noted(t, "clock", told.isoformat(), "done" if taken else "ignored")


def _digits(row: Register, value: float | bool) -> bytes:
    count = round(value * row.times)
    return signed(count, row.size) if row.sign else bcd(count, row.size)


_ENERGY = {"00010000": (Register("energy_import", 4, 100),)}


class ThreePhase(Electricity):
    """2007, three-phase."""

    model = "generic/electricity-meter-dlt645"
    registers: ClassVar[Mapping[str, tuple[Register, ...]]] = {
        **_ENERGY,
        "00020000": (Register("energy_export", 4, 100),),
        "0201FF00": tuple(Register(f"voltage_{each}", 2, 10) for each in "abc"),
        "0202FF00": tuple(Register(f"current_{each}", 3, 1000, True) for each in "abc"),
        "02030000": (Register("power", 3, 10_000, True),),
        "02060000": (Register("power_factor", 2, 1000, True),),
        "02800002": (Register("frequency", 2, 100),),
    }
    points = frozenset(row.point for rows in registers.values() for row in rows) | {"relay_open"}
    tripped = False

    def special(self, identifier: str, t: float) -> bytes | None:
        at, midnight = self.local(t), self.midnight(t)
        frozen = self.energy_kwh(midnight)
        zone = self.zone
        match identifier:
            case "04000101":
                return moment(at, "w", "d", "m", "y")
            case "04000102":
                return moment(at, "S", "M", "H")
            case "04000401":
                return bytes.fromhex(self.address)[::-1]
            case "04000503":
                return (self.tripped << 4).to_bytes(2, "little")
            case "05060001":
                return moment(
                    datetime.fromtimestamp(round(midnight), zone), "M", "H", "d", "m", "y"
                )
            case "05060101":  # the total, and four tariffs
                return bcd(round(frozen * 100), 4) + b"".join(
                    bcd(round(frozen * share), 4) for share in (10, 20, 30, 40)
                )
        return None

    def switch_told(self, identifier: str) -> dict[str, float | bool]:
        return {"relay_open": self.tripped} if identifier == "04000503" else {}

    def told(self, asked: Asked, t: float) -> Said | None:
        if asked.control == 0x13:
            return Said(answer_645(self.address, 0x93, bytes.fromhex(self.address)[::-1]))
        return None

    def answer(self, asked: Asked, t: float) -> Said | None:
        if asked.protocol == "dlt645" and asked.address == EVERYBODY and asked.control == 0x13:
            return self.told(asked, t)
        return super().answer(asked, t)


class Switched(ThreePhase):
    """2007, single-phase and prepaid, with a switch."""

    model = "generic/electricity-meter-switch-dlt645"
    registers: ClassVar[Mapping[str, tuple[Register, ...]]] = {
        **_ENERGY,
        "02010100": (Register("voltage", 2, 10),),
        "02020100": (Register("current", 3, 1000, True),),
        "02030000": (Register("power", 3, 10_000, True),),
        "00900200": (Register("money_left", 4, 100),),
    }
    points = frozenset(row.point for rows in registers.values() for row in rows) | {"switched_on"}
    authority = DELIVERED_WITH
    #: "permit close" was told: whoever presses the button has power again.
    permitted = False

    def values(self, t: float) -> Mapping[str, float | bool]:
        power = 0.0 if self.tripped else round(self.load_kw(t), 4)
        volts = round(220 + 3 * math.sin(t / 977 + self.number), 1)
        left = round(500 - 0.01 * (t - self.world.start) / 3600, 2)
        return {
            "energy_import": self.energy_kwh(t), "voltage": volts, "power": power,
            "current": round(1000 * power / volts, 3), "money_left": left,
        }  # fmt: skip

    def switch_told(self, identifier: str) -> dict[str, float | bool]:
        return {"switched_on": not self.tripped} if identifier == "04000503" else {}

    def press(self) -> None:
        """Somebody presses the button of the meter."""
        if self.permitted:
            self.tripped = self.permitted = False

    def told(self, asked: Asked, t: float) -> Said | None:
        if asked.control != 0x1C:
            return super().told(asked, t)
        word, outcome = self._switch(asked.data, t)
        command = f"{asked.data[8]:02X}" if len(asked.data) > 8 else ""
        self.noted(t, "switch", command, outcome)
        return self.refusal(0x1C, word) if word else Said(answer_645(self.address, 0x9C, b""))

    def _switch(self, data: bytes, t: float) -> tuple[int, str]:
        if len(data) != 16:
            return OTHER, "malformed"
        if (data[:1] + data[3:0:-1]).hex() != self.authority:
            return PASSWORD, "refused: password"
        try:
            until = datetime.strptime(data[10:][::-1].hex(), "%y%m%d%H%M%S").replace(
                tzinfo=self.zone
            )
        except ValueError:
            return OTHER, "malformed"
        if until < self.local(t):
            return OTHER, "refused: void"
        if data[8] not in (_TRIP, _PERMIT, _CLOSE):
            return OTHER, "refused: unknown"
        if "stuck" in self.wrong:
            return 0, "stuck"
        self.permitted = data[8] == _PERMIT
        if data[8] != _PERMIT:
            self.tripped = data[8] == _TRIP
        return 0, "done"


class Of1997(Electricity):
    """1997, three-phase, at 1200 baud."""

    model = "generic/electricity-meter-dlt645-1997"
    settings = "1200 8E1"
    read, follow = 0x01, 0x02
    registers: ClassVar[Mapping[str, tuple[Register, ...]]] = {
        "9010": (Register("energy_import", 4, 100),),
        "9020": (Register("energy_export", 4, 100),),
        **{f"B61{n}": (Register(f"voltage_{each}", 2, 1),) for n, each in enumerate("abc", 1)},
        **{f"B62{n}": (Register(f"current_{each}", 2, 100),) for n, each in enumerate("abc", 1)},
        "B630": (Register("power", 3, 10_000),),
    }
    points = frozenset(row.point for rows in registers.values() for row in rows)

    def values(self, t: float) -> Mapping[str, float | bool]:
        said = dict(super().values(t))
        for each in "abc":
            said[f"voltage_{each}"] = float(round(said[f"voltage_{each}"]))
            said[f"current_{each}"] = round(said[f"current_{each}"], 2)
        return said

    def special(self, identifier: str, t: float) -> bytes | None:
        if identifier == "9410":  # as the last month ended
            month = self.local(t).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            ended = max(self.world.start, t - (self.local(t) - month).total_seconds())
            return bcd(round(self.energy_kwh(ended) * 100), 4)
        return None
