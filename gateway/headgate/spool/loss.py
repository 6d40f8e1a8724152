"""What exactly is lost: of one record, between two that survive, of a whole segment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Set

from headgate.model import GapReason
from headgate.spool.ledger import Gone
from headgate.spool.records import Account, ClearIndex, Loss
from headgate.spool.rows import Rows
from headgate.spool.segment import Damage, Entry
from headgate.spool.stretch import Stretch, Stretches, before


def of_record(log: str, entry: Entry, index: ClearIndex) -> tuple[Loss, Gone]:
    """One record whose clear index is sound and whose sealed bytes are not."""
    gone = Gone(entry.serial, entry.serial + 1, before(entry), index.totals)
    account = Account(log, gone.first, gone.end, gone.before, gone.after)
    loss = Loss(
        GapReason.CORRUPT, account, 1, index.readings, index.devices,
        index.first_us, index.last_us, index.boot,
    )  # fmt: skip
    return loss, gone


def of_row(rows: Rows, row: int) -> tuple[Loss, Gone]:
    """One record of which nothing on disk is sound: memory still knows its readings."""
    serial, at = rows.serials[row], rows.last_us[row]
    known = at >= 0
    loss = Loss(
        GapReason.CORRUPT,
        Account(rows.log, serial, serial + 1),
        1,
        rows.readings[row] if known else None,
        first_us=at if known else None,
        last_us=at if known else None,
    )
    return loss, Gone(serial, serial + 1, (), ())


def between(log: str, gone: Gone, earlier: Stretch, later: Stretch) -> Loss:
    """What lay between two surviving stretches."""
    readings = None
    if gone.before and gone.after:
        readings = sum(gone.after[1::2]) - sum(gone.before[1::2])
    last = (
        later.first_us
        if later.boot == earlier.boot and later.first_us is not None
        else earlier.last_us
    )
    return Loss(
        GapReason.CORRUPT,
        Account(log, gone.first, gone.end, gone.before, gone.after),
        gone.end - gone.first,
        readings,
        first_us=earlier.last_us,
        last_us=last,
        boot=earlier.boot,
    )


def unread(log: str, serial: int) -> Loss:
    """The end of a log that could not be read, from this serial on: nobody knows how much was there."""
    return Loss(GapReason.CORRUPT, Account(log, serial, serial), 0, None)


def of_segment(
    rows: Rows, found: Iterable[Entry | Damage], lost: Set[int], reason: GapReason
) -> tuple[list[Gone], Loss | None]:
    """What becomes of a segment's serials when it goes.

    Args:
        found: what a scan of it gives.
        lost: the serials that somebody still needed.

    Returns:
        All serials that go with it, and the loss of those that were needed.
    """
    stretches: list[Stretch] = []
    runs = Stretches(stretches)
    devices: dict[int, int] = {}
    readings = 0
    first: ClearIndex | None = None
    last: ClearIndex | None = None
    left = {rows.serials[row] for row in rows.alive()}
    for entry in found:
        if isinstance(entry, Damage) or entry.serial not in left:
            continue
        left.discard(entry.serial)
        runs.add(entry)
        if entry.serial in lost and entry.index is not None:
            for device, count in entry.index.devices:
                devices[device] = devices.get(device, 0) + count
            readings += entry.index.readings
            first, last = first or entry.index, entry.index
    # Rotted since the start: the rows still know them.
    gone = [Gone(serial, serial + 1, (), ()) for serial in sorted(left)]
    gone += [Gone(s.first, s.end, s.before, s.after) for s in stretches]
    if not lost:
        return gone, None
    readings += sum(rows.readings[row] for row in rows.alive() if rows.serials[row] in left & lost)
    loss = Loss(
        reason, Account(rows.log, min(lost), max(lost) + 1), len(lost), readings,
        tuple(sorted(devices.items())),
        first.first_us if first else None,
        last.last_us if last else None,
        first.boot if first else None,
    )  # fmt: skip
    return gone, loss
