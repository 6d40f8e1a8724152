"""The kernel's clocks and randomness."""

from __future__ import annotations

import ctypes
import os
import random
import time
import uuid
from pathlib import Path

from headgate.env.doors import ClockState


class _Timex(ctypes.Structure):
    # struct timex of adjtimex(2), up to the fields we read; the tail is padding of the kernel's size.
    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("tail", ctypes.c_byte * 256),
    ]  # fmt: skip


_STA_UNSYNC = 0x0040


class SystemClock:
    """The kernel's clocks."""

    def __init__(self) -> None:
        try:
            text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            self._boot = uuid.UUID(text).bytes
        except (OSError, ValueError):
            self._boot = uuid.uuid4().bytes
        self._was_synced = False
        # Once: it is asked for each report of a station.
        self._libc = ctypes.CDLL(None, use_errno=True)

    def boot_id(self) -> bytes:
        return self._boot

    def boottime_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def wall_state(self) -> tuple[ClockState, int | None]:
        timex = _Timex()
        if self._libc.adjtimex(ctypes.byref(timex)) < 0:
            return "unsynced", None
        if timex.status & _STA_UNSYNC:
            return ("holdover" if self._was_synced else "unsynced"), None
        self._was_synced = True
        return "synced", int(timex.maxerror)


class SystemRandom:
    """The kernel's randomness."""

    def token(self, size: int) -> bytes:
        return os.urandom(size)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)  # noqa: S311 - jitter, not keys
