"""What all meters have: an address, a speed, a clock of their own, faults, and what they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, NamedTuple

from headgate_simulators.meters.wire import Asked
from headgate_simulators.world import World

#: What may be wrong with a meter, and the value where none is given.
#:
#: silent          it does not answer
#: late, slow      it answers after so many seconds: in somebody else's turn, or just late
#: preambles       so many FE before each answer
#: noise           some bytes before each answer that belong to nothing
#: wrong-checksum  each answer is damaged
#: refuses         it says no: the word of the refusal (2: no such data)
#: wrong-di        the identifier of each answer stands the wrong way round
#: unit-first      the unit stands before its value
#: neighbour       it answers as its neighbour
#: clock           its clock is so many seconds ahead
#: stuck           its switch or valve does not move, though it says yes
#: answer-lost     its switch or valve moves, and nobody hears the answer
#: follow-ups      blocks come in frames of so many bytes
FAULTS: Mapping[str, float] = {
    "silent": 0.0, "late": 3.0, "slow": 0.5, "preambles": 12.0, "noise": 0.0, "wrong-checksum": 0.0,
    "refuses": 2.0, "wrong-di": 0.0, "unit-first": 0.0, "neighbour": 0.0, "clock": 600.0, "stuck": 0.0,
    "answer-lost": 0.0, "follow-ups": 12.0,
}  # fmt: skip
#: Those that leave an answer without values for whoever asked.
DAMAGING = frozenset({"silent", "wrong-checksum", "refuses", "wrong-di", "neighbour"})

Note = Callable[[Mapping[str, Any]], None]


class Said(NamedTuple):
    """An answer: its bytes from the first 68 on, and the points that it tells, in engineering units."""

    raw: bytes
    values: Mapping[str, float | bool | None] = {}


class Meter(ABC):
    """One meter. `values` is what it says at an instant of the world: the truth.

    Attributes:
        points: what one whole look tells.
        wrong: the faults that are on, with their values.
    """

    model: ClassVar[str]
    points: ClassVar[frozenset[str]]
    digits: ClassVar[int] = 12
    settings: ClassVar[str] = "2400 8E1"
    #: What a site file must say of it beside its profile.
    entry: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, number: int, world: World, zone_h: float = 8.0) -> None:
        self.number, self.world = number, world
        self.id = f"meter-{number:03d}"
        self.address = f"{number:0{self.digits}d}"
        self.zone = timezone(timedelta(hours=zone_h))
        self.wrong: dict[str, float] = {}
        #: Told every command that arrives, whatever becomes of it.
        self.note: Note = lambda line: None
        self._set_by = timedelta(0)

    @property
    def baud(self) -> int:
        """Bits in a second."""
        return int(self.settings.split()[0])

    @property
    def preambles(self) -> int:
        """FE before an answer."""
        return int(self.wrong.get("preambles", 1))

    def local(self, t: float) -> datetime:
        """What its clock shows."""
        off = timedelta(seconds=self.wrong.get("clock", 0.0))
        return datetime.fromtimestamp(t, self.zone) + off + self._set_by

    def midnight(self, t: float) -> float:
        """The last midnight of its own day, in world time."""
        at = self.local(t)
        return t - (at - at.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()

    def neighbour(self) -> Meter:
        """The one that it is taken for."""
        return type(self)(self.number + 1, self.world)

    @abstractmethod
    def answer(self, asked: Asked, t: float) -> Said | None:
        """None where it is not meant, or keeps still."""

    def noted(self, t: float, name: str, value: object, outcome: str) -> None:
        """Keep a command in the log of writes."""
        self.note({"t": t, "device": self.id, "name": name, "value": value, "outcome": outcome})
