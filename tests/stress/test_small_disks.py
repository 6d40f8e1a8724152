"""The spool and the state on real small file systems: full, read-only, dead, and back again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit.small_disk import Ext4, Tmpfs

from headgate.env import system_env
from headgate.errors import SpoolError
from headgate.model import GapReason, Lane
from headgate.spool import ClearIndex, Loss, Position, SealedRecord, Spool, State

MIB = 1 << 20
EPOCH, BOOT = b"epoch---", b"b" * 16
Mount = Callable[..., Tmpfs]


def record(
    n: int, lane: Lane = Lane.LIVE, size: int = 20_000, losses: Iterable[Loss] = ()
) -> SealedRecord:
    accounts = tuple(loss.account for loss in losses)
    index = ClearIndex(2, n, n, BOOT, ((1, 2),), (), accounts)
    return SealedRecord(EPOCH, n, b"key-----", lane, n.to_bytes(8, "big").ljust(size, b"."), index)


@contextmanager
def opened(folder: Path, *, held: int = 4 * MIB, ballast: int = MIB) -> Iterator[Spool]:
    spool = Spool(
        system_env(), folder, segment_bytes=256 * 1024, quota_bytes=64 * MIB, ballast_bytes=ballast,
        held_bytes=held,
    )  # fmt: skip
    spool.open()
    try:
        yield spool
    finally:
        spool.close()


def numbers(spool: Spool) -> set[int]:
    """The n of every record that can be read, after looking that it is what was given."""
    found = set()
    for rows in spool.segments():
        for row in rows.alive():
            n = rows.ns[row]
            data = spool.read(Position(rows.log, rows.number, row))
            assert int.from_bytes(data[:8], "big") == n
            found.add(n)
    return found


class Account:
    """What was committed, and what the spool said it gave up."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.n = 0
        self.lost: list[Loss] = []

    def commit(self, lane: Lane = Lane.LIVE) -> list[Position]:
        """One more record, with the losses to be said, as the writer does it."""
        losses = self.spool.losses() if lane is Lane.LIVE else ()
        one = record(self.n, lane, losses=losses)
        self.n += 1
        try:
            positions = self.spool.commit([one])
        except SpoolError:
            positions = self.spool.hold([one])
        self.lost += losses
        return positions

    def given_up(self) -> int:
        told = [*self.lost, *self.spool.losses()]
        assert all(loss.readings == 2 * loss.records for loss in told)
        return sum(loss.records for loss in told)


def test_a_stranger_fills_the_disk_and_only_the_oldest_history_goes(
    tmp_path: Path, tmpfs: Mount
) -> None:
    disk = tmpfs(tmp_path / "disk", 8 * MIB)
    with opened(disk.path / "spool") as spool:
        books = Account(spool)
        alarms = {books.commit(Lane.ALARM)[0] and 0}
        for _ in range(150):
            books.commit()
        before = spool.status()
        assert before.refused is None
        assert before.ballast
        disk.fill()
        for _ in range(60):
            books.commit()
        status = spool.status()
        assert (status.refused, status.ballast, status.held_records) == ("full", False, 0)
        kept = numbers(spool)
        assert alarms <= kept
        assert len(kept) + books.given_up() == books.n
        assert all(loss.reason is GapReason.QUOTA for loss in books.lost)
        assert kept - alarms == set(range(min(kept - alarms), books.n)), "the oldest go first"
        disk.clear()
        for _ in range(40):
            books.commit()
        assert spool.status().refused is None
        assert spool.status().ballast
        kept = numbers(spool)
    with opened(disk.path / "spool") as again:
        assert numbers(again) == kept


def test_on_a_full_disk_there_is_room_for_alarms_and_for_what_is_remembered(
    tmp_path: Path, tmpfs: Mount
) -> None:
    disk = tmpfs(tmp_path / "disk", 4 * MIB)
    state = State(system_env(), disk.path / "state.db")
    state.open()
    with opened(disk.path / "spool") as spool:
        state.give_room = spool.give_room
        books = Account(spool)
        books.commit()
        disk.fill()
        for _ in range(60):
            books.commit()
        disk.fill()
        alarm = books.commit(Lane.ALARM)
        assert spool.status().alarm_bytes > 0
        assert spool.read(alarm[0])
        for number in range(200):
            state.device_number(f"device-{number}")
        assert state.flush(), "the reserve is for this"
    state.close()
    again = State(system_env(), disk.path / "state.db")
    again.open()
    assert len(again.devices()) == 200
    assert not again.rebuilt
    again.close()


