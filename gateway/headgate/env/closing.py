"""A process that nobody else looks into."""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import suppress
from pathlib import Path

#: Files of /proc that a process which is closed to all others cannot open any more: opened before.
KEPT: dict[Path, int] = {}
_PR_SET_DUMPABLE = 4


def close_to_others() -> list[str]:
    """No memory of this process leaves it: no core dump, no debugger of its user, no readable environment.

    For a process that lives for itself, at its very start: prctl(2), PR_SET_DUMPABLE; core(5). Returns what
    the system refused, in words.
    """
    refused = []
    counters = Path("/proc/self/io")
    with suppress(OSError):
        KEPT.setdefault(counters, os.open(counters, os.O_RDONLY | os.O_CLOEXEC))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        refused.append("prctl(PR_SET_DUMPABLE)")
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        refused.append("setrlimit(RLIMIT_CORE)")
    return refused
