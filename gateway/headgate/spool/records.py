"""What is handed to the spool and what comes back: sealed records, their clear index, positions, losses.

The sealed bytes are opaque here. The clear index beside them is what lets the spool say exactly what was
lost without being able to read a single value.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.model import Gap, GapReason, Lane


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What a record's gaps say of a loss: should that record be lost itself, it must be said again."""

    reason: GapReason
    records: int
    readings: int | None
    devices: tuple[tuple[int, int], ...]
    first_us: int | None
    last_us: int | None
    boot: bytes | None


class Account(msgspec.Struct, frozen=True, array_like=True, eq=False):
    """The serials [first, end) of a log that gaps in this record account for, and the totals around them.

    Loss and gap meet in one record, so a power cut leaves either both or neither. Serials are used once:
    they alone tell one account from another.
    """

    log: str
    first: int
    end: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    told: Told | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Account):
            return NotImplemented
        return (self.log, self.first, self.end) == (other.log, other.first, other.end)

    def __ne__(self, other: object) -> bool:
        return not self == other  # the library's own asks for identity

    def __hash__(self) -> int:
        return hash((self.log, self.first, self.end))

    @property
    def loss(self) -> Loss | None:
        """The loss that was told of; None where the record does not say it."""
        told = self.told
        if told is None:
            return None
        return Loss(
            told.reason, msgspec.structs.replace(self, told=None), told.records, told.readings,
            told.devices, told.first_us, told.last_us, told.boot,
        )  # fmt: skip


class ClearIndex(msgspec.Struct, frozen=True, array_like=True):
    """What may be known of a record without opening it. Stored beside it, never sent.

    `devices` is (device number, readings) of every device with readings inside. Times are boottime in
    microseconds of `boot`. `origins` are digests of the deliveries inside. `accounts` names the losses that
    gaps in this record report. `totals` is filled in by the spool: running (records, readings) of each lane
    since the log was created, this record included.
    """

    readings: int
    first_us: int
    last_us: int
    boot: bytes
    devices: tuple[tuple[int, int], ...] = ()
    origins: tuple[bytes, ...] = ()
    accounts: tuple[Account, ...] = ()
    totals: tuple[int, ...] = ()


class SealedRecord(msgspec.Struct, frozen=True):
    """A record as it goes up and lies on disk: `data` is never changed again."""

    epoch: bytes
    n: int
    key_id: bytes
    lane: Lane
    data: bytes
    index: ClearIndex


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a record lies: log (`data` or `alarms`), segment number, row within the segment."""

    log: str
    segment: int
    row: int


class Totals(msgspec.Struct, frozen=True):
    """How far a log had come: the serial that the next record gets, and running totals before it.

    `spool` is the 8 random bytes that name the log since its creation.
    """

    spool: bytes
    serial: int
    totals: tuple[int, ...]


class Loss(msgspec.Struct, frozen=True):
    """Records that are gone without every platform having them. Becomes gaps, and is then accounted for.

    `readings` is exact, or None where only the number of records is known. `devices` gives the part of it
    that is known by device; the rest belongs to the gateway as a whole. Times are None when unknown.
    """

    reason: GapReason
    account: Account
    records: int
    readings: int | None
    devices: tuple[tuple[int, int], ...] = ()
    first_us: int | None = None
    last_us: int | None = None
    boot: bytes | None = None
    text: str = ""

    @property
    def carried(self) -> Account:
        """Its account, for the clear index of the record that carries its gaps."""
        told = Told(
            self.reason,
            self.records,
            self.readings,
            self.devices,
            self.first_us,
            self.last_us,
            self.boot,
        )
        return msgspec.structs.replace(self.account, told=told)

    def gaps(self, now_us: int, boot: bytes) -> Sequence[Gap]:
        """The gaps that say this, for the record being built now in `boot`.

        The record carrying them must name `account` in its clear index.
        """
        first = now_us if self.first_us is None else self.first_us
        last = first if self.last_us is None else self.last_us
        of = None if self.boot is None or self.boot == boot else self.boot
        said = [
            Gap(
                device, self.reason, first, last, None, readings,
                boot=of, text=self.text, last_boot=of,
            )
            for device, readings in self.devices
        ]  # fmt: skip
        rest = None if self.readings is None else self.readings - sum(r for _, r in self.devices)
        if rest is None or rest > 0 or not said:
            said.append(
                Gap(0, self.reason, first, last, None, rest, boot=of, text=self.text, last_boot=of)
            )
        return said
