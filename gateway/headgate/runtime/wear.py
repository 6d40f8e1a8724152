"""What running costs the medium: bytes written per byte of readings, and how long a card lasts at that."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from headgate.env import Env

#: Where the kernel counts what this process had written to storage, in whole pages: proc(5).
_IO: Final = Path("/proc/self/io")
#: A medium of unknown endurance is taken to bear this many times its size: flash of 500 to 1,000 erase
#: cycles, of which small synchronous writes use five to ten at once.
CAUTIOUS: Final = 100
#: A rate over less than this is not extrapolated to years.
_LEAST_S: Final = 600.0
_DAY_S: Final = 86_400.0
_YEAR_DAYS: Final = 365.0


class Wear(msgspec.Struct, frozen=True):
    """Bytes since the start, and what follows from them; None where it is not known (yet).

    `amplification` is what the gateway wrote (spool, ledger, state) per sealed byte. `storage` is the
    kernel's count for the whole process, whole pages and log files included; the file system's own
    journal is in neither. `years` rests on `endurance`, which is the site file's or a `guess`.
    """

    payload: int
    spool: int
    state: int
    storage: int | None
    amplification: float | None
    storage_amplification: float | None
    day_bytes: int | None
    capacity: int | None
    endurance: int | None
    endurance_from: Literal["site", "guess"]
    years: float | None


class WearMeter:
    """Watches what is written from a start on.

    Args:
        folder: on the medium that is worn.
        endurance: bytes that may be written to it in its life; None: a cautious multiple of its size.
    """

    def __init__(self, env: Env, folder: Path, endurance: int | None) -> None:
        self._env = env
        self._folder = folder
        self._endurance = endurance
        self._began_us = env.clock.boottime_us()
        self._before = self._stored()

    def look(self, payload: int, spool: int, state: int) -> Wear:
        """The wear so far, from the bytes of readings and those written by spool and state."""
        stored = self._stored()
        storage = None if stored is None or self._before is None else stored - self._before
        try:
            capacity: int | None = self._env.files.capacity(self._folder)
        except OSError:
            capacity = None
        endurance = self._endurance
        if endurance is None and capacity is not None:
            endurance = capacity * CAUTIOUS
        seconds = (self._env.clock.boottime_us() - self._began_us) / 1e6
        day = None
        if seconds >= _LEAST_S:
            day = int(max(spool + state, storage or 0) / seconds * _DAY_S)
        return Wear(
            payload, spool, state, storage,
            (spool + state) / payload if payload else None,
            storage / payload if payload and storage is not None else None,
            day, capacity, endurance,
            "guess" if self._endurance is None else "site",
            endurance / day / _YEAR_DAYS if day and endurance is not None else None,
        )  # fmt: skip

    def _stored(self) -> int | None:
        try:
            text = self._env.files.read(_IO).decode("ascii", "replace")
        except OSError:
            return None
        counted = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        number = counted.get("write_bytes", "")
        return int(number) if number.isdigit() else None
