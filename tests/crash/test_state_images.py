"""`state.db` as a power cut, a restored backup or a failing disk may leave it: torn, old, missing, garbage.

The spool is the truth and `state.db` only remembers beside it. So whatever the image: the box starts,
everything that was not acknowledged is offered, and no device number is given twice. SQLite's files are real
here (its own recovery is part of what is tried), and are cut and torn as bytes between two starts.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headgate.env import Env, SystemClock, SystemFiles, SystemNet, SystemRandom
from headgate.model import Lane
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.spool import ClearIndex, SealedRecord, Spool, State

SECTOR = 512
STEPS = 24
NAMES = ("state.db", "state.db-wal", "state.db-shm", "devices")

Name = tuple[bytes, int]
Image = dict[str, bytes]


class Receipt(msgspec.Struct):
    epoch: bytes
    stored: tuple[tuple[int, int], ...]
    serial: int = 1
    floor: int = 0
    verdicts: tuple[Any, ...] = ()
    resend: tuple[tuple[int, int], ...] = ()
    retire: tuple[bytes, ...] = ()


class Start:
    """One start of the box's storage side in a folder."""

    def __init__(self, folder: Path, number: int) -> None:
        env = Env(SystemClock(), SystemRandom(), SystemFiles(), SystemNet(), lambda name: None)
        self.epoch = b"start%03d" % number
        self.n = 0
        self.state = State(env, folder / "state.db")
        self.state.open()
        self.spool = Spool(env, folder / "spool", segment_bytes=4096, ballast_bytes=4096)
        found = self.spool.open(self.state.noted())
        known = {each.epoch: each.last_n for each in self.state.epochs()}
        self.state.number_above(self.spool.highest_device(known))
        self.state.begin_epoch(self.epoch, (found.epoch, found.last_n))
        self.boxes = Outboxes(self.spool, self.state, self.epoch)
        self.receipts: dict[bytes, Receipt] = {}
        self.outbox = SpoolOutbox(
            env, self.spool, self.state, "city", self.epoch, insight=None,  # type: ignore[arg-type]
            verify_receipt=self.receipts.__getitem__, say=lambda item: None, passed=self.boxes.passed,
        )  # fmt: skip
        self.boxes.add(self.outbox)

    def commit(self, device: str) -> Name:
        number = self.state.device_number(device)
        assert self.state.flush()
        name = (self.epoch, self.n)
        index = ClearIndex(1, 0, 0, b"b" * 16, ((number, 1),))
        data = b"%s/%d" % name
        record = SealedRecord(
            self.epoch, self.n, b"key-id-1", Lane.LIVE, data.ljust(200, b"."), index
        )
        self.n += 1
        self.boxes.on_commit(self.spool.commit([record]))
        self.state.committed(*name)
        return name

    def receipt(self, name: Name) -> None:
        epoch, n = name
        self.receipts[b"now"] = Receipt(epoch, ((n, n),))
        self.outbox.receipt(b"now")

    def flush(self) -> None:
        self.state.note(self.spool.totals())
        self.boxes.note()
        assert self.state.flush()

    async def offered(self) -> set[Name]:
        found: set[Name] = set()
        while True:
            task = asyncio.ensure_future(self.outbox.take(64))
            await asyncio.sleep(0)
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return found
            self.outbox.sent(task.result())
            for record in task.result():
                assert record.data.startswith(b"%s/%d." % (record.epoch, record.n))
                found.add((record.epoch, record.n))

    def close(self) -> None:
        self.state._disconnect()  # as a power cut does: without a last flush
        self.spool.close()


@contextmanager
def start(folder: Path, number: int) -> Iterator[Start]:
    made = Start(folder, number)
    try:
        yield made
    finally:
        made.close()


