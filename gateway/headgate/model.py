"""What travels through the gateway: points, blocks, gaps and the other items of an envelope.

Everything here is frozen and serialisable by contract. The wire form of the items is specified in
`docs/reference/uplink.md`; field order is part of that form, so fields are only ever appended.

Times on the road are `boottime` in microseconds (CLOCK_BOOTTIME of the boot that the record names);
wall time is a label added where a `ClockFix` is known.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Literal

import msgspec

# ---------------------------------------------------------------- quality


class Quality(IntEnum):
    """How far a value can be trusted. OPC 10000-4 section 7.39: the severity bits of a StatusCode."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2


class Status(IntEnum):
    """Why a value is not good: the high byte of a status word; the low byte is a detail.

    The detail is the protocol's own code where it has one (a Modbus exception code).
    """

    NONE = 0
    NO_ANSWER = 1
    LINE_CLOSED = 2
    REFUSED = 3
    MALFORMED = 4
    SENTINEL = 5
    OUT_OF_RANGE = 6
    NOT_CONVERTIBLE = 7
    DEVICE_FAULT = 8
    STALE = 9
    SUBSTITUTED = 10
    NOT_READ = 11
    #: It is measured against the gateway's own clock, and that is not trusted.
    NO_CLOCK = 12


def status_word(status: Status, detail: int = 0) -> int:
    """A 16-bit status word."""
    return (status << 8) | (detail & 0xFF)


# ---------------------------------------------------------------- points

ColumnType = Literal[
    "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bool", "text", "bytes"
]
#: Bytes per value of the fixed-width column types; values are packed big-endian.
WIDTH: dict[str, int] = {
    "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "f32": 4, "f64": 8, "bool": 1,
}  # fmt: skip
#: `struct` format letter of each fixed-width column type.
FORMAT: dict[str, str] = {
    "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d",
    "bool": "?",
}  # fmt: skip


class Linear(msgspec.Struct, frozen=True, array_like=True, tag="linear"):
    """value = raw * multiply / divide + offset, each step rounded to binary64."""

    multiply: float = 1.0
    divide: float = 1.0
    offset: float = 0.0


class Polynomial(msgspec.Struct, frozen=True, array_like=True, tag="poly"):
    """value = c[0] + c[1]*raw + c[2]*raw^2 ..., by Horner's rule from the highest power."""

    coefficients: tuple[float, ...]


class Lookup(msgspec.Struct, frozen=True, array_like=True, tag="lookup"):
    """A table of (raw, value) pairs with rising raw: `between` says what lies between two of them."""

    points: tuple[tuple[float, float], ...]
    between: Literal["linear", "step", "exact"] = "linear"


class BitField(msgspec.Struct, frozen=True, array_like=True, tag="bits"):
    """value = (raw >> shift) & (2^width - 1), raw read as unsigned."""

    shift: int
    width: int = 1


Conversion = Linear | Polynomial | Lookup | BitField


class Access(StrEnum):
    """What may be done with a point."""

    READ = "r"
    WRITE = "w"
    READ_WRITE = "rw"


class DataClass(StrEnum):
    """What a point is for; decides what is given up first when there is no room."""

    ALARM = "alarm"
    MEASURE = "measure"
    DIAGNOSTIC = "diagnostic"


class Point(msgspec.Struct, frozen=True, array_like=True):
    """One quantity a device offers, as announced: SCADA people say tag.

    `unit` is a UCUM code ("m", "Cel", "mm/h", "1" for a bare number). `range` is in engineering units.
    """

    name: str
    type: ColumnType
    unit: str = "1"
    conversion: Conversion | None = None
    range: tuple[float | None, float | None] | None = None
    deadband: float | None = None
    access: Access = Access.READ
    data_class: DataClass = DataClass.MEASURE
    title: str = ""


# ---------------------------------------------------------------- items


