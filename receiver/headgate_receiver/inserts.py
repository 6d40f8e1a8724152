"""What a record becomes as rows: one table for each kind of item, one row for each reading."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from headgate.envelope.wire import MAX_INT
from headgate.model import (
    Alarm,
    ClockFix,
    CommandResult,
    EpochLink,
    Event,
    Gap,
    Item,
    Plan,
    Value,
)
from headgate_receiver.clock import add_fix
from headgate_receiver.forks import told_link
from headgate_receiver.store import Look, OpenRecord


def insert_item(
    db: sqlite3.Connection,
    item: Item,
    record: OpenRecord,
    boot: int,
    number: int,
    boot_of: Callable[[str, bytes], int],
) -> None:
    """Insert what is no block. `boot` and `number` are the ids of the record's boot and of the record."""
    run, gateway = db.execute, record.gateway
    if isinstance(item, Gap):
        first = boot if item.boot is None else boot_of(gateway, item.boot)
        last = boot if item.last_boot is None else boot_of(gateway, item.last_boot)
        run(
            "INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                gateway, item.device, item.reason.value, first, item.first_us, last, item.last_us,
                item.looks, item.readings, item.first_slot, item.last_slot, item.text, number,
            ),
        )  # fmt: skip
    elif isinstance(item, ClockFix):
        add_fix(db, boot_of(gateway, item.boot), item)
    elif isinstance(item, Alarm):
        run(
            "INSERT INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'gateway', ?)",
            (
                gateway, item.device, item.point, item.code, item.severity, item.active, boot,
                item.at_us, item.value, item.text, number,
            ),
        )  # fmt: skip
    elif isinstance(item, Event):
        fields = json.dumps(item.fields, ensure_ascii=False)
        run(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
            (gateway, item.kind, boot, item.at_us, fields, number),
        )
        if (told := told_link(item)) is not None:
            # What the first record of that epoch would say; where it came, its own word stands.
            run(
                "INSERT INTO epochs (gateway, epoch, previous, last_n, first_us)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (gateway, epoch) DO UPDATE SET"
                " previous = excluded.previous, last_n = excluded.last_n WHERE linked = 0",
                (gateway, told.epoch, told.previous, told.last_n, record.received_us),
            )
    elif isinstance(item, Plan):
        run(
            "INSERT INTO plans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                gateway, item.device, item.table, boot, item.start_us, item.interval_us,
                item.readings, item.first_slot, number,
            ),
        )  # fmt: skip
    elif isinstance(item, CommandResult):
        run(
            "INSERT INTO command_results (gateway, command, state, step, boot, at_us, number, point,"
            " value, code, text, who, lease_us, record)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                gateway, item.command, item.state, item.step, boot, item.at_us, item.device,
                item.point, *_fitting((item.value,)), item.code, item.text, item.who, item.lease_us,
                number,
            ),
        )  # fmt: skip
    elif isinstance(item, EpochLink) and record.n == 0:
        run(
            "INSERT INTO epochs VALUES (?, ?, 1, ?, ?, ?, ?, ?) "
            "ON CONFLICT (gateway, epoch) DO UPDATE SET linked = 1, previous = excluded.previous,"
            " last_n = excluded.last_n, boot = excluded.boot, at_us = excluded.at_us",
            (
                gateway, record.epoch, item.previous, item.last_n, item.boot, item.at_us,
                record.received_us,
            ),
        )  # fmt: skip


def reading_rows(look: Look, base: int, boot: int, record: int) -> Iterator[tuple[Any, ...]]:
    """One row of `reading` for each point of a look. `base` is the id of its table's first point."""
    at, slot, device_time = look.at_us, look.slot, look.device_time_us
    values, raws = _fitting(look.values), _fitting(look.raws)
    if look.offsets_us is None:
        for point, value, raw, quality, status in zip(
            look.points, values, raws, look.qualities, look.statuses, strict=True
        ):
            yield base + point, boot, at, slot, value, raw, quality, status, device_time, record
    else:
        for point, value, raw, quality, status, offset in zip(
            look.points, values, raws, look.qualities, look.statuses, look.offsets_us, strict=True
        ):
            yield (
                base + point, boot, at + offset, slot, value, raw, quality, status, device_time, record
            )  # fmt: skip


def _fitting(values: Sequence[Value]) -> Sequence[Value]:
    """Integers above 2^63 - 1 as text: SQLite has no room for them."""
    if any(type(v) is int and v > MAX_INT for v in values):
        return [str(v) if type(v) is int and v > MAX_INT else v for v in values]
    return values
