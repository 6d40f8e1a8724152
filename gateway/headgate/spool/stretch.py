"""Runs of consecutive serials that were found, with running totals at both ends: losses lie between."""

from __future__ import annotations

import msgspec

from headgate.spool.segment import Entry


class Stretch(msgspec.Struct):
    """Serials [first, end) are here. Totals are empty, times None, where the clear index was damaged."""

    first: int
    end: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    first_us: int | None = None
    last_us: int | None = None
    boot: bytes | None = None


class Stretches:
    """Joins entries, fed in rising order of serials, into stretches at the end of a list."""

    def __init__(self, found: list[Stretch]) -> None:
        self._found = found

    def add(self, entry: Entry) -> None:
        """One more record that is here."""
        index = entry.index
        after = () if index is None else index.totals
        last = self._found[-1] if self._found else None
        if last is not None and last.end == entry.serial:
            last.end = entry.serial + 1
            last.after = after
        else:
            last = Stretch(entry.serial, entry.serial + 1, before(entry), after)
            self._found.append(last)
        if index is not None:
            last.last_us, last.boot = index.last_us, index.boot
            if last.first_us is None:
                last.first_us = index.first_us


def before(entry: Entry) -> tuple[int, ...]:
    """Running totals just before a record; empty when its clear index is damaged."""
    if entry.index is None:
        return ()
    totals = list(entry.index.totals)
    totals[2 * entry.lane] -= 1
    totals[2 * entry.lane + 1] -= entry.index.readings
    return tuple(totals)