class PointTable(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """What the columns of a device's blocks mean. Named by the SM3 of its msgpack bytes.

    Consecutive points of one type share a column (a *run*). `interval_us` is the poll interval;
    `heartbeat_us` how often a device that talks by itself is due.
    """

    number: int
    device: str
    points: tuple[Point, ...]
    name: str = ""
    labels: dict[str, str] = {}
    vendor: str = ""
    model: str = ""
    firmware: str | None = None
    profile: str = ""
    interval_us: int | None = None
    heartbeat_us: int | None = None

    def runs(self) -> tuple[tuple[ColumnType, int, int], ...]:
        """(type, first point, count) of each column, in column order."""
        runs: list[tuple[ColumnType, int, int]] = []
        for index, point in enumerate(self.points):
            if runs and runs[-1][0] == point.type:
                kind, first, count = runs[-1]
                runs[-1] = (kind, first, count + 1)
            else:
                runs.append((point.type, index, 1))
        return tuple(runs)


#: One column: packed big-endian values, or a list of all str (text) or all bytes.
#: Any: msgspec cannot tell str from bytes inside a union; decoders check.
Column = bytes | tuple[Any, ...]


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where a delivery came from, so that a resend after a power cut is recognised."""

    station: str
    function: str
    serial: int
    observed_us: int | None
    digest: bytes


class Block(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """What one look at one device brings, in columns.

    `table` is the SM3 of the point table while in the gateway; in an envelope it is an index into the
    record's list of tables. `at_us` is boottime. `slot` counts the poll slots of the active plan.
    `presence` is a bitmap (bit i of byte i//8, least significant first) of the points this look speaks
    of; None is all. `columns` hold one value for each present point, run by run; None when the look
    brought no value at all. `quality` and `status` are None when all is good, one entry (1 byte, 2 bytes)
    when all present points agree, else one per present point. A bad point keeps its slot in the column.
    """

    device: int
    table: bytes | int
    at_us: int
    slot: int | None = None
    columns: tuple[Column, ...] | None = None
    quality: bytes | None = None
    status: bytes | None = None
    presence: bytes | None = None
    offsets_us: bytes | None = None
    device_time_us: int | None = None
    origin: Origin | None = None


class GapReason(StrEnum):
    """Why an interval could not be measured or kept."""

    DEVICE_SILENT = "device-silent"
    DEVICE_QUARANTINED = "device-quarantined"
    LINE_DOWN = "line-down"
    GATEWAY_OFF = "gateway-off"
    OVERRUN = "overrun"
    DISK_SLOW = "disk-slow"
    QUOTA = "quota"
    CORRUPT = "corrupt"
    REFUSED = "refused"
    CLOCK_UNKNOWN = "clock-unknown"
    NOT_COMMITTED = "not-committed"


class Gap(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """An interval that could not be measured or kept, and why. Device 0 is the gateway itself.

    `looks` and `readings` are exact where they are known and None where only the bound is. `boot` is the
    boot of `first_us`, `last_boot` that of `last_us`, each None where it is the record's own.
    """

    device: int
    reason: GapReason
    first_us: int
    last_us: int
    looks: int | None
    readings: int | None
    first_slot: int | None = None
    last_slot: int | None = None
    boot: bytes | None = None
    text: str = ""
    last_boot: bytes | None = None


class ClockFix(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Boottime and wall time (unix, microseconds) at one instant, and how far the wall may be off."""

    boot: bytes
    at_us: int
    wall_us: int
    error_us: int | None
    state: Literal["synced", "holdover", "unsynced"]


class Alarm(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A condition that somebody should act on; raised and cleared by the same code and point."""

    device: int
    point: str
    code: str
    severity: int
    active: bool
    at_us: int
    value: float | None = None
    text: str = ""


class Event(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Something that changed in the gateway itself: started, stopped, config, firmware."""

    kind: str
    at_us: int
    fields: dict[str, str | int | float | bool | None] = {}


class Plan(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """From `start_us` on, slot k of this device is due at start_us + k * interval_us, until the next plan.

    `interval_us` 0 ends the plan: nothing is due. `first_slot` is the number of the slot at start_us.
    """

    device: int
    table: bytes
    start_us: int
    interval_us: int
    readings: int
    first_slot: int = 0


class EpochLink(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """The first item of an epoch: the epoch before it and the last n committed there (None: unknown)."""

    previous: bytes | None
    last_n: int | None
    boot: bytes
    at_us: int


class CommandResult(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """What became of a command, state by state. `docs/reference/commands.md`, section 6, has the states.

    `device` is 0 where there is none of that name. `value` is what was read back, in the point's unit.
    `code` names the sentence of the catalogue that `text` says in English; both are empty when all is
    well. `who` is "operator:NAME", "local:NAME" or "gateway". `lease_us` is what is left of the lease.
    """

    command: bytes
    state: str
    at_us: int
    text: str = ""
    device: int = 0
    point: str = ""
    value: bool | int | float | str | None = None
    code: str = ""
    who: str = ""
    step: str = ""
    lease_us: int | None = None


Item = Block | PointTable | Gap | ClockFix | Alarm | Event | Plan | EpochLink | CommandResult


class Lane(IntEnum):
    """How urgent a record is; a live record becomes history by age. Never written in the header."""

    ALARM = 0
    LIVE = 1
    HISTORY = 2


# ---------------------------------------------------------------- readings: the edges only

Value = int | float | bool | str | bytes | None


class Reading(msgspec.Struct, frozen=True):
    """One value of one point at one instant, for people and foreign platforms.

    `taken_at_us` is boottime; `value` is in the point's unit, None where there is none to trust.
    """

    device: str
    point: str
    unit: str
    value: Value
    raw: Value
    quality: Quality
    status: int
    taken_at_us: int
    slot: int | None = None
    device_time_us: int | None = None


class Identity(msgspec.Struct, frozen=True):
    """What a device says of itself; a profile is found by it."""

    vendor: str = ""
    model: str = ""
    firmware: str | None = None
    serial: str | None = None