class Life:
    """Two starts of a box, with an image of its memory after each flush."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = random.Random(seed)
        self.folder = folder
        self.committed: list[Name] = []
        self.acknowledged: set[Name] = set()
        #: (the files, what was acknowledged by then, the device numbers by then)
        self.images: list[tuple[Image, set[Name], dict[str, int]]] = []
        for number in (1, 2):
            with start(folder, number) as box:
                for _ in range(STEPS // 2):
                    for _ in range(rng.randint(1, 4)):
                        self.committed.append(box.commit(f"gauge-{rng.randint(1, 12)}"))
                    for name in rng.sample(self.committed, len(self.committed) // 6):
                        box.receipt(name)
                        self.acknowledged.add(name)
                    box.flush()
                    files = {
                        name: (folder / name).read_bytes()
                        for name in NAMES
                        if (folder / name).exists()
                    }
                    self.images.append((files, set(self.acknowledged), dict(box.state.devices())))
        self.numbers = self.images[-1][2]

    async def judge(
        self, image: Image, again: Path, kept: set[Name], known: dict[str, int]
    ) -> None:
        """Start on the spool as it is and the memory as given.

        `kept`: what must still be known as acknowledged; `known`: devices that must have their number.
        """
        shutil.rmtree(again, ignore_errors=True)
        shutil.copytree(self.folder / "spool", again / "spool")
        for name, data in image.items():
            (again / name).write_bytes(data)
        with start(again, 3) as box:
            offered = await box.offered()
            owed = set(self.committed) - self.acknowledged
            assert owed <= offered, "what was not acknowledged must be offered"
            assert offered <= set(self.committed)
            assert not offered & kept, "what is known to be acknowledged is not sent again"
            for device, number in known.items():
                assert box.state.device_number(device) == number
            fresh = [box.state.device_number(f"new-{at}") for at in range(3)]
            assert not set(fresh) & set(self.numbers.values()), "a number is for ever"
            box.commit("new-0")
            box.flush()
        with start(again, 4) as box:
            assert owed <= await box.offered()
            assert [box.state.device_number(f"new-{at}") for at in range(1)] == fresh[:1]


@pytest.fixture(scope="module", params=range(3))
def life(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp(f"life{request.param}"), request.param)


async def test_a_power_cut_in_a_flush_keeps_the_flush_before(life: Life, tmp_path: Path) -> None:
    rng = random.Random(1)
    tried = 0
    for (before, acknowledged, known), (after, _, _) in zip(
        life.images, life.images[1:], strict=False
    ):
        old, new = before.get("state.db-wal", b""), after.get("state.db-wal", b"")
        if before["state.db"] != after["state.db"] or not new.startswith(old[:32]):
            continue  # a checkpoint or a start lies between: SQLite's own affair
        end = rng.randint(len(old), len(new))
        wal = bytearray(new[:end])
        for at in range(len(old), end, SECTOR):
            if rng.random() < 0.3:
                size = min(SECTOR, end - at)
                wal[at : at + size] = rng.choice([bytes(size), rng.randbytes(size)])
        image = {**before, "state.db-wal": bytes(wal)}
        if rng.random() < 0.5:
            image.pop("state.db-shm", None)
        await life.judge(image, tmp_path / "again", acknowledged, known)
        tried += 1
    assert tried > STEPS // 2


async def test_an_old_memory_costs_resends_only(life: Life, tmp_path: Path) -> None:
    for image, acknowledged, known in life.images[::5]:
        # A backup of it knows what it knew, and numbers given since are found in the spool.
        await life.judge(image, tmp_path / "again", acknowledged, known)


@pytest.mark.parametrize(
    "lost", [NAMES, NAMES[:3], ("state.db",), ("state.db-wal", "state.db-shm")]
)
async def test_a_missing_memory_costs_resends_only(
    life: Life, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    image, _, known = life.images[-1]
    left = {name: data for name, data in image.items() if name not in lost}
    await life.judge(left, tmp_path / "again", set(), known if "devices" in left else {})


@pytest.mark.parametrize("fate", ["empty", "short", "header", "zeros", "garbage"])
async def test_a_torn_database_is_set_aside_and_the_box_starts(
    life: Life, tmp_path: Path, fate: str
) -> None:
    image, _, known = life.images[-1]
    whole = image["state.db"]
    torn = {
        "empty": b"",
        "short": whole[: len(whole) // 2 + 100],
        "header": random.Random(3).randbytes(100) + whole[100:],
        "zeros": bytes(len(whole)),
        "garbage": random.Random(4).randbytes(len(whole)),
    }[fate]
    for wal in (True, False):
        left = {"state.db": torn, "devices": image["devices"]}
        if wal and "state.db-wal" in image:
            left["state.db-wal"] = image["state.db-wal"]
        await life.judge(left, tmp_path / "again", set(), known)


async def test_a_torn_device_file_costs_nothing_while_the_database_is_whole(
    life: Life, tmp_path: Path
) -> None:
    image, acknowledged, known = life.images[-1]
    torn = image["devices"][: len(image["devices"]) // 2]
    await life.judge({**image, "devices": torn}, tmp_path / "again", acknowledged, known)
