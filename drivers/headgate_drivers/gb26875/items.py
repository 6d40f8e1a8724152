"""What an application data unit of GB/T 26875.3 holds (clause 8.2.1), as data."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Part(msgspec.Struct, frozen=True):
    """Which system of a building, and which component of it.

    Attributes:
        system: its type (table 4): 1 is a fire alarm system.
        number: its address among those of one type.
        kind: of a component, its type (table 5); None for a system, and where a question leaves it out.
        address: of a component, 32 bits; None for a system.
    """

    system: int
    number: int
    kind: int | None = None
    address: int | None = None


class State(msgspec.Struct, frozen=True):
    """Types 1, 2, 21: the bits of a system, of a component, of the transmitter itself (`part` None)."""

    part: Part | None
    word: int
    at: datetime | None
    text: str = ""

    @property
    def bits(self) -> tuple[str, ...]:
        """The names of the bits that are set."""
        return tuple(name for bit, name in names_of(self.part).items() if self.word >> bit & 1)


class Analogue(msgspec.Struct, frozen=True):
    """Type 3: a quantity of a component; `kind` says which (table 6), `raw` counts its steps."""

    part: Part
    kind: int
    raw: int
    at: datetime | None

    @property
    def value(self) -> float | None:
        """In the unit of its kind; None for a kind that the standard does not know."""
        quantity = QUANTITIES.get(self.kind)
        return None if quantity is None else round(self.raw / quantity.steps, 6)


class Operation(msgspec.Struct, frozen=True):
    """Types 4, 24: what somebody did at a system, or at the transmitter (`part` None)."""

    part: Part | None
    flags: int
    operator: int
    at: datetime | None

    @property
    def acts(self) -> tuple[str, ...]:
        """The names of the bits that are set."""
        names = TRANSMITTER_ACTS if self.part is None else SYSTEM_ACTS
        return tuple(name for bit, name in names.items() if self.flags >> bit & 1)


class Version(msgspec.Struct, frozen=True):
    """Types 5, 25: of the software."""

    part: Part | None
    main: int
    minor: int


class Configuration(msgspec.Struct, frozen=True):
    """Types 6, 7, 26: what it is, in words."""

    part: Part | None
    text: str


class Clock(msgspec.Struct, frozen=True):
    """Types 8, 28, and 90, which sets it."""

    part: Part | None
    at: datetime | None


class Ask(msgspec.Struct, frozen=True):
    """Types 61 to 68 and 81 to 88: a question; `count` and `since` of operations only."""

    part: Part | None
    count: int | None = None
    since: datetime | None = None


class Order(msgspec.Struct, frozen=True):
    """Types 89 (begin anew: 0) and 91 (is anybody there? to be answered within so many minutes)."""

    value: int


class Raw(msgspec.Struct, frozen=True):
    """A type that is reserved, or a maker's own (128 and above)."""

    data: bytes


Item = State | Analogue | Operation | Version | Configuration | Clock | Ask | Order | Raw


class Message(msgspec.Struct, frozen=True):
    """An application data unit.

    Attributes:
        type: what it holds (table 3).
        count: how many objects it says that it holds.
        items: those that are there.
        flaws: what does not fit together.
    """

    type: int
    count: int
    items: tuple[Item, ...]
    flaws: tuple[str, ...] = ()


class Quantity(msgspec.Struct, frozen=True):
    """One kind of analogue value: name, unit, how many steps a unit has."""

    name: str
    unit: str
    steps: int


#: Table 6, by analogue type; 0 is not used, 13 to 127 are reserved, 128 and above a user's own.
QUANTITIES: dict[int, Quantity] = {
    1: Quantity("events", "", 1),
    2: Quantity("height", "m", 100),
    3: Quantity("temperature", "°C", 10),
    4: Quantity("pressure_mpa", "MPa", 10),
    5: Quantity("pressure_kpa", "kPa", 10),
    6: Quantity("gas", "%LEL", 10),
    7: Quantity("time", "s", 1),
    8: Quantity("voltage", "V", 10),
    9: Quantity("current", "A", 10),
    10: Quantity("flow", "L/s", 10),
    11: Quantity("air_flow", "m3/min", 10),
    12: Quantity("air_speed", "m/s", 1),
}

#: Bit 0 clear is a test; all others are what they say while set (figures 6, 7, 13, 9, 14).
SYSTEM_BITS: dict[int, str] = {
    0: "normal", 1: "fire", 2: "fault", 3: "shielded", 4: "supervised", 5: "started",
    6: "feedback", 7: "delayed", 8: "main_power_fault", 9: "backup_power_fault", 10: "bus_fault",
    11: "manual", 12: "configuration_changed", 13: "reset",
}  # fmt: skip
COMPONENT_BITS: dict[int, str] = {
    0: "normal", 1: "fire", 2: "fault", 3: "shielded", 4: "supervised", 5: "started",
    6: "feedback", 7: "delayed", 8: "power_fault",
}  # fmt: skip
TRANSMITTER_BITS: dict[int, str] = {
    0: "normal", 1: "fire", 2: "fault", 3: "main_power_fault", 4: "backup_power_fault",
    5: "centre_link_fault", 6: "monitor_link_fault",
}  # fmt: skip
SYSTEM_ACTS: dict[int, str] = {
    0: "reset", 1: "mute", 2: "manual_alarm", 3: "alarm_cancelled", 4: "self_test", 5: "confirm",
    6: "test",
}  # fmt: skip
TRANSMITTER_ACTS: dict[int, str] = SYSTEM_ACTS | {5: "guard_answer"}


def names_of(part: Part | None) -> dict[int, str]:
    """What the bits of a state mean, by whose they are."""
    if part is None:
        return TRANSMITTER_BITS
    return SYSTEM_BITS if part.address is None else COMPONENT_BITS
