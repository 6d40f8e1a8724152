"""What a frame tells: named values, and what was wrong with it. No codec here ever raises on bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Fault(StrEnum):
    """Why a frame, or the rest of one, is not taken."""

    BAD_CHECKSUM = "bad_checksum"
    """Sealed, and the key is missing or wrong."""
    TRUNCATED = "truncated"
    """It ends inside something it began."""
    BAD_LENGTH = "bad_length"
    BAD_FIELD = "bad_field"
    """A value that the format does not know."""
    NOT_SUPPORTED = "not_supported"
    """Well formed perhaps, and deliberately not taken: another format, a downgrade, a replay."""


Scalar = int | float | bool | str | None


class Field(NamedTuple):
    """One value. None: the device says that it has none. `unit` is UCUM."""

    name: str
    value: Scalar
    unit: str = "1"


class Told(NamedTuple):
    """Everything one frame tells. Fields that came before a fault are good.

    `counter` is the number a sealed frame carries against replays; where it is shared,
    several different frames may carry one number.
    """

    fields: tuple[Field, ...] = ()
    fault: Fault | None = None
    counter: int | None = None
    counter_shared: bool = False


def refused(fault: Fault) -> Told:
    """Nothing but the reason."""
    return Told((), fault)