def test_what_was_held_in_memory_goes_to_the_disk_when_it_returns(
    tmp_path: Path, tmpfs: Mount
) -> None:
    disk = tmpfs(tmp_path / "disk", 8 * MIB, read_only=True)
    with opened(disk.path / "spool") as spool:
        books = Account(spool)
        for _ in range(60):
            books.commit()
        status = spool.status()
        assert (status.refused, status.held_records, status.dropped) == ("read-only", 60, 0)
        assert numbers(spool) == set(range(60))
        assert [far.serial for far in spool.totals()] == [0, 0], "nothing of it is durable"
        with pytest.raises(SpoolError):
            spool.come_back(now=True)
        disk.writable(True)
        spool.come_back(now=True)
        status = spool.status()
        assert (status.refused, status.held_records) == (None, 0)
        books.commit()
        assert numbers(spool) == set(range(61))
    with opened(disk.path / "spool") as again:
        assert numbers(again) == set(range(61))
        assert again.losses() == ()


def test_memory_is_bounded_and_what_it_gives_up_is_said(tmp_path: Path, tmpfs: Mount) -> None:
    disk = tmpfs(tmp_path / "disk", 8 * MIB, read_only=True)
    with opened(disk.path / "spool", held=MIB) as spool:
        books = Account(spool)
        first = books.commit(Lane.ALARM)
        for _ in range(120):
            books.commit()
        assert spool.status().held_bytes <= MIB
        assert spool.status().dropped == books.given_up() > 0
        kept = numbers(spool)
        assert spool.read(first[0]), "alarms are given up last"
        assert len(kept) + books.given_up() == books.n
        disk.writable(True)
        spool.come_back(now=True)
        assert numbers(spool) == kept
        said = books.given_up()
    with opened(disk.path / "spool") as again:
        assert numbers(again) == kept
        told = again.losses()
        assert sum(loss.records for loss in [*books.lost, *told]) == said, "no loss is said twice"


def test_a_dying_disk_keeps_what_it_has_and_memory_takes_the_rest(
    tmp_path: Path, ext4: Callable[[Path, int], Ext4]
) -> None:
    disk = ext4(tmp_path / "disk", 24 * MIB)
    state = State(system_env(), disk.path / "state.db")
    state.open()
    with opened(disk.path / "spool") as spool:
        books = Account(spool)
        for _ in range(40):
            books.commit()
        disk.abort()
        for _ in range(20):
            books.commit()
        assert spool.status().refused == "read-only"
        assert spool.status().held_records == 20
        assert numbers(spool) == set(range(60)), "all of it is there to be sent"
        state.count("counter", 1)
        assert not state.flush()
        assert state.counter("counter") == 1
    state.close()


def test_ext4_full_to_the_last_block(tmp_path: Path, ext4: Callable[[Path, int], Ext4]) -> None:
    disk = ext4(tmp_path / "disk", 24 * MIB)
    with opened(disk.path / "spool") as spool:
        books = Account(spool)
        for _ in range(100):
            books.commit()
        disk.fill()
        for _ in range(100):
            books.commit()
        kept = numbers(spool)
        assert len(kept) + books.given_up() == books.n
        assert spool.status().held_records == 0
    with opened(disk.path / "spool") as again:
        assert numbers(again) == kept


def test_a_database_on_a_read_only_disk_is_read_and_not_set_aside(
    tmp_path: Path, tmpfs: Mount
) -> None:
    disk = tmpfs(tmp_path / "disk", 8 * MIB)
    state = State(system_env(), disk.path / "state.db")
    state.open()
    number = state.device_number("pump-7")
    state.count("orders", 41)
    state.close()
    disk.writable(False)
    state = State(system_env(), disk.path / "state.db")
    state.open()
    assert (state.device_number("pump-7"), state.counter("orders")) == (number, 41)
    state.count("orders", 42)
    assert not state.flush()
    assert not state.rebuilt
    disk.writable(True)
    assert state.flush()
    state.close()
    state = State(system_env(), disk.path / "state.db")
    state.open()
    assert (state.device_number("pump-7"), state.counter("orders")) == (number, 42)
    state.close()


def test_a_database_that_cannot_be_opened_for_want_of_room_is_not_taken_for_damaged(
    tmp_path: Path, tmpfs: Mount
) -> None:
    disk = tmpfs(tmp_path / "disk", 4 * MIB)
    state = State(system_env(), disk.path / "state.db")
    state.open()
    state.count("orders", 41)
    state.close()
    disk.fill()
    state = State(system_env(), disk.path / "state.db")
    state.open()
    assert state.counter("orders") == 41
    assert not state.rebuilt
    state.count("orders", 42)
    state.flush()
    disk.clear()
    assert state.flush()
    state.close()
    assert not list(disk.path.glob("*.damaged"))
