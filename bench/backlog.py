"""A backlog of many hours, written in seconds: the product's own press and spool under a clock run ahead."""

from __future__ import annotations

import os
import time
from pathlib import Path

from headgate import config
from headgate.crypto.provider import default_provider
from headgate.env import Env, SystemFiles, SystemNet, SystemRandom
from headgate.envelope.payload import encode_table
from headgate.model import Block, Lane, Point, PointTable
from headgate.runtime.batch import Batch
from headgate.runtime.identity import load_identity
from headgate.runtime.keyring import Keyring
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.spool import Spool, State
from headgate.testing.env import InlineExecutor, ManualClock

#: Records that share one fsync: how they came to lie there does not matter to how they drain.
_TOGETHER = 256
#: The backlog ends this long before now, so that the counting end tells it from the live data by age.
_APART_MS = 180_000


def write_backlog(
    site: Path, *, devices: int, registers: int, interval_s: float, hours: float
) -> int:
    """Fill the spool of a gateway that does not run; how many points there are.

    One record per `interval_s` with a look at every device, as a small site makes them. The first two
    registers are the milliseconds of the wall clock then, the third counts: as the bench's devices do.
    """
    clock = ManualClock()
    env = Env(clock, SystemRandom(), SystemFiles(), SystemNet(), lambda name: InlineExecutor())
    loaded = config.load(env, site)
    provider = default_provider()
    folder = loaded.state_folder
    env.files.make_folder(folder, 0o750)
    state = State(env, folder / "state.db")
    spool = Spool(env, folder / "spool", quota_bytes=loaded.state.quota.bytes)
    state.open()
    found = spool.open(state.noted())
    epoch = env.random.token(8)
    previous, last_n = state.begin_epoch(epoch, (found.epoch, found.last_n))
    keyring = Keyring(env, provider, load_identity(env, loaded, provider), state, epoch)
    press = SealingPress(
        env, provider, keyring, spool, Sealing(epoch, clock.boot, previous, last_n)
    )
    points = tuple(Point(f"r{i:03}", "u16") for i in range(registers))
    tables: list[tuple[int, bytes]] = []
    for k in range(devices):
        number = state.device_number(f"old{k}")
        data = encode_table(
            PointTable(number, f"old{k}", points, interval_us=int(interval_s * 1e6))
        )
        name = provider.sm3(data)
        press.learn(name, KnownTable(data, registers))
        state.keep_table(name, data, epoch)
        tables.append((number, name))
    state.flush()
    ticks = int(hours * 3600 / interval_s)
    began_ms = int(time.time() * 1000) - int(hours * 3_600_000) - _APART_MS
    noise = os.urandom(1 << 16)
    batches: list[Batch] = []
    for tick in range(ticks):
        clock.advance(interval_s)
        wall = (began_ms + int(tick * interval_s * 1000)) & 0xFFFFFFFF
        head = b"".join(v.to_bytes(2, "big") for v in (wall & 0xFFFF, wall >> 16, tick & 0xFFFF))
        batch = Batch(Lane.LIVE)
        for number, name in tables:
            # Half of what a look brings has not moved: about what a compressor meets in the field.
            at = (tick * 97 + number * 31) % (len(noise) - 2 * registers)
            body = head + noise[number : number + registers - 3] + noise[at : at + registers - 3]
            batch.add(Block(number, name, clock.now_us, tick, (body,)), len(body))
        batches.append(batch)
        if len(batches) == _TOGETHER or tick == ticks - 1:
            for record in press.commit(batches).records:
                state.committed(record.epoch, record.n)
            batches = []
    state.note(spool.totals())
    state.close()
    spool.close()
    return ticks * devices * registers
