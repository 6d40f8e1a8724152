"""Frames for a second centre, after a power cut at any operation: what was waited for is there, in order."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recorded_files import RecordedFiles, env_on

from headgate.runtime.relay_queue import RelayQueue

PATH = Path("/state/relay/port.db")
STATIONS = ("0060000001", "0060000002", "0060000003")
LIVES = 40


def opened(files: RecordedFiles) -> RelayQueue:
    files.make_folder(PATH.parent.parent)  # as whoever set the box up did
    files.sync_folder(Path("/"))
    env = env_on(files)
    env.single = lambda name: ThreadPoolExecutor(1, thread_name_prefix=name)
    return RelayQueue(env, PATH, 1 << 20, lambda station, frames: None)


async def waiting(queue: RelayQueue) -> dict[str, list[int]]:
    """The numbers that wait, by station, as they would be sent."""
    found: dict[str, list[int]] = {}
    for station in await queue.open():
        while (frame := await queue.next(station)) is not None:
            assert frame.data == b"%s %d" % (station.encode(), int(frame.data.split()[1]))
            found.setdefault(station, []).append(int(frame.data.split()[1]))
            queue.done(station, frame.id)
    return found


class Life:
    """What was promised when: by station, numbers with the operation they were on disk, and gone, at."""

    def __init__(self) -> None:
        self.files = RecordedFiles()
        self.kept: dict[str, dict[int, int]] = {station: {} for station in STATIONS}
        self.gone: dict[str, dict[int, int]] = {station: {} for station in STATIONS}
        self.answered: dict[str, dict[int, int]] = {station: {} for station in STATIONS}

    async def live(self, rng: random.Random) -> None:
        queue = opened(self.files)
        await queue.open()
        for number in range(LIVES):
            station = rng.choice(STATIONS)
            queue.put(station, b"%s %d" % (station.encode(), number), True)
            if rng.random() < 0.8:
                if (saved := queue.durable()) is not None:
                    await saved
                self._note(queue)
            for other in STATIONS:
                if rng.random() < 0.25 and (frame := await queue.next(other)) is not None:
                    queue.done(other, frame.id)
                    self.answered[other][int(frame.data.split()[1])] = self.files.op
        await queue.close()
        self._note(queue)

    def _note(self, queue: RelayQueue) -> None:
        op = self.files.op
        for station, line in queue._lines.items():
            for packed in line:
                number = packed >> 20
                if number not in queue._fresh:
                    self.kept[station].setdefault(number - 1, op)  # ids begin at 1
        if not queue._gone:
            for station, numbers in self.answered.items():
                for number in numbers:
                    self.gone[station].setdefault(number, op)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_a_power_cut_leaves_no_promised_frame_is_missing_and_none_is_out_of_order(
    seed: int,
) -> None:
    rng = random.Random(seed)
    life = Life()
    async with asyncio.timeout(30):
        await life.live(rng)
        for _ in range(25):
            at = rng.randint(0, life.files.op)
            queue = opened(life.files.cut(rng, at))
            found = await waiting(queue)
            await queue.close()
            for station in STATIONS:
                here = found.get(station, [])
                assert here == sorted(set(here))
                for number, op in life.kept[station].items():
                    if op <= at and number not in here:
                        told = life.answered[station].get(number, at + 1)
                        assert told <= at, f"seed {seed}, cut after {at}: {number} is lost"
                for number, op in life.gone[station].items():
                    assert op > at or number not in here, f"seed {seed}, cut after {at}: sent twice"
