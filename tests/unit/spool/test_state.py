"""What the gateway remembers: kept over restarts, begun again when damaged, never in the way of a start."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.env import Env, SystemFiles, system_env
from headgate.envelope.ranges import RangeSet
from headgate.errors import SpoolLocked
from headgate.spool import State, Totals
from headgate.spool.remembered import DeadLetter, Grant, OriginKey

Open = Callable[[], State]


@pytest.fixture
def open_state(tmp_path: Path) -> Iterator[Open]:
    opened: list[State] = []

    def make() -> State:
        for old in opened:
            old.close()
        state = State(system_env(), tmp_path / "state.db", most_origins=3, most_dead_letters=2)
        state.open()
        opened.append(state)
        return state

    yield make
    for state in opened:
        state.close()


def test_everything_is_remembered_over_a_restart(open_state: Open) -> None:
    state = open_state()
    state.begin_epoch(b"e1", (None, None))
    state.committed(b"e1", 41)
    state.settle("city", b"e1", RangeSet([(0, 9), (12, 12)]))
    assert state.device_number("gauge-1") == 1
    assert state.device_number("gauge-2") == 2
    state.keep_table(b"digest", b"table", b"e1")
    state.keep_grant(Grant(b"key", b"e1", b"core", None, b"message", 5))
    state.count("starts", 3)
    state.keep_origin(OriginKey("0012345678", "32", 7, b"d"), b"e1", 8)
    state.keep_plan(1, b"plan")
    state.note([Totals(b"spool---", 9, (0, 0, 9, 90, 0, 0))])
    state = open_state()
    assert state.settled("city") == {b"e1": RangeSet([(0, 9), (12, 12)])}
    assert state.device_number("gauge-2") == 2
    assert state.device_number("gauge-3") == 3
    assert state.table(b"digest") == b"table"
    assert state.grant(b"key") == Grant(b"key", b"e1", b"core", None, b"message", 5)
    assert state.counter("starts") == 3
    assert state.origin(OriginKey("0012345678", "32", 7, b"d")) == (b"e1", 8)
    assert state.plan(1) == b"plan"
    assert state.noted() == (Totals(b"spool---", 9, (0, 0, 9, 90, 0, 0)),)
    assert state.begin_epoch(b"e2", (None, None)) == (b"e1", 41)


@pytest.mark.parametrize(
    ("found", "link"),
    [
        ((b"e2", 9), (b"e2", 9)),  # the scan is ahead of the last flush
        ((b"e2", 4), (b"e2", 7)),  # the newest records were settled and let go
        ((b"e1", 30), (b"e2", 7)),  # all of the newest epoch was let go
        ((None, None), (b"e2", 7)),  # nothing is left in the spool
        ((b"e9", 3), (b"e9", 3)),  # the database is from a backup: it never heard of this epoch
    ],
)
def test_the_epoch_link_names_the_newest_that_either_knows(
    open_state: Open, found: tuple[bytes | None, int | None], link: tuple[bytes, int]
) -> None:
    state = open_state()
    state.begin_epoch(b"e1", (None, None))
    state.committed(b"e1", 30)
    state.begin_epoch(b"e2", (b"e1", 30))
    state.committed(b"e2", 7)
    state = open_state()
    assert state.begin_epoch(b"e3", found) == link


def test_a_memory_begun_anew_is_newer_than_the_start_that_it_followed(open_state: Open) -> None:
    state = open_state()
    assert state.begin_epoch(b"e8", (b"e7", 12)) == (b"e7", 12)  # nothing is remembered of it
    state.committed(b"e8", 3)
    state = open_state()
    # The records of the latter cannot be read any more; those of the former are still there.
    assert state.begin_epoch(b"e9", (b"e7", 12)) == (b"e8", 3)


@pytest.mark.parametrize("damage", ["empty", "garbage", "header", "middle"])
def test_a_damaged_database_is_set_aside_and_device_numbers_survive(
    open_state: Open, tmp_path: Path, damage: str
) -> None:
    state = open_state()
    assert [state.device_number(name) for name in ("a", "b", "c")] == [1, 2, 3]
    for n in range(300):
        state.keep_table(n.to_bytes(32, "big"), bytes(500), b"e1")
    state.close()
    path = tmp_path / "state.db"
    data = bytearray(path.read_bytes())
    if damage == "empty":
        data = bytearray()
    elif damage == "garbage":
        data = bytearray(b"\xff" * len(data))
    elif damage == "header":
        data[:64] = bytes(64)
    else:
        data[4096 : len(data) - 4096] = b"\x5a" * (len(data) - 8192)
    path.write_bytes(data)
    state = open_state()
    assert state.rebuilt is (damage != "empty")
    assert state.device_number("b") == 2
    assert state.device_number("new") == 4
    assert state.flush()


def test_a_newer_database_stops_the_start_and_is_left_alone(
    open_state: Open, tmp_path: Path
) -> None:
    open_state().close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    state = State(system_env(), tmp_path / "state.db")
    with pytest.raises(SpoolLocked, match="newer"):
        state.open()
    db = sqlite3.connect(tmp_path / "state.db")
    assert db.execute("PRAGMA user_version").fetchone() == (99,)
    db.execute("PRAGMA user_version = 1")
    db.close()


def test_a_number_in_use_on_disk_is_not_given_again_after_the_database_is_lost(
    open_state: Open,
) -> None:
    state = open_state()
    assert state.device_number("gauge-1") == 1
    state.number_above(17)
    assert state.device_number("gauge-2") == 18


class HidingDevices(SystemFiles):
    """A disk that does not give the second home of the device numbers."""

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        if path.name == "devices":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return super().read(path, offset, size)


@pytest.mark.parametrize("loss", ["gone", "rotten", "unreadable"])
def test_with_both_homes_of_the_numbers_lost_a_new_one_is_far_from_all_that_were_given(
    open_state: Open, tmp_path: Path, loss: str
) -> None:
    state = open_state()
    assert [state.device_number(name) for name in ("a", "b")] == [1, 2]
    assert state.flush()
    assert state.device_number("c") == 3  # the version before of the second home lacks it
    state.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    if loss == "gone":
        for path in tmp_path.glob("devices*"):
            path.unlink()
    elif loss == "rotten":
        (tmp_path / "devices").write_bytes(b"rotten")
    whole = system_env()
    files = HidingDevices() if loss == "unreadable" else SystemFiles()
    state = State(
        Env(whole.clock, whole.random, files, whole.net, whole.single), tmp_path / "state.db"
    )
    state.open()
    state.number_above(1)  # a record that is still here; that of the third was delivered and let go
    numbers = [state.device_number(name) for name in ("d", "b")]
    assert numbers[0] > 3
    assert numbers[1] == 2 if loss != "gone" else numbers[1] > 3
    assert state.flush()
    state.close()


def test_bounds_hold_and_the_oldest_go(open_state: Open) -> None:
    state = open_state()
    for n in range(6):
        state.keep_origin(OriginKey("s", "f", n, b"d"), b"e", n)
        state.bury(DeadLetter("city", b"e", n, b"k", "why", 0, b"data"))
        assert state.flush()
    assert [letter.n for letter in state.dead_letters("city")] == [4, 5]
    assert state.dead_letters("other") == ()
    state = open_state()
    assert state.origin(OriginKey("s", "f", 2, b"d")) is None
    assert state.origin(OriginKey("s", "f", 5, b"d")) == (b"e", 5)


def test_an_epoch_without_records_takes_its_grants_and_tables_along(open_state: Open) -> None:
    state = open_state()
    for epoch in (b"old", b"new"):
        state.keep_grant(Grant(b"key " + epoch, epoch, b"core", None, b"message", 5))
        state.keep_table(b"table " + epoch, b"data", epoch)
        state.settle("city", epoch, RangeSet([(0, 5)]))
    state.keep_table(b"table of both", b"data", b"old")
    state.keep_table(b"table of both", b"data", b"new")
    assert state.epochs_kept() == {b"old", b"new"}
    state.forget_epoch(b"old")
    for _ in range(2):
        assert state.epochs_kept() == {b"new"}
        assert state.grant(b"key old") is None
        assert state.table(b"table old") is None
        assert state.table(b"table of both") == b"data"
        assert state.settled("city") == {b"new": RangeSet([(0, 5)])}
        state = open_state()


@pytest.mark.parametrize(
    "change",
    [
        # A rotten bit that still reads as ranges, and ranges that stand under another name.
        "UPDATE settled SET ranges = substr(ranges, 1, length(ranges) - 1) || x'7f'",
        "UPDATE settled SET uplink = 'other'",
        "UPDATE settled SET epoch = x'6532'",
    ],
)
def test_settled_ranges_that_rotted_settle_nothing(
    open_state: Open, tmp_path: Path, change: str
) -> None:
    state = open_state()
    state.settle("city", b"e1", RangeSet([(0, 9)]))
    assert state.flush()
    assert open_state().settled("city")[b"e1"] == RangeSet([(0, 9)])
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute(change)
    database.close()
    state = open_state()
    assert not state.settled("city")
    assert not state.settled("other")


def test_a_start_that_could_not_read_the_database_is_still_the_latest(
    open_state: Open, tmp_path: Path
) -> None:
    for epoch in (b"e1", b"e2"):
        state = open_state()
        state.begin_epoch(epoch, (None, None))
        state.committed(epoch, 5)
    state.close()

    class Unreadable(SystemFiles):
        hurt = True

        def database(self, path: Path) -> sqlite3.Connection:
            if self.hurt:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return super().database(path)

    whole, files = system_env(), Unreadable()
    env = Env(whole.clock, whole.random, files, whole.net, whole.single)
    blind = State(env, tmp_path / "state.db")
    blind.open()
    blind.begin_epoch(b"e3", (b"e2", 5))
    blind.committed(b"e3", 7)
    files.hurt = False
    assert blind.flush()
    blind.committed(b"e3", 9)
    blind.close()
    state = open_state()
    assert [(known.epoch, known.last_n) for known in state.epochs()] == [
        (b"e1", 5), (b"e2", 5), (b"e3", 9),
    ]  # fmt: skip
    assert state.begin_epoch(b"e4", (b"e3", 9)) == (b"e3", 9)


def test_a_database_opened_on_a_read_only_disk_is_written_once_the_disk_takes_it(
    open_state: Open, tmp_path: Path
) -> None:
    state = open_state()
    state.count("starts", 1)
    state.close()

    class ReadOnly(SystemFiles):
        hurt = True

        def database(self, path: Path) -> sqlite3.Connection:
            if not self.hurt:
                return super().database(path)
            # What SQLite falls back to by itself where the disk says EROFS.
            return sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )

    whole, files = system_env(), ReadOnly()
    env = Env(whole.clock, whole.random, files, whole.net, whole.single)
    state = State(env, tmp_path / "state.db")
    state.open()
    assert state.counter("starts") == 1
    state.count("starts", 2)
    assert not state.flush()
    assert not state.flush()
    files.hurt = False
    assert state.flush()
    state.close()
    assert open_state().counter("starts") == 2


def test_a_start_on_a_disk_that_turned_read_only_knows_what_was_flushed_last(
    open_state: Open, tmp_path: Path
) -> None:
    state = open_state()
    state.settle("city", b"e1", RangeSet([(0, 9)]))
    assert state.device_number("gauge") == 1
    assert state.flush()
    state.settle("city", b"e1", RangeSet([(0, 99)]))
    assert state.flush()
    # Killed here: what was flushed lies in SQLite's log, and the database itself is behind.
    for name in ("state.db", "state.db-wal", "devices"):
        (tmp_path / "killed").mkdir(exist_ok=True)
        (tmp_path / "killed" / name).write_bytes((tmp_path / name).read_bytes())

    class Refusing(SystemFiles):
        hurt = True

        def database(self, path: Path) -> sqlite3.Connection:
            if self.hurt and path.name == "state.db":
                error = sqlite3.OperationalError("attempt to write a readonly database")
                error.sqlite_errorcode = sqlite3.SQLITE_READONLY_CANTINIT
                raise error
            return super().database(path)

    whole, files = system_env(), Refusing()
    env = Env(whole.clock, whole.random, files, whole.net, whole.single)
    frozen = State(env, tmp_path / "killed" / "state.db")
    frozen.open()
    assert frozen.settled("city") == {b"e1": RangeSet([(0, 99)])}
    assert frozen.device_number("gauge") == 1
    ranges = frozen.settled("city")[b"e1"]
    ranges.add(200, 201)
    frozen.settle("city", b"e1", ranges)
    files.hurt = False  # the disk takes writes again: nothing that was settled is forgotten
    frozen.close()
    again = State(env, tmp_path / "killed" / "state.db")
    again.open()
    assert again.settled("city") == {b"e1": RangeSet([(0, 99), (200, 201)])}
    again.close()


def test_a_start_that_cannot_read_the_log_either_has_the_memory_without_it(tmp_path: Path) -> None:
    state = State(system_env(), tmp_path / "state.db")
    state.open()
    state.settle("city", b"e1", RangeSet([(0, 9)]))
    state.close()

    class Failing(SystemFiles):
        def database(self, path: Path) -> sqlite3.Connection:
            if path.name == "state.db":
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return super().database(path)

        def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
            if path.name == "state.db-wal":
                raise OSError(errno.EIO, "Input/output error", str(path))
            return super().read(path, offset, size)

    whole = system_env()
    env = Env(whole.clock, whole.random, Failing(), whole.net, whole.single)
    frozen = State(env, tmp_path / "state.db")
    frozen.open()
    assert frozen.settled("city") == {b"e1": RangeSet([(0, 9)])}
    frozen.release()


def test_a_second_home_that_the_disk_refused_is_written_by_a_later_start(tmp_path: Path) -> None:
    def opened() -> State:
        state = State(system_env(), tmp_path / "state.db")
        state.open()
        return state

    state = opened()
    (tmp_path / ".devices.new").mkdir()  # in the way of its next version
    assert state.device_number("gauge") == 1
    assert state.flush()
    assert not state.numbers_kept()
    state.close()
    (tmp_path / ".devices.new").rmdir()
    state = opened()
    assert not state.numbers_kept()
    assert state.flush()
    assert state.numbers_kept()
    state.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    state = opened()
    assert state.device_number("gauge") == 1
    state.close()
