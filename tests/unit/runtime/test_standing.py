"""Alarms that stand outlive a restart, a torn line and a disk that refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.env import AppendFile, Env, SystemFiles, system_env
from headgate.runtime import standing
from headgate.runtime.standing import Standing

FIRE, FAULT = "fire/component/1.1.00010001", "fault/system/1.1"


@asynccontextmanager
async def opened(folder: Path, env: Env | None = None) -> AsyncIterator[Standing]:
    found = Standing(env or system_env(), folder / "standing" / "fire")
    await found.open()
    try:
        yield found
    finally:
        await found.close()


async def test_what_was_raised_and_not_cleared_stands_after_a_restart_in_its_order(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as now:
        for device, code, active in [
            ("b", FAULT, True), ("a", FIRE, True), ("a", FAULT, True), ("a", FIRE, False),
            ("a", FIRE, True), ("a", FIRE, True), ("b", FAULT, False), ("b", "unknown", False),
        ]:  # fmt: skip
            now.take(device, code, active)
        await now.saved()
        said = now.of("a")
    assert said == (FAULT, FIRE)
    for _ in range(2):
        async with opened(tmp_path) as again:
            assert (again.of("a"), again.of("b"), again.of("c")) == ((FAULT, FIRE), (), ())
            again.take("a", "more", True)
            again.take("a", "more", False)


async def test_a_change_is_one_line_more_and_nothing_is_complained_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "standing" / "fire"
    async with opened(tmp_path) as now:
        now.take("a", FIRE, True)
        await now.saved()
        made = path.stat().st_ino
        now.take("a", FIRE, False)
        now.take("a", FAULT, True)
        await now.saved()
        assert path.stat().st_ino == made
        assert path.read_bytes().count(b"\n") == 3
    assert [each.name for each in path.parent.iterdir()] == ["fire"]
    assert not caplog.records


async def test_what_was_never_raised_makes_no_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as now:
        now.take("a", FIRE, False)
        await now.saved()
        assert now.of("a") == ()
    assert not (tmp_path / "standing").exists()


@pytest.mark.parametrize(
    "torn", [b'["a","x"', b'["a","x",tr\n', b"\xff\xfe\n", b"\n", b"[]\n", b"5\n"]
)
async def test_a_line_that_is_torn_ends_what_is_known_and_the_next_change_mends_the_file(
    tmp_path: Path, torn: bytes
) -> None:
    async with opened(tmp_path) as now:
        now.take("a", FIRE, True)
    path = tmp_path / "standing" / "fire"
    path.write_bytes(path.read_bytes() + torn)
    async with opened(tmp_path) as again:
        assert again.of("a") == (FIRE,)
        again.take("a", FAULT, True)
    async with opened(tmp_path) as third:
        assert third.of("a") == (FIRE, FAULT)


async def test_what_was_let_go_of_is_opened_anew_and_goes_on(tmp_path: Path) -> None:
    """A port that is taken is tried again and again, with one memory."""
    now = Standing(system_env(), tmp_path / "standing" / "fire")
    for number in range(3):
        await now.open()
        assert len(now.of("a")) == number
        now.take("a", f"fault/{number}", True)
        await now.saved()
        await now.close()
    async with opened(tmp_path) as again:
        assert again.of("a") == ("fault/0", "fault/1", "fault/2")


async def test_many_that_stand_are_not_written_anew_with_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_LONG", 10)
    made = set()
    async with opened(tmp_path) as now:
        for number in range(100):
            now.take("a", f"fault/{number}", True)
            await now.saved()
            made.add((tmp_path / "standing" / "fire").stat().st_ino)
            assert len(now.of("a")) == number + 1
        before = (tmp_path / "standing" / "fire").stat().st_ino
        now.take("a", "fault/0", False)
        await now.saved()
        assert (tmp_path / "standing" / "fire").stat().st_ino == before
    async with opened(tmp_path) as again:
        assert len(again.of("a")) == 99


async def test_a_file_that_has_grown_long_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_LONG", 10)
    async with opened(tmp_path) as now:
        for number in range(40):
            now.take("a", FIRE, number % 2 == 0)
            await now.saved()
        now.take("a", FAULT, True)
    lines = (tmp_path / "standing" / "fire").read_bytes().count(b"\n")
    assert lines < 15
    async with opened(tmp_path) as again:
        assert again.of("a") == (FAULT,)


class Refusing(SystemFiles):
    """A disk that takes nothing while it is told so."""

    def __init__(self) -> None:
        self.refuses = False

    def append(self, path: Path) -> AppendFile:
        file = super().append(path)
        return Full(file, lambda: self.refuses)


class Full:
    """A file on it."""

    def __init__(self, file: AppendFile, refuses: Callable[[], bool]) -> None:
        self._file, self._refuses = file, refuses
        self.write, self.close = file.write, file.close

    def sync(self) -> None:
        if self._refuses():
            raise OSError(28, "No space left on device")
        self._file.sync()


async def test_a_disk_that_refuses_costs_the_memory_until_it_takes_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env, files = system_env(), Refusing()
    env.files = files
    async with opened(tmp_path, env) as now:
        now.take("a", FIRE, True)
        await now.saved()
        files.refuses = True
        for code in (FAULT, "another"):  # appended, then written anew
            now.take("a", code, True)
            await now.saved()  # told in the log, and no reason to keep a confirmation back
        assert [each.message for each in caplog.records] == ["standing alarms are not kept"]
        files.refuses = False
        now.take("a", "more", True)
    async with opened(tmp_path) as again:
        assert again.of("a") == (FIRE, FAULT, "another", "more")
