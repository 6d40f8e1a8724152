"""One device on its line: what is asked of it, which slot waits, and how it has behaved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from headgate.model import Block, GapReason, Plan
from headgate.runtime.health import DeviceHealth
from headgate.runtime.patience import Quarantine, Tuning
from headgate.runtime.slots import SlotLedger
from headgate.runtime.wheel import Turn
from headgate.sdk import Device, PollingDriver, Step

#: Judges the quality of raw values: sentinels, ranges.
Judge = Callable[[Block], Block]


class Work(NamedTuple):
    """What one look does. A look in hand keeps its own, also when the device is replaced meanwhile."""

    device: Device
    #: The device when it was silent last time: not asked twice, which would double what it costs.
    suspect: Device
    driver: PollingDriver
    plan: Any
    judge: Judge
    step: Step | None


def work_on(
    device: Device, driver: PollingDriver, plan: Any, judge: Judge, step: Step | None
) -> Work:
    """The work of looking at a device."""
    return Work(device, msgspec.structs.replace(device, retries=0), driver, plan, judge, step)


class Polled:
    """One device on its line."""

    turn: Turn

    def __init__(self, work: Work, tuning: Tuning, ledger: SlotLedger) -> None:
        self.work = work
        self.ledger = ledger
        self.health = DeviceHealth(work.device.id, work.device.channel)
        self.quarantine = Quarantine(tuning)
        #: The slot that is due and not yet asked for, and when it was due.
        self.waiting: tuple[int, int] | None = None
        #: The block of the last good look.
        self.latest: Block | None = None
        #: The plan that begins after the next slot.
        self.next_plan: Plan | None = None
        #: Set while no look is in hand.
        self.idle = asyncio.Event()
        self.idle.set()
        #: Whether a bad block has said that the line is down.
        self.line_told = False
        #: Told when the device is well again, or begins to answer nonsense.
        self.turned: Callable[[DeviceHealth], None] | None = None

    def take(self) -> tuple[int, int] | None:
        """The slot that waits, now in the caller's hand."""
        waiting, self.waiting = self.waiting, None
        return waiting

    def miss(self, reason: GapReason, slot: int, due_us: int) -> None:
        """One slot brings no block."""
        self.health.skipped += 1
        self.ledger.miss(reason, slot, slot, due_us, due_us)

    def forget(self, reason: GapReason) -> None:
        """Give up the slot that waits, if one does."""
        waiting = self.take()
        if waiting is not None:
            self.miss(reason, *waiting)
