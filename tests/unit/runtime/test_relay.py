"""Raw frames to a second centre: its own rule, on disk, bounded, and nothing is given up without a word."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.env import Env, system_env
from headgate.errors import ChannelError
from headgate.runtime.relay import Relay, Rule
from headgate.runtime.relay_queue import OVERHEAD, RelayQueue

PATIENCE_S = 30


class Centre:
    """A second centre that keeps what it hears, and answers when it likes."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.answers = True
        #: What it never answers.
        self.dumb_to = b"?"
        self.reads = asyncio.Event()
        self.reads.set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self.lines: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self.lines):
            line.transport.abort()
        while self.lines:
            await asyncio.sleep(0.01)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lines.add(writer)
        await self.reads.wait()
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.heard.put_nowait(line)
                if self.answers and not line.startswith(self.dumb_to):
                    writer.write(b"ok\n")
        self.lines.discard(writer)
        writer.close()

    async def hear(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.heard.get()

    async def hear_all(self, count: int) -> list[bytes]:
        return [await self.hear() for _ in range(count)]


@contextlib.asynccontextmanager
async def centre() -> AsyncIterator[Centre]:
    opened = Centre()
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def until(relay: Relay, what: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while relay.tally[what] != count:
            await asyncio.sleep(0.01)


class Eager:
    """Randomness of a box that never waits long before it dials again."""

    def token(self, size: int) -> bytes:
        return bytes(size)

    def uniform(self, low: float, high: float) -> float:
        return 0.01


def eager() -> Env:
    env = system_env()
    env.random = Eager()
    return env


@contextlib.asynccontextmanager
async def relaying(
    to: Centre, folder: Path, told: list[tuple[str, int, bool]] | None = None, **more: object
) -> AsyncIterator[Relay]:
    """A relay that is ended in good order."""
    relay = await opened(to, folder, told, **more)
    try:
        yield relay
    finally:
        await relay.stop()


async def opened(
    to: Centre, folder: Path, told: list[tuple[str, int, bool]] | None = None, **more: object
) -> Relay:
    rule = Rule.of({"to": f"tcp://127.0.0.1:{to.port}", **more})
    said = [] if told is None else told
    relay = Relay(eager(), rule, folder / "relay" / "port.db", lambda *one: said.append(one))
    await relay.open()
    return relay


async def saved(relay: Relay) -> None:
    if (waiting := relay.saved()) is not None:
        async with asyncio.timeout(PATIENCE_S):
            await waiting


async def powerless(relay: Relay) -> None:
    """End a relay as a power cut does: nothing more is written."""
    for leg in relay._legs.values():
        await leg.stop()
    queue = relay._queue
    if queue._timer is not None:
        queue._timer.cancel()
    if queue._running is not None:
        await queue._running
    queue._thread.shutdown(wait=True)
    queue._database.close()


def on_disk(folder: Path) -> list[bytes]:
    with contextlib.closing(sqlite3.connect(folder / "relay" / "port.db")) as db:
        return [row[0] for row in db.execute("SELECT frame FROM waiting ORDER BY id")]


# ------------------------------------------------------------ the second centre's own rule


async def test_what_is_not_answered_is_sent_again_and_what_needs_no_answer_is_not(
    tmp_path: Path,
) -> None:
    async with centre() as second, relaying(second, tmp_path, timeout_s=0.1) as relay:
        second.answers = False
        relay.put("1", b"alive\n", False)
        relay.put("1", b"report\n", True)
        assert await second.hear_all(3) == [b"alive\n", b"report\n", b"report\n"]
        assert relay.tally["relayed"] == 1
        second.answers = True
        await until(relay, "relayed", 2)


async def test_where_nobody_answers_a_frame_is_done_when_it_was_sent(tmp_path: Path) -> None:
    async with centre() as second, relaying(second, tmp_path, answers="none") as relay:
        second.answers = False
        for number in range(20):
            relay.put("1", b"%d\n" % number, True)
        assert await second.hear_all(20) == [b"%d\n" % n for n in range(20)]


async def test_each_station_has_a_connection_of_its_own(tmp_path: Path) -> None:
    async with centre() as second, relaying(second, tmp_path) as relay:
        relay.put("1", b"a\n", True)
        relay.put("2", b"b\n", True)
        await until(relay, "relayed", 2)
        assert len(second.lines) == 2


async def test_a_centre_that_never_reads_makes_nothing_pile_up_in_memory(tmp_path: Path) -> None:
    async with centre() as second, relaying(second, tmp_path, answers="none") as relay:
        second.reads.clear()
        frame = b"x" * 49_999 + b"\n"
        for _ in range(160):
            relay.put("1", frame, True)
        await saved(relay)
        async with asyncio.timeout(PATIENCE_S):
            while not relay.tally["relayed"]:
                await asyncio.sleep(0.01)
        # What the two kernels take, and no more: the rest lies on disk.
        assert relay.tally["relay-waiting"] > 20
        second.reads.set()
        await until(relay, "relay-waiting", 0)


async def test_a_frame_that_is_never_answered_does_not_hold_up_the_others_for_ever(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, int, bool]] = []
    async with (
        centre() as second,
        relaying(second, tmp_path, told, timeout_s=0.05, tries=1) as relay,
    ):
        second.dumb_to = b"poison"
        relay.put("1", b"poison\n", True)
        relay.put("1", b"alive\n", False)  # that it went out says nothing of the centre
        relay.put("1", b"report\n", True)
        await until(relay, "relayed", 2)
        await until(relay, "relay-waiting", 0)
        assert relay.tally["relay-lost"] == 1
    assert told == [("1", 1, True), ("1", 1, False)]


async def test_a_centre_that_is_dumb_for_a_while_costs_nothing(tmp_path: Path) -> None:
    async with centre() as second, relaying(second, tmp_path, timeout_s=0.3, tries=1) as relay:
        second.answers = False
        for number in range(3):
            relay.put("1", b"%d\n" % number, True)
        await second.hear_all(7)  # by then the oldest and the one behind it had their turns
        second.answers = True
        await until(relay, "relayed", 3)
        assert relay.tally["relay-lost"] == 0


# ------------------------------------------------------------ on disk


async def test_what_waits_outlives_an_orderly_end_in_order_and_nothing_is_sent_twice(
    tmp_path: Path,
) -> None:
    async with centre() as second:
        second.dumb_to = b"late"
        async with relaying(second, tmp_path) as relay:
            for number in range(3):
                relay.put("1", b"early %d\n" % number, True)
            await until(relay, "relayed", 3)
            for number in range(40):
                relay.put(str(number % 2), b"late %d\n" % number, True)
            await second.hear_all(3 + 2)
        assert on_disk(tmp_path) == [b"late %d\n" % n for n in range(40)]
        second.dumb_to = b"?"
        async with relaying(second, tmp_path) as relay:
            await until(relay, "relayed", 40)
            heard = await second.hear_all(40)
        for station in (0, 1):
            assert [h for h in heard if int(h.split()[1]) % 2 == station] == [
                b"late %d\n" % n for n in range(40) if n % 2 == station
            ]
        assert second.heard.empty()
        assert on_disk(tmp_path) == []


async def test_a_power_cut_keeps_what_was_waited_for_and_repeats_at_most_what_was_just_answered(
    tmp_path: Path,
) -> None:
    async with centre() as second:
        relay = await opened(second, tmp_path)
        relay.put("1", b"a\n", True)
        relay.put("1", b"b\n", True)
        await saved(relay)
        await until(relay, "relayed", 2)
        second.answers = False
        relay.put("1", b"c\n", True)
        await saved(relay)
        await powerless(relay)
        assert on_disk(tmp_path)[-1] == b"c\n"
        again = len(on_disk(tmp_path)) - 1
        await second.hear_all(3)
        second.answers = True
        async with relaying(second, tmp_path) as relay:
            await until(relay, "relay-waiting", 0)
        # Once more, and never again.
        assert await second.hear_all(again + 1) == [b"a\n", b"b\n", b"c\n"][2 - again :]
        async with relaying(second, tmp_path) as relay:
            assert relay.tally["relay-waiting"] == 0


async def test_nobody_waits_for_a_disk_that_refuses_and_it_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("a file where the folder should be")
    async with centre() as second:
        await second.close()
        async with relaying(second, tmp_path) as relay:
            relay.put("1", b"a\n", True)
            await saved(relay)
            assert relay.tally["relay-unsaved"] == 1
            relay.put("1", b"b\n", True)
            assert relay.saved() is None
            await second.open()
            await until(relay, "relayed", 2)
            (tmp_path / "relay").unlink()
            (tmp_path / "relay").mkdir()
            second.answers = False
            relay.put("1", b"c\n", True)
            await until(relay, "relay-unsaved", 0)
        assert on_disk(tmp_path) == [b"c\n"]


async def test_what_a_disk_refused_is_told_as_lost_when_the_port_closes(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("a file where the folder should be")
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        second.answers = False
        async with relaying(second, tmp_path, told) as relay:
            relay.put("1", b"a\n", True)
            relay.put("1", b"b\n", True)
            await saved(relay)
    assert told == [("1", 2, True), ("1", 2, False)]


async def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "relay").mkdir()
    (tmp_path / "relay" / "port.db").write_bytes(b"no database at all" * 100)
    async with centre() as second:
        second.answers = False
        async with relaying(second, tmp_path) as relay:
            relay.put("1", b"a\n", True)
            await saved(relay)
    assert on_disk(tmp_path) == [b"a\n"]
    assert (tmp_path / "relay" / "port.db.damaged").exists()


async def test_a_frame_that_rotted_on_disk_is_told_and_not_sent(tmp_path: Path) -> None:
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        second.answers = False
        async with relaying(second, tmp_path) as relay:
            for name in (b"a\n", b"b\n", b"c\n"):
                relay.put("1", name, True)
        with contextlib.closing(sqlite3.connect(tmp_path / "relay" / "port.db")) as db:
            db.execute("UPDATE waiting SET frame = x'00' WHERE frame = ?", (b"b\n",))
            db.commit()
        second.answers = True
        async with relaying(second, tmp_path, told) as relay:
            await until(relay, "relay-waiting", 0)
            assert await second.hear_all(2) == [b"a\n", b"c\n"]
            assert relay.tally["relay-lost"] == 1
    assert told == [("1", 1, True), ("1", 1, False)]


# ------------------------------------------------------------ bounded


async def test_a_centre_that_is_away_costs_the_oldest_and_that_is_told_once_and_again_when_over(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        await second.close()
        keep = 4 * (9 + OVERHEAD)
        async with relaying(second, tmp_path, told, keep_bytes=keep, answers="none") as relay:
            for number in range(10):
                relay.put("1", b"number %d\n" % number, True)  # nine bytes each
            assert (relay.tally["relay-waiting"], relay.tally["relay-lost"]) == (4, 6)
            assert told == [("1", 1, True)]
            await second.open()
            await until(relay, "relayed", 4)
            assert told == [("1", 1, True), ("1", 6, False)]
            assert await second.hear_all(4) == [b"number %d\n" % n for n in (6, 7, 8, 9)]


async def test_the_oldest_of_all_stations_goes_first_and_never_the_one_under_way(
    tmp_path: Path,
) -> None:
    told: list[tuple[str, int]] = []
    queue = RelayQueue(
        system_env(), tmp_path / "q.db", 4 * (1 + OVERHEAD), lambda *one: told.append(one)
    )
    await queue.open()
    for station in "abcd":
        queue.put(station, station.encode(), True)
    under_way = await queue.next("a")
    assert under_way is not None
    for _ in range(3):
        queue.put("e", b"e", True)
    assert told == [("b", 1), ("c", 1), ("d", 1)]
    assert await queue.next("a") == under_way
    await queue.close()
    again = RelayQueue(system_env(), tmp_path / "q.db", 1 << 20, lambda *one: None)
    assert list(await again.open()) == ["a", "e"]
    assert again.waiting("e") == 3
    await again.close()


async def test_what_goes_for_room_while_another_is_under_way_changes_not_which_is_done(
    tmp_path: Path,
) -> None:
    """Of a station whose oldest is never answered, one behind it is tried while the queue is full."""
    told: list[tuple[str, int]] = []
    queue = RelayQueue(
        system_env(), tmp_path / "q.db", 4 * (1 + OVERHEAD), lambda *one: told.append(one)
    )
    await queue.open()
    for frame in (b"0", b"1", b"2", b"3"):
        queue.put("a", frame, True)
    tried, gone = await queue.next("a", 2), await queue.next("a", 1)
    assert tried is not None and tried.data == b"2"
    queue.put("a", b"4", True)  # 1 goes for it
    assert told == [("a", 1)]
    queue.done("a", tried.id)
    assert gone is not None
    queue.done("a", gone.id)  # given up already
    left = [await queue.next("a", behind) for behind in range(4)]
    assert [each and each.data for each in left] == [b"0", b"3", b"4", None]
    await queue.close()


async def test_a_start_with_very_much_to_give_up_does_so_in_the_order_of_all(
    tmp_path: Path,
) -> None:
    path, told = tmp_path / "q.db", list[str]()
    queue = RelayQueue(system_env(), path, 1 << 20, lambda *one: None)
    await queue.open()
    names = [str(number) for number in range(500)]
    for name in (*names, *names):
        queue.put(name, b"x", True)
    await queue.close()
    keep = 300 * (1 + OVERHEAD)
    again = RelayQueue(system_env(), path, keep, lambda name, _: told.append(name))
    await again.open()
    assert told == [*names, *names[:200]]
    assert len(again) == 300
    await again.close()


async def test_a_smaller_bound_after_a_restart_gives_up_the_oldest(tmp_path: Path) -> None:
    told: list[tuple[str, int, bool]] = []
    async with centre() as second:
        second.answers = False
        async with relaying(second, tmp_path) as relay:
            for number in range(6):
                relay.put("1", b"%d" % number, True)
        async with relaying(second, tmp_path, told, keep_bytes=2 * (1 + OVERHEAD)) as relay:
            assert relay.tally["relay-waiting"] == 2
    assert told == [("1", 1, True), ("1", 4, False)]
    assert on_disk(tmp_path) == [b"4", b"5"]


async def test_many_frames_of_many_stations_go_through_a_small_memory(tmp_path: Path) -> None:
    async with centre() as second:
        await second.close()
        async with relaying(second, tmp_path) as relay:
            for number in range(2000):
                relay.put(str(number % 20), b"%d\n" % number, True)
            await saved(relay)
            queue = relay._queue
            assert not queue._fresh
            assert not queue._writing
            await second.open()
            await until(relay, "relayed", 2000)
            assert len(queue._ahead) == 0
        heard = [int(line) for line in await second.hear_all(2000)]
        for station in range(20):
            assert [n for n in heard if n % 20 == station] == list(range(station, 2000, 20))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"to": "udp://a:1"}, {"to": "tcp://a"}, {"to": "tcp://a:1", "answer": "none"},
     {"to": "tcp://a:1", "answers": "often"}, {"to": "tcp://a:1", "tries": 0},
     {"to": "tcp://a:1", "keep_bytes": 1 << 40}, "tcp://a:1"],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_told(wrong: object) -> None:
    with pytest.raises(ChannelError) as told:
        Rule.of(wrong)
    assert told.value.code == "HG-3605"
