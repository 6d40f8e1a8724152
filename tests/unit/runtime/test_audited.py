"""What people do through the local API, what the clock does, and which code was loaded, as audit entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from msgspec import structs

from headgate.audit import Entry
from headgate.errors import DeviceError, HeadgateError, Problem, SpoolError
from headgate.model import ClockFix
from headgate.runtime.audited import ClockWatch, audited, plugin_entries
from headgate.runtime.discovery import OURS, Found
from headgate.runtime.plugins import Loaded, PluginState, Registry
from headgate.testing.env import BOOT_US, WALL_US


class Notebook:
    """An audit log in memory; refuses when it is told to."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.refuse = False

    async def note(self, entry: Entry) -> None:
        if self.refuse:
            raise SpoolError("full", code="HG-9300", folder="f", reason="full")
        self.entries.append(entry)

    def tell(self, entry: Entry) -> None:
        self.entries.append(entry)

    @property
    def said(self) -> list[tuple[str, str, str, str]]:
        return [(e.kind, e.who, e.result, e.code) for e in self.entries]


class Calls:
    """Handlers that say what they were asked, or fail as a device does."""

    def __init__(self, book: Notebook) -> None:
        self.moved: list[Any] = []
        self.error: HeadgateError | None = None
        self.kept = True
        self._handlers = audited(
            dict.fromkeys(("status", "write", "trace", "reload", "rotate", "ask"), self.handle),
            book,
        )

    async def handle(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        self.moved.append(request.get("do"))
        if self.error is not None:
            raise self.error
        yield {"written": request.get("confirmed") is True, "kept": self.kept}

    async def ask(self, do: str, **more: Any) -> list[Any]:
        request = {"do": do, "peer": "uid:7", "device": "p1", "point": "run", "value": 1, **more}
        return [said async for said in self._handlers[do](request)]


async def test_a_write_is_on_record_before_it_moves_and_after() -> None:
    book = Notebook()
    calls = Calls(book)
    await calls.ask("write")  # nothing is confirmed, nothing would move
    assert book.said == []
    await calls.ask("write", confirmed=True)
    assert book.said == [("local-write", "uid:7", "ok", ""), ("local-written", "uid:7", "ok", "")]
    assert book.entries[0].what == "p1/run = 1"


async def test_a_write_that_fails_or_does_not_read_back_is_on_record_with_its_reason() -> None:
    book = Notebook()
    calls = Calls(book)
    calls.kept = False
    await calls.ask("write", confirmed=True)
    calls.error = DeviceError("silent", code="HG-3100")
    with pytest.raises(DeviceError):
        await calls.ask("write", confirmed=True)
    assert [each[2:] for each in book.said if each[0] == "local-written"] == [
        ("failed", "HG-9146"), ("failed", "HG-3100"),
    ]  # fmt: skip


@pytest.mark.parametrize("do", ["write", "trace", "rotate"])
async def test_what_cannot_be_written_down_does_not_happen(do: str) -> None:
    book = Notebook()
    book.refuse = True
    calls = Calls(book)
    with pytest.raises(SpoolError) as refused:
        await calls.ask(do, confirmed=True)
    assert refused.value.code == "HG-9300" and calls.moved == []


async def test_asking_how_things_are_leaves_no_entry_and_every_other_call_does() -> None:
    book = Notebook()
    calls = Calls(book)
    await calls.ask("status")
    assert book.said == []
    await calls.ask("trace", channel="bus")
    await calls.ask("rotate")
    assert [(e.kind, e.what) for e in book.entries] == [
        ("local-trace", "bus"),
        ("local-command", "p1"),
    ]


async def test_whoever_asks_a_station_is_on_record_with_what_was_asked() -> None:
    book = Notebook()
    calls = Calls(book)
    await calls.ask("ask")  # what it can be asked: nobody is
    assert book.said == []
    await calls.ask("ask", errand="parameters", arguments=["04", "28"])
    assert [(e.kind, e.what) for e in book.entries] == [("local-ask", "p1 parameters 04 28")]
    book.refuse = True
    moved = list(calls.moved)
    with pytest.raises(SpoolError):
        await calls.ask("ask", errand="set-clock", confirmed=True)
    assert calls.moved == moved


def test_a_clock_that_was_set_is_told_and_one_that_was_steered_is_not() -> None:
    book = Notebook()
    watch = ClockWatch(book.tell)
    fix = ClockFix(b"boot", BOOT_US, WALL_US, 1000, "synced")
    watch.look(fix)
    later = structs.replace(fix, at_us=BOOT_US + 10_000_000, wall_us=WALL_US + 10_050_000)
    watch.look(later)  # 50 ms within 10 s
    assert book.said == []
    watch.look(structs.replace(later, wall_us=later.wall_us - 3_600_000_000))
    watch.look(structs.replace(later, wall_us=later.wall_us - 3_600_000_000, state="unsynced"))
    assert [(e.kind, e.fields["seconds"]) for e in book.entries] == [
        ("time-jump", -3600.0), ("time-jump", 0.0),
    ]  # fmt: skip
    assert book.entries[1].fields["after"] == "unsynced"


def test_code_of_others_and_code_that_was_refused_is_told() -> None:
    ours = _found("headgate_drivers.modbus", OURS)
    registry = Registry()
    registry.plugins = [
        Loaded(ours, PluginState.LOADED),
        Loaded(_found("acme"), PluginState.LOADED),
        Loaded(_found("evil"), PluginState.REFUSED, problems=(Problem("evil", "HG-2001", {}),)),
    ]
    said = [(e.kind, e.what, e.result, e.code) for e in plugin_entries(registry)]
    assert said == [
        ("plugin-loaded", "acme", "ok", ""), ("plugin-refused", "evil", "refused", "HG-2001"),
    ]  # fmt: skip


def _found(name: str, distribution: str = "acme-plugins") -> Found:
    return Found(name, name, distribution, "1")
