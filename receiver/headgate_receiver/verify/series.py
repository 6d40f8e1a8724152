"""The slots of one device: what its plans say is due, and what became of each. Pure.

Source: uplink.md, section 6, item 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headgate_receiver.verify.items import StoredPlan

#: What became of a slot.
NOTHING, IN_TIME, LATE, BAD_IN_TIME, BAD_LATE, GAP = range(6)


class Stretch(NamedTuple):
    """Slots of one plan: from `first` of its series, until the next plan."""

    start_us: int
    interval_us: int
    first: int
    #: How many; None: nobody ended this plan.
    slots: int | None
    #: Of one look.
    readings: int = 1


class Series:
    """Plans of one device and run that count their slots on, and what became of each slot."""

    def __init__(self, boot: bytes, first_slot: int) -> None:
        self.boot = boot
        self.first_slot = first_slot
        self.stretches: list[Stretch] = []
        self.marks = bytearray()

    @property
    def start_us(self) -> int:
        return self.stretches[0].start_us

    @property
    def open_end(self) -> bool:
        return self.stretches[-1].slots is None

    @property
    def next_slot(self) -> int | None:
        """The slot after the last; None while the last plan is open."""
        last = self.stretches[-1]
        return None if last.slots is None else last.first + last.slots

    def stretch(self, slot: int) -> Stretch:
        """The plan that a slot is due by."""
        within = self.stretches[0]
        for stretch in self.stretches:
            if stretch.first > slot:
                break
            within = stretch
        return within

    def due_us(self, slot: int) -> int:
        """When a slot was due."""
        within = self.stretch(slot)
        return within.start_us + (slot - within.first) * within.interval_us

    def holds(self, slot: int) -> bool:
        """Whether a slot is one of these."""
        end = self.next_slot
        return self.first_slot <= slot and (end is None or slot < end)

    def at(self, slot: int) -> int:
        """What became of a slot."""
        index = slot - self.first_slot
        return self.marks[index] if index < len(self.marks) else NOTHING

    def mark(self, slot: int, what: int) -> None:
        """Say what became of a slot."""
        index = slot - self.first_slot
        if index >= len(self.marks):
            self.marks.extend(bytes(index + 1 - len(self.marks)))
        self.marks[index] = what

    def close(self, end_us: int) -> None:
        """The last plan ends here after all."""
        last = self.stretches[-1]
        count = slots_before(end_us, last.start_us, last.interval_us)
        # What was accounted for was due, whatever the clock says.
        count = max(count, self.first_slot + len(self.marks) - last.first)
        self.stretches[-1] = last._replace(slots=count)

    def fill(self) -> None:
        """Give every slot its mark."""
        end = self.next_slot
        assert end is not None
        self.marks.extend(bytes(max(0, end - self.first_slot - len(self.marks))))


def series_of(plans: Sequence[StoredPlan]) -> list[Series]:
    """Plans of one device and run, by start, as series of slots."""
    found: list[Series] = []
    for plan, after in zip(plans, [*plans[1:], None], strict=True):
        if not plan.interval_us:
            continue
        count = None
        if after is not None:
            count = slots_before(after.start_us, plan.start_us, plan.interval_us)
        if not found or found[-1].next_slot != plan.first_slot:
            found.append(Series(plan.boot, plan.first_slot))
        found[-1].stretches.append(
            Stretch(plan.start_us, plan.interval_us, plan.first_slot, count, plan.readings)
        )
    return found


def slots_before(end_us: int, start_us: int, interval_us: int) -> int:
    """How many of start, start + interval, ... lie before `end_us`."""
    return max(0, -((start_us - end_us) // interval_us))
