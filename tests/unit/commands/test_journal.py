"""What commands must not forget: over restarts, on disks that refuse, and with any byte rotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from kit.commands import content
from msgspec.structs import replace

from headgate.errors import SpoolError
from headgate.runtime.commands import journal as room
from headgate.runtime.commands.allowed import End, Move
from headgate.runtime.commands.journal import Changes, Journal, Kept, Lease, Lock
from headgate.testing.env import fake_env

BOOT = bytes(16)
PLACE = ("pump-1", "run")


def kept(number: int, state: str = "confirmed", *, spent: bool = True) -> Kept:
    return Kept(
        content=content(number), issuer=b"key", who="operator:wang.li", step="operate", state=state,
        at_us=1, boot=BOOT, spent=spent,
    )  # fmt: skip


LEASE = Lease(
    device="pump-1", point="run", command=bytes(16), who="operator:wang.li", value=True, raw=True,
    on_end="auto", end=End("pump-1", "auto", True), until_us=9, boot=BOOT,
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(fake_env(), tmp_path / "commands.db")
    made.open()
    yield made
    made.close()


def again(journal: Journal) -> Journal:
    journal.close()
    fresh = Journal(fake_env(), journal._database._path)
    fresh.open()
    return fresh


def write(journal: Journal, **what: Any) -> None:
    asyncio.run(journal.write(Changes(**what)))


def test_everything_is_there_after_a_restart(journal: Journal) -> None:
    write(
        journal, counters={b"key": 7}, commands=[kept(1)], leases={PLACE: LEASE},
        moves={PLACE: (Move(BOOT, 5, True),)}, lock=Lock("uid:0", "why", 3, BOOT),
    )  # fmt: skip
    fresh = again(journal)
    assert (fresh.counter(b"key"), fresh.counter(b"other")) == (7, -1)
    assert fresh.commands() == (kept(1),)
    assert fresh.leases == {PLACE: LEASE}
    assert fresh.moves(PLACE) == (Move(BOOT, 5, True),)
    assert fresh.lock is not None
    write(fresh, leases={PLACE: None}, unlock=True)
    last = again(fresh)
    assert (last.leases, last.lock, last.damaged) == ({}, None, False)
    last.close()


def test_ids_are_bounded_and_none_under_way_is_forgotten(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_SPENT", 5)
    monkeypatch.setattr(room, "MOST_UNSPENT", 3)
    write(journal, commands=[kept(1, "executing")])
    for number in range(2, 20):
        write(journal, commands=[kept(number), kept(number + 100, "refused", spent=False)])
    known = [each.content.command[-1] for each in journal.commands() if each.spent]
    assert known[0] == 1
    assert known[1:] == [15, 16, 17, 18, 19]
    assert len([each for each in journal.commands() if not each.spent]) == 3
    fresh = again(journal)
    assert {k.content.command for k in fresh.commands()} == {
        k.content.command for k in journal.commands()
    }
    fresh.close()


def test_a_disk_that_refuses_spends_the_counter_and_nothing_else(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(changes: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(journal._database, "write", refuse)
    with pytest.raises(SpoolError):
        write(journal, counters={b"key": 7}, commands=[kept(1)], leases={PLACE: LEASE})
    assert journal.counter(b"key") == 7
    assert (journal.commands(), journal.leases) == ((), {})


def test_any_rotten_row_is_found(journal: Journal, tmp_path: Path) -> None:
    write(journal, counters={b"key": 7}, commands=[kept(1)], leases={PLACE: LEASE})
    journal.close()
    path = tmp_path / "commands.db"
    whole = path.read_bytes()
    with sqlite3.connect(path) as db:
        rows = [data for (data,) in db.execute("SELECT data FROM kept")]
    db.close()
    for data in rows:
        start = whole.index(data)
        for at in range(start, start + len(data), 7):
            rotten = bytearray(whole)
            rotten[at] ^= 0x10
            other = tmp_path / f"rot-{at}"
            other.mkdir()
            (other / "commands.db").write_bytes(rotten)
            found = Journal(fake_env(), other / "commands.db")
            found.open()
            assert found.damaged
            assert found.leases == {}
            found.close()


class Life(RuleBasedStateMachine):
    """Any order of writes, refusals and restarts leaves what a dictionary would."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.journal = Journal(fake_env(), Path(self.folder.name) / "commands.db")
        self.journal.open()
        self.counters: dict[bytes, int] = {}
        self.states: dict[bytes, str] = {}
        self.leases: dict[tuple[str, str], Lease] = {}
        self.refusing = False

    def put(self, **what: Any) -> bool:
        if self.refusing:
            real = self.journal._database.write

            def refuse(changes: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            self.journal._database.write = refuse  # type: ignore[method-assign]
            try:
                with pytest.raises(SpoolError):
                    write(self.journal, **what)
            finally:
                self.journal._database.write = real  # type: ignore[method-assign]
            return False
        write(self.journal, **what)
        return True

    @rule(key=st.sampled_from([b"a", b"b"]), counter=st.integers(0, 9))
    def count(self, key: bytes, counter: int) -> None:
        if self.put(counters={key: counter}) or True:
            self.counters[key] = max(counter, self.counters.get(key, -1))

    @rule(number=st.integers(1, 5), state=st.sampled_from(["received", "accepted", "confirmed"]))
    def command(self, number: int, state: str) -> None:
        if self.put(commands=[kept(number, state)]):
            self.states[content(number).command] = state

    @rule(point=st.sampled_from(["run", "speed"]), until=st.integers(0, 9))
    def lease(self, point: str, until: int) -> None:
        lease = replace(LEASE, point=point, until_us=until)
        if self.put(leases={lease.name: lease}):
            self.leases[lease.name] = lease

    @rule(point=st.sampled_from(["run", "speed"]))
    def end(self, point: str) -> None:
        if self.put(leases={("pump-1", point): None}):
            self.leases.pop(("pump-1", point), None)

    @rule()
    def disk(self) -> None:
        self.refusing = not self.refusing

    @precondition(lambda self: not self.refusing)
    @rule()
    def restart(self) -> None:
        # Counters that a refusing disk did not take live in memory alone.
        write(self.journal, counters=dict(self.counters))
        self.journal = again(self.journal)

    @invariant()
    def is_what_was_written(self) -> None:
        for key, counter in self.counters.items():
            assert self.journal.counter(key) == counter
        assert {k.content.command: k.state for k in self.journal.commands()} == self.states
        assert self.journal.leases == self.leases

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()


Life.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
TestLife = Life.TestCase
