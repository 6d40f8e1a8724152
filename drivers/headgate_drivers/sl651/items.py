"""What stands in a body, as data: in the order of the wire, and losing nothing of it.

An observation time and a station hold for what follows them (clauses 6.6.2.7 and 6.6.2.8): `rows`
says each element with both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from headgate_drivers.sl651 import values

RAIN_SLOTS, LAST_LEVEL_SLOTS = 0xF4, 0xFC


class Station(msgspec.Struct, frozen=True, tag=True):
    """F1F1: whose data follow. `kind` is the class of the station (annex A), None where none is said."""

    address: str
    kind: int | None = None


class Observed(msgspec.Struct, frozen=True, tag=True):
    """F0F0: when what follows was observed, YYMMDDHHmm as it came."""

    digits: str

    @property
    def at(self) -> datetime | None:
        """The station's own time; None when the digits are none."""
        return values.moment(self.digits)


class Element(msgspec.Struct, frozen=True, tag=True):
    """An element or a parameter that is a number.

    Attributes:
        code: its identifier; 0xFFxx of a user's own.
        digits: as they came: BCD with `decimals`, or a decimal number where `decimals` is None.
        parameter: whether it stands in a table of parameters (annex D), not of elements (annex C).
    """

    code: int
    digits: str
    decimals: int | None = None
    parameter: bool = False

    @property
    def value(self) -> int | float | None:
        """None where the station has no valid value, or says something that is no number."""
        if self.decimals is None:
            return values.decimal(self.digits)
        return values.number(self.digits, self.decimals)

    @property
    def wrong(self) -> bool:
        """Whether it says something that is neither a number nor "no data"."""
        if values.no_data(self.digits):
            return False
        right = values.is_decimal if self.decimals is None else values.is_number
        return not right(self.digits)


class Raw(msgspec.Struct, frozen=True, tag=True):
    """A parameter that is bytes: addresses, channels, a password, bits."""

    code: int
    data: bytes
    parameter: bool = True


class Slots(msgspec.Struct, frozen=True, tag=True):
    """F4 to FC: an hour in slots of five minutes; rain in 0.1 mm a byte, levels in cm two bytes.

    `each` is how many bytes the definition says; `data` may be several hours of it.
    """

    code: int
    data: bytes
    each: int

    @property
    def values(self) -> tuple[float | None, ...]:
        """Millimetres of rain, or metres above the station's base; None where a slot has no data."""
        if self.code == RAIN_SLOTS:
            return tuple(None if byte == 0xFF else byte / 10 for byte in self.data)
        counts = zip(self.data[::2], self.data[1::2], strict=False)
        return tuple(None if hi == lo == 0xFF else (hi << 8 | lo) / 100 for hi, lo in counts)


class Step(msgspec.Struct, frozen=True, tag=True):
    """04 18 or DRxnn: the step of what follows; all zero says that slots of one hour follow."""

    days: int
    hours: int
    minutes: int


class Series(msgspec.Struct, frozen=True, tag=True):
    """Values of one element at even steps, the first at the observation time (table 30)."""

    code: int
    digits: tuple[str, ...]
    decimals: int | None = None

    @property
    def values(self) -> tuple[int | float | None, ...]:
        """One for each step; None where there is none."""
        return tuple(Element(self.code, d, self.decimals).value for d in self.digits)

    @property
    def wrong(self) -> bool:
        """Whether one of them is neither a number nor "no data"."""
        return any(Element(self.code, d, self.decimals).wrong for d in self.digits)


class Status(msgspec.Struct, frozen=True, tag=True):
    """45 20: the station's state and alarms (table 58)."""

    word: int

    @property
    def bits(self) -> tuple[int, ...]:
        """The numbers of the bits that are set."""
        return tuple(bit for bit in range(32) if self.word >> bit & 1)


class Text(msgspec.Struct, frozen=True, tag=True):
    """F2F2: what somebody typed in, to the end of the body."""

    data: bytes

    @property
    def text(self) -> str:
        """As characters; what is none becomes a question mark in a diamond."""
        return self.data.decode("gb18030", "replace")


class Picture(msgspec.Struct, frozen=True, tag=True):
    """F3F3: a picture (JPEG), to the end of the body."""

    data: bytes


class Batch(msgspec.Struct, frozen=True, tag=True):
    """FDF6: velocities in bulk, to the end of the body; what is inside is the maker's."""

    data: bytes


class Asked(msgspec.Struct, frozen=True, tag=True):
    """An identifier without data: what a centre asks for, or 97 and 98, which do what they name."""

    code: int
    definition: int = 0
    parameter: bool = False


class Span(msgspec.Struct, frozen=True, tag=True):
    """From when to when a centre asks for data, YYMMDDHH (table 44)."""

    start: str
    end: str


class Version(msgspec.Struct, frozen=True, tag=True):
    """What the station's software calls itself (table 57)."""

    data: bytes


class Switches(msgspec.Struct, frozen=True, tag=True):
    """Which pumps or valves run or are open, number 1 in the lowest bit of the first byte (table 71)."""

    data: bytes

    @property
    def on(self) -> tuple[bool, ...]:
        """One for each bit, number 1 first."""
        return tuple(bool(byte >> bit & 1) for byte in self.data for bit in range(8))


class Gates(msgspec.Struct, frozen=True, tag=True):
    """Which gates are open, and how far in centimetres (table 77); None where one does not say."""

    open: tuple[bool, ...]
    openings: tuple[int | None, ...] = ()


class Quota(msgspec.Struct, frozen=True, tag=True):
    """Whether the quota of water is enforced (table 80)."""

    on: bool


class Events(msgspec.Struct, frozen=True, tag=True):
    """How often each event happened: ERC1 first (table 82)."""

    counts: tuple[int, ...]


class Rest(msgspec.Struct, frozen=True, tag=True):
    """Bytes of a function that the standard leaves to others (00-2E, 3B-3F, 52-FF)."""

    data: bytes


Item = (
    Station | Observed | Element | Raw | Slots | Step | Series | Status | Text | Picture | Batch
    | Asked | Span | Version | Switches | Gates | Quota | Events | Rest
)  # fmt: skip


class Message(msgspec.Struct, frozen=True):
    """What a body says.

    Attributes:
        serial: 1 to 65535, 0 from a centre that begins.
        sent: YYMMDDHHmmSS as it came.
        flaws: what in it was no right value; the rest can be used.
    """

    serial: int
    sent: str
    items: tuple[Item, ...] = ()
    flaws: tuple[str, ...] = ()

    @property
    def sent_at(self) -> datetime | None:
        """The sender's own time; None when the digits are none."""
        return values.moment(self.sent)


class Row(NamedTuple):
    """An item with what holds for it."""

    station: Station | None
    observed: Observed | None
    step: Step | None
    item: Item


def rows(message: Message) -> Iterator[Row]:
    """Each item of a message with its station, its observation time and its step."""
    station: Station | None = None
    observed: Observed | None = None
    step: Step | None = None
    for item in message.items:
        if isinstance(item, Station):
            station, observed, step = item, None, None
        elif isinstance(item, Observed):
            observed, step = item, None
        elif isinstance(item, Step):
            step = item
        else:
            yield Row(station, observed, step, item)
