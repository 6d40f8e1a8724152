"""The account of a device's slots: every one that brought no block is in exactly one gap."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headgate.model import Gap, GapReason

#: A gap that goes on is told at least this often, so that a crash loses little of the account.
TELL_EVERY_US = 60_000_000
#: Overruns end with no event of their own, and have holes, so a successor could not tell them from when
#: they began: they are told soon enough for what is not told to be what may be in hand at a kill.
TELL_OVERRUN_US = 3_000_000

#: Bound once: an enum's members are slow to reach, and this is asked for every look.
_OVERRUN = GapReason.OVERRUN


class _Open:
    __slots__ = ("first_slot", "first_us", "last_slot", "last_us", "looks")

    def __init__(self, slot: int, at_us: int) -> None:
        self.first_slot = self.last_slot = slot
        self.first_us = self.last_us = at_us
        self.looks = 0


class SlotLedger:
    """Missed slots of one device, joined per reason until there is something to tell.

    `looks` of a gap is exact. Its slot range is exact too, but for overruns: there, slots that did
    bring a block may lie between, because a device that is too slow misses every other slot.
    """

    def __init__(self, device: int, readings: int, put: Callable[[Gap], None]) -> None:
        self._device = device
        self._readings = readings
        self._put = put
        self._open: dict[GapReason, _Open] = {}

    def miss(self, reason: GapReason, first: int, last: int, first_us: int, last_us: int) -> None:
        """Slots first..last brought no block, because of `reason`; times are when they were due."""
        if _OVERRUN in self._open:
            self._tell_old_overrun(first_us)
        known = self._open.get(reason)
        if (
            known is not None
            and reason is not _OVERRUN
            and (first_us - known.first_us >= TELL_EVERY_US or first != known.last_slot + 1)
        ):
            self._tell(reason)
            known = None
        if known is None:
            known = self._open[reason] = _Open(first, first_us)
        # A waiting slot may be given up after later ones were.
        known.first_slot, known.first_us = (
            min(known.first_slot, first),
            min(known.first_us, first_us),
        )
        known.last_slot, known.last_us = max(known.last_slot, last), max(known.last_us, last_us)
        known.looks += last - first + 1

    def spoke(self, due_us: int) -> None:
        """The device brought the block that was due then: what kept it from doing so is over and told."""
        if not self._open:
            return  # nearly always
        for reason in [r for r in self._open if r is not _OVERRUN]:
            self._tell(reason)
        if _OVERRUN in self._open:
            self._tell_old_overrun(due_us)

    def unfinished(self, now_us: int) -> Iterable[tuple[GapReason, int]]:
        """Gaps without holes that are not told yet, and when their first slot was due. Ask each second."""
        if not self._open:
            return ()  # nearly always
        if _OVERRUN in self._open:
            self._tell_old_overrun(now_us)
        return [(reason, o.first_us) for reason, o in self._open.items() if reason is not _OVERRUN]

    def close(self) -> None:
        """Tell all that is open."""
        for reason in list(self._open):
            self._tell(reason)

    def _tell_old_overrun(self, now_us: int) -> None:
        """Not each by itself: on a line that is too slow every other slot is one."""
        if now_us - self._open[_OVERRUN].first_us >= TELL_OVERRUN_US:
            self._tell(_OVERRUN)

    def _tell(self, reason: GapReason) -> None:
        known = self._open.pop(reason)
        self._put(
            Gap(
                device=self._device,
                reason=reason,
                first_us=known.first_us,
                last_us=known.last_us,
                looks=known.looks,
                readings=known.looks * self._readings,
                first_slot=known.first_slot,
                last_slot=known.last_slot,
            )
        )
