"""What can be wrong with a station; switched on and off while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

EVERY = "*"


class StationFault(Enum):
    """The faults, and what a centre sees of each."""

    HUSH = "hush"  # it observes nothing new; what it has is still reported
    SILENT = "silent"  # it stays on the line and says nothing, not even a keep-alive
    DEAF = "deaf"  # no confirmation reaches it: it resends twice, hangs up, dials, says it again
    CLOCK = "clock"  # its clock is `value` seconds ahead (33 years)
    GLUE = "glue"  # a keep-alive and a report in one segment
    SPLIT = "split"  # a report in segments of `value` bytes (7)
    WRONG_CRC = "wrong-crc"  # the first try of each report has a wrong check
    MUTE = "mute"  # it does what it is told (4C to 4F), and says nothing
    RESET = "reset"  # it does what it is told, and hangs up instead of an answer
    IGNORE = "ignore"  # it answers an order with how it was before, and moves nothing
    TWIN = "twin"  # a second station with its number, from 127.0.0.2


_DEFAULTS = {StationFault.CLOCK: 33 * 365.25 * 86400, StationFault.SPLIT: 7.0}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One fault of one station, or of all (`*`)."""

    device: str
    kind: StationFault
    value: float = 0.0

    @classmethod
    def make(cls, device: str, kind: str, value: float | None = None) -> Wrong:
        """From words; a `ValueError` says what was wrong with them."""
        try:
            known = StationFault(kind)
        except ValueError:
            names = ", ".join(sorted(each.value for each in StationFault))
            raise ValueError(f"fault {kind!r} is not known; there are: {names}") from None
        number = _DEFAULTS.get(known, 0.0) if value is None else value
        if known is StationFault.SPLIT and number < 1:
            raise ValueError("split: segments of at least one byte")
        return cls(device, known, number)

    @classmethod
    def parse(cls, written: str) -> Wrong:
        """`DEVICE:KIND[=VALUE]`."""
        device, colon, rest = written.partition(":")
        kind, equals, value = rest.partition("=")
        try:
            if not colon:
                raise ValueError("no colon")
            number = float(value) if equals else None
        except ValueError:
            raise ValueError(
                f"fault {written!r}: write DEVICE:KIND[=VALUE], for example st-001:split=3"
            ) from None
        return cls.make(device, kind, number)
