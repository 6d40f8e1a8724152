"""How devices and channels are, as status and metrics show it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceState(StrEnum):
    """Where a device stands."""

    #: Not looked at yet.
    NEW = "new"
    OK = "ok"
    #: It did not answer its last look.
    SILENT = "silent"
    #: It answered its last look with a refusal or with nonsense.
    FAULTY = "faulty"
    #: Silent for long; asked seldom, so that its line is there for the others.
    QUARANTINED = "quarantined"
    #: Its line is down: nothing is known of the device itself.
    LINE_DOWN = "line-down"


class DeviceHealth(msgspec.Struct):
    """One device. Times are boottime in microseconds; counters only rise.

    `latency_us` is how long the last look took, `failures` how many in a row brought nothing,
    `text` why the last one failed. `looks` = `good` + `failed`.
    """

    device: str
    channel: str
    state: DeviceState = DeviceState.NEW
    last_good_us: int | None = None
    last_look_us: int | None = None
    latency_us: int | None = None
    failures: int = 0
    looks: int = 0
    good: int = 0
    failed: int = 0
    overruns: int = 0
    skipped: int = 0
    quarantines: int = 0
    next_probe_us: int | None = None
    text: str = ""


class ChannelHealth(msgspec.Struct, frozen=True):
    """One channel at this moment.

    `waiting` is how many devices are due and not yet asked; `busy` how many looks are in hand.
    `silent_share` is the part of the line's time since its start that brought nothing; `tally` is what a
    driver with a connection of its own counts besides, by its own names. `code` is the message that
    `reason` is of, where it is of one.
    """

    channel: str
    url: str
    state: str
    reason: str
    depth: int
    devices: int
    waiting: int
    busy: int
    silent_share: float
    last_progress_us: int | None
    counters: dict[str, int]
    tally: dict[str, int] = {}
    #: Numbers of stations that dialled and that no device has, newest first; the first few.
    strangers: tuple[str, ...] = ()
    code: str = ""
