"""Every small file of the state folder: whole after any error, sound or set aside, never in the way."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from headgate.env import SystemFiles, system_env
from headgate.runtime.learned import Learned, Learnings
from headgate.spool import State, Totals
from headgate.spool.kept import KeptFile
from headgate.testing.env import ManualClock, fake_env


def parse(data: bytes) -> bytes:
    if not data.startswith(b"sound"):
        raise ValueError("not what was written")
    return data


def test_the_version_before_is_kept(tmp_path: Path) -> None:
    file = KeptFile(SystemFiles(), tmp_path / "file")
    assert file.read(parse) is None
    file.write(b"sound 1")
    file.write(b"sound 2")
    assert file.read(parse) == b"sound 2"
    assert (tmp_path / "file.before").read_bytes() == b"sound 1"
    assert not file.damaged


@pytest.mark.parametrize("damage", [b"", b"rotten", bytes(100)])
def test_a_damaged_file_is_set_aside_and_the_one_before_serves(
    tmp_path: Path, damage: bytes
) -> None:
    file = KeptFile(SystemFiles(), tmp_path / "file")
    file.write(b"sound 1")
    file.write(b"sound 2")
    (tmp_path / "file").write_bytes(damage)
    assert file.read(parse) == b"sound 1"
    assert file.damaged
    assert (tmp_path / "file.damaged").read_bytes() == damage
    file.write(b"sound 3")
    assert file.read(parse) == b"sound 3"


def test_with_both_damaged_there_is_nothing_and_nothing_is_deleted(tmp_path: Path) -> None:
    file = KeptFile(SystemFiles(), tmp_path / "file")
    for name in ("file", "file.before"):
        (tmp_path / name).write_bytes(b"rotten")
    assert file.read(parse) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "file.before.damaged",
        "file.damaged",
    ]


class _Full(SystemFiles):
    full = False

    def replace(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().replace(path, data, mode)


def test_a_write_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    files = _Full()
    file = KeptFile(files, tmp_path / "file")
    file.write(b"sound 1")
    files.full = True
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            file.write(b"sound 2")
        assert file.read(parse) == b"sound 1"
    files.full = False
    file.write(b"sound 3")
    assert file.read(parse) == b"sound 3"


RADAR = Learned("3.1", "generic/radar", "bus/7")
PLACES = {"d1": ("generic/radar", "bus/7"), "d2": ("generic/radar", "bus/8")}


def learnings(folder: Path) -> Learnings:
    made = Learnings(SystemFiles(), folder / "identities.json")
    made.load()
    return made


def test_any_byte_of_the_identities_may_rot(tmp_path: Path) -> None:
    first = learnings(tmp_path)
    first.learn("d1", RADAR)
    first.save()
    first.learn("d2", Learned("2.0", "generic/radar", "bus/8"))
    first.save()
    sound = (tmp_path / "identities.json").read_bytes()
    before = (tmp_path / "identities.json.before").read_bytes()
    for at in range(len(sound)):
        rotten = bytearray(sound)
        rotten[at] ^= 1
        (tmp_path / "identities.json").write_bytes(rotten)
        (tmp_path / "identities.json.before").write_bytes(before)
        known = learnings(tmp_path).firmware(PLACES)
        assert known in ({"d1": "3.1"}, {"d1": "3.1", "d2": "2.0"}), f"byte {at}"


def test_what_was_forgotten_does_not_come_back_with_the_version_before(tmp_path: Path) -> None:
    first = learnings(tmp_path)
    first.learn("d1", RADAR)
    first.save()
    first.forget("d1")
    first.save()
    (tmp_path / "identities.json").write_bytes(b"rotten")
    assert learnings(tmp_path).firmware(PLACES) == {}


def test_identities_of_a_version_without_a_checksum_are_read(tmp_path: Path) -> None:
    old = b'{"d1":{"firmware":"3.1","profile":"generic/radar","place":"bus/7"}}'
    (tmp_path / "identities.json").write_bytes(old)
    assert learnings(tmp_path).firmware(PLACES) == {"d1": "3.1"}


def test_device_numbers_survive_a_damaged_second_home_and_a_lost_database(tmp_path: Path) -> None:
    state = State(system_env(), tmp_path / "state.db")
    state.open()
    numbers = {"d1": state.device_number("d1")}
    state.flush()
    numbers["d2"] = state.device_number("d2")
    state.close()
    data = bytearray((tmp_path / "devices").read_bytes())
    data[-1] ^= 1
    (tmp_path / "devices").write_bytes(data)
    state = State(system_env(), tmp_path / "state.db")
    state.open()
    assert dict(state.devices()) == numbers, "the database knows them"
    state.close()
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    state = State(system_env(), tmp_path / "state.db")
    state.open()
    assert state.devices()["d1"] == numbers["d1"], "and so does the version before"
    state.close()
    assert (tmp_path / "devices.damaged").exists()


def test_a_database_that_rots_while_it_is_used_is_begun_again_with_all_that_is_known(
    tmp_path: Path,
) -> None:
    state = State(system_env(), tmp_path / "state.db")
    state.open()
    state.begin_epoch(b"epoch--1", (None, None))
    state.committed(b"epoch--1", 41)
    state.count("orders", 7)
    number = state.device_number("d1")
    assert state.flush()
    for suffix in ("", "-wal"):
        path = tmp_path / f"state.db{suffix}"
        path.write_bytes(b"\xff" * path.stat().st_size)
    state._disconnect()  # as after an error: SQLite looks at the file again
    state.count("orders", 8)
    assert not state.flush()
    assert state.rebuilt
    assert state.flush()
    state.close()
    again = State(system_env(), tmp_path / "state.db")
    again.open()
    assert not again.rebuilt
    assert (again.counter("orders"), again.device_number("d1")) == (8, number)
    assert [(known.epoch, known.last_n) for known in again.epochs()] == [(b"epoch--1", 41)]
    again.close()


def test_what_may_wait_is_written_seldom_and_what_may_not_at_once(tmp_path: Path) -> None:
    clock = ManualClock()
    state = State(fake_env(clock), tmp_path / "state.db")
    state.open()
    flushed = []
    write = state._database.write
    state._database.write = lambda changes: flushed.append(write(list(changes)))  # type: ignore[method-assign]
    for second in range(60):
        clock.advance(1)
        state.note([Totals(b"log-----", second, (0,) * 6)])
        assert state.flush_in_time(second * 1000)
    assert 5 <= len(flushed) <= 8, "a kilobyte a second is not worth a page a second"
    flushed.clear()
    for second in range(60, 120):
        clock.advance(1)
        state.note([Totals(b"log-----", second, (0,) * 6)])
        assert state.flush_in_time(second * 1_000_000)
    assert len(flushed) >= 59, "beside a megabyte a second it is nothing"
    flushed.clear()
    for number in range(3):
        state.device_number(f"device-{number}")
        assert state.flush_in_time(120_000_000)
    assert len(flushed) == 3
    state.close()


def test_a_read_error_that_passes_does_not_bring_back_the_version_before(tmp_path: Path) -> None:
    class Once(SystemFiles):
        hurt = True

        def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
            hurt, self.hurt = self.hurt, False
            if hurt:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(path, offset, size)

    file = KeptFile(SystemFiles(), tmp_path / "file")
    file.write(b"sound 1")
    file.write(b"sound 2")
    assert KeptFile(Once(), tmp_path / "file").read(parse) == b"sound 2"
