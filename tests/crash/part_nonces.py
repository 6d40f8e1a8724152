"""No nonce twice: state folders restored, cloned, killed in mid-commit, with clocks that go back.

A case is one family of boxes that all come from one state folder. Every (key, nonce) of every SM4-GCM seal of
all their lives is written down as it is used and must be unique; every twin must be seen by the receiver
that gets what they committed. Randomness is the kernel's, as on a box: only fates come from the seed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from kit.pki import NOW, Pki
from programme import Counts, Report, cases

from headgate.crypto.issue import ENCRYPT_USAGE
from headgate.crypto.provider import CryptoProvider, default_provider
from headgate.crypto.x509 import Role
from headgate.env import Env, SystemFiles, SystemRandom
from headgate.errors import SpoolError
from headgate.model import Event, Lane
from headgate.runtime.batch import Batch
from headgate.runtime.identity import Identity
from headgate.runtime.keyring import KEY_AGE_US, Keyring
from headgate.runtime.press import Sealing, SealingPress
from headgate.spool import Spool, State
from headgate.testing.env import ManualClock, fake_env
from headgate_receiver.core import Core
from headgate_receiver.keys import FileKeys
from headgate_receiver.sqlite import SqliteSink

#: Lives of one family.
LIVES = 25
_PROVIDER = default_provider()
_PKI = Pki(_PROVIDER)
_OTHER = _PKI.issue("province", Role.PLATFORM_ENCRYPTION, ENCRYPT_USAGE)


class Killed(BaseException):
    """kill -9: nothing after it happens."""


class Ledger:
    """A provider that notes every use of a key with a nonce."""

    def __init__(self, provider: CryptoProvider) -> None:
        self._provider = provider
        self.used: Counter[tuple[bytes, bytes]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def sm4_gcm_seal(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        self.used[key, nonce] += 1
        return self._provider.sm4_gcm_seal(key, nonce, plaintext, aad)


class MortalFiles(SystemFiles):
    """The real files, until a given write."""

    def __init__(self) -> None:
        self.left = -1

    def write_comes(self) -> None:
        """Called before each write and sync."""
        if self.left == 0:
            raise Killed
        self.left -= 1

    def append(self, path: Path) -> Any:
        return _Mortal(self, super().append(path))


class _Mortal:
    def __init__(self, files: MortalFiles, file: Any) -> None:
        self._files, self._file = files, file

    def write(self, data: bytes) -> None:
        if self._files.left == 0:
            # Some of it may have reached the disk.
            self._file.write(data[: len(data) // 2])
        self._files.write_comes()
        self._file.write(data)

    def sync(self) -> None:
        self._files.write_comes()
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class Life:
    """One start of a gateway on a folder, until it is closed or killed."""

    def __init__(self, family: Family, folder: Path) -> None:
        self._family = family
        self.folder = folder
        self.files = MortalFiles()
        self.env: Env = fake_env(family.clock, files=self.files)
        self.env.random = SystemRandom()
        self._spool = Spool(self.env, folder / "spool", ballast_bytes=4096)
        self._state = State(self.env, folder / "state.db")
        recovered = self._spool.open()
        self._state.open()
        self.epoch = self.env.random.token(8)
        self.link = self._state.begin_epoch(self.epoch, (recovered.epoch, recovered.last_n))
        self._state.flush()
        self.last_n = -1
        self.keyring = Keyring(self.env, family.ledger, family.identity, self._state, self.epoch)  # type: ignore[arg-type]
        boot = family.clock.boot_id()
        self._press = SealingPress(
            self.env,
            family.ledger,
            self.keyring,
            self._spool,
            Sealing(self.epoch, boot, *self.link),
        )  # type: ignore[arg-type]

    def commit(self, items: int) -> None:
        """One commit of one or two lanes; what is durable goes to the receiver."""
        batches = []
        for lane in self._family.dice.choice([(Lane.LIVE,), (Lane.ALARM, Lane.LIVE)]):
            batch = Batch(lane)
            for _ in range(items):
                batch.add(Event("x", self._family.clock.boottime_us()), 100)
            batches.append(batch)
        committed = self._press.commit(batches)
        for record in committed.records:
            grant = self._state.grant(record.key_id)
            assert grant is not None and grant.message is not None
            self._family.sent[record.key_id] = grant.message
            self._family.records.append(record.data)
            self._state.committed(self.epoch, record.n)
            self.last_n = max(self.last_n, record.n)
        self._state.flush()

    def image(self, to: Path) -> Path:
        """The folder as it lies there at this moment."""
        shutil.copytree(self.folder, to)
        return to

    def end(self) -> None:
        """Let go of the files; what was in memory only is gone."""
        self.files.left = -1
        self._state.close()
        self._spool.close()


class Family:
    """All lives that come from one folder."""

    def __init__(self, dice: random.Random, folder: Path) -> None:
        self.dice, self.folder = dice, folder
        self.clock = ManualClock()
        self.ledger = Ledger(_PROVIDER)
        several = dice.random() < 0.3
        to = (_PKI.platform.certificate, _OTHER.certificate)
        self.identity = Identity(
            gateway="gauge-house-7", signing_key=_PKI.gateway.key, chain=(_PKI.gateway.certificate,),
            recipients=to if several else to[:1], receipt_keys=(), kek=bytes(range(16)),
            signs_records=several,
        )  # fmt: skip
        self.sent: dict[bytes, bytes] = {}
        self.records: list[bytes] = []
        self.lives: list[Life] = []
        self.fates: Counter[str] = Counter()
        self._folders = 0

    def fresh(self) -> Path:
        """A folder that is not there yet."""
        self._folders += 1
        return self.folder / f"box-{self._folders}"

    def live(self, folder: Path) -> Path:
        """One life; the folder that the next one begins with."""
        dice, life = self.dice, Life(self, folder)
        self.lives.append(life)
        backup = life.image(self.fresh()) if dice.random() < 0.3 else None
        fate = dice.choice(["stopped", "stopped", "killed", "killed", "image"])
        image = None
        try:
            for _ in range(dice.randrange(1, 6)):
                self.clock.advance(dice.choice([0.001, 1.0, KEY_AGE_US / 1e6]))
                if dice.random() < 0.15:
                    life.keyring.renew()
                if fate == "killed" and dice.random() < 0.4:
                    life.files.left = dice.randrange(0, 4)
                life.commit(dice.randrange(1, 4))
                if fate == "image" and dice.random() < 0.5:
                    image = life.image(self.fresh())
        except Killed:
            self.fates["kills in mid-commit"] += 1
            image = life.image(self.fresh())
        except SpoolError:
            pass
        life.end()
        self._time_passes()
        if backup is not None and dice.random() < 0.6:
            self.fates["restores"] += 1
            return backup
        if image is not None:
            self.fates["clones" if fate == "image" else "restarts after a kill"] += 1
            return image
        self.fates["restarts"] += 1
        return folder

    def _time_passes(self) -> None:
        """The machine boots, or does not; its wall clock goes anywhere."""
        dice, clock = self.dice, self.clock
        if dice.random() < 0.5:
            clock.now_us = 1_000_000
            if dice.random() < 0.7:  # a cloned machine may even boot under one boot id
                clock.boot = dice.randbytes(16)
        clock.shift_us += dice.choice([0, -(10**13), 10**12])
        if dice.random() < 0.2:
            self.fates["clocks back"] += 1
            clock.now_us = max(1, clock.now_us - 10**8)


def case(name: str, lives: int = LIVES) -> Counts:
    """One family: so many lives, then what the receiver makes of them."""
    dice = random.Random(f"nonces/{name}")
    with tempfile.TemporaryDirectory(prefix="nonces-") as root:
        family = Family(dice, Path(root))
        folders = [family.fresh()]
        folders[0].mkdir()
        for _ in range(lives):
            at = dice.randrange(len(folders))
            following = family.live(folders[at])
            if following != folders[at] and dice.random() < 0.4:
                folders.append(following)  # the original goes on as well: twins
            else:
                folders[at] = following
        twice = {pair for pair, times in family.ledger.used.items() if times > 1}
        assert not twice, f"{len(twice)} nonces were used twice under their key"
        names = [life.epoch for life in family.lives]
        assert len(set(names)) == len(names)
        forks = asyncio.run(_received(family))
    done = Counter({"lives": len(names), "nonces": len(family.ledger.used), "forks seen": forks})
    return Counts(done + family.fates)


async def _received(family: Family) -> int:
    """What the receiver says of the family; every twin must be among it."""
    platform = _PKI.platform
    sink = SqliteSink(family.folder / "store.db", SystemFiles())
    try:
        keys = FileKeys({platform.certificate.fingerprint: platform.key}, _PROVIDER.sm2_generate())
        core = Core(_PROVIDER, sink, keys, [_PKI.root.certificate], lambda: NOW)
        core.begin()
        for message in family.sent.values():
            await core.grant(message, "gauge-house-7")
        sink.commit(core.end()[0])
        records = list(family.records)
        family.dice.shuffle(records)
        core.begin()
        for record in records:
            core.record(record, "gauge-house-7")
        batch, _ = core.end()
        assert not batch.refusals, batch.refusals[0]
        sink.commit(batch)
        said = {(fork.code, fork.previous, epoch) for fork in batch.forks for epoch in fork.epochs}
        beyond = {fork.previous for fork in batch.forks if fork.code == "epoch-beyond"}
    finally:
        sink.close()
    _all_twins_are_seen(family, said, beyond)
    return len(batch.forks)


def _all_twins_are_seen(
    family: Family, said: set[tuple[str, bytes | None, bytes]], beyond: set[bytes | None]
) -> None:
    spoke = [life for life in family.lives if life.last_n >= 0]
    reached = {life.epoch: life.last_n for life in spoke}
    children: dict[bytes | None, list[Life]] = {}
    for life in spoke:
        children.setdefault(life.link[0], []).append(life)
        previous, last_n = life.link
        if previous is not None and last_n is not None and reached.get(previous, -1) > last_n:
            assert previous in beyond, "a start that knows less than was committed was not seen"
    for previous, lives in children.items():
        for life in lives if len(lives) > 1 else ():
            code = "epoch-anew" if previous is None else "epoch-fork"
            assert (code, previous, life.epoch) in said, f"{len(lives)} lives of one, not seen"


def run(seed: int, deadline: float, report: Report) -> None:
    """Families until the deadline."""
    rng = random.Random(seed)
    cases(case, (str(rng.getrandbits(48)) for _ in iter(int, 1)), deadline, report)


def replay(name: str) -> Counts:
    """One family again; its keys are new ones."""
    return case(name)


def main(lives: int, seed: int) -> int:
    """`make nonces`: so many lives at least, and a table of what they were."""
    logging.disable(logging.CRITICAL)  # every twin is an error in the log, and there are hundreds
    rng, total = random.Random(seed), Counts()
    while total.done["lives"] < lives:
        total.add(case(str(rng.getrandbits(48))))
    for unit, number in sorted(total.done.items()):
        print(f"{unit:24} {number:8,}")
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
