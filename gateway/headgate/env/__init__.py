"""The only door to the world: clock, randomness, files, sockets, threads.

Core code takes one `Env` and reaches nothing around it; a lint holds this line. That is what lets a
test run the whole gateway under a virtual clock, on a recorded disk, with the same seed twice.

doors    what may be asked, and `Env`
clock, files, net   the real world
closing  a process that nobody else looks into
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from headgate.env.clock import SystemClock, SystemRandom
from headgate.env.closing import close_to_others
from headgate.env.doors import AppendFile, Clock, ClockState, Env, Files, Net, Random, ReadFiles
from headgate.env.files import SystemFiles
from headgate.env.net import SystemNet, reachable

__all__ = [
    "AppendFile",
    "Clock",
    "ClockState",
    "Env",
    "Files",
    "Net",
    "Random",
    "ReadFiles",
    "SystemClock",
    "SystemFiles",
    "SystemNet",
    "SystemRandom",
    "close_to_others",
    "reachable",
    "system_env",
]


def system_env() -> Env:
    """The real world."""
    return Env(
        SystemClock(),
        SystemRandom(),
        SystemFiles(),
        SystemNet(),
        lambda name: ThreadPoolExecutor(1, thread_name_prefix=name),
    )
