"""Bad links and lying brokers between gateways and a platform, as a part of the crash programme.

A case is one road and a few spells of weather on it, some with a broker or a gateway killed, then honest
and quiet until everything has arrived. The judge compares the store with what the gateways promised.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from contextlib import AsyncExitStack
from functools import cache
from itertools import count
from pathlib import Path

from kit.pki import Pki
from liar import Liar, Mood
from peers.mosquitto import Mosquitto
from programme import Counts, Report, Violation, cases
from proxy import Proxy, Weather
from road import Gate, Platform, judge

from headgate.crypto.provider import default_provider

DISK = os.environ.get("HEADGATE_CRASH_DISK") or (
    "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
)
SPELLS = "spells of weather"
#: How long an honest road may take to bring in everything.
WITHIN_S = 25.0

WEATHERS: dict[str, Weather] = {
    "slow": Weather(latency_s=0.08, jitter_s=0.15),
    "thin": Weather(rate=6_000),
    "crumbs": Weather(crumb=7, latency_s=0.0005),
    "blackhole": Weather(deaf="both"),
    "half-open up": Weather(deaf="up"),
    "half-open down": Weather(deaf="down"),
    "cut in a packet": Weather(cut_after=700),
    "reset in a packet": Weather(cut_after=350, cut="reset"),
    "refused": Weather(refuse=True),
    "fine": Weather(),
}
MOODS: dict[str, Mood] = {
    "acks and forgets": Mood(forget=0.6),
    "acks all, forgets all": Mood(forget=1.0),
    "never acks": Mood(mute=1.0),
    "acks at times": Mood(mute=0.4),
    "wrong packet ids": Mood(wrong_id=0.5),
    "twice": Mood(twice=0.7),
    "any order": Mood(reorder=0.8),
    "closes": Mood(close=0.2),
    "wrong topics": Mood(wrong_topic=0.5),
    "nobody listens": Mood(refuse=0.6),
    "deaf": Mood(deaf=1.0, close=0.1),
    "forgets sessions": Mood(amnesia=1.0, close=0.15),
    "alters": Mood(alter=0.5),
    "garbage": Mood(garbage=0.2),
    "all of it": Mood(0.1, 0.1, 0.1, 0.2, 0.2, 0.03, 0.1, 0.1, 0.2, 0.2, 0.1, 0.01),
}


LIAR_SPELLS = (
    *MOODS,
    "forged receipts",
    "bad record",
    "kill gate",
    "kill receiver",
    "store refuses",
)
PROXY_SPELLS = (
    *WEATHERS,
    "kill broker",
    "reset",
    "bad record",
    "kill gate",
    "kill receiver",
    "store refuses",
)
#: A case whose name begins with a number has this one among its spells: so none is left to chance.
DECK = [*(("liar", each) for each in LIAR_SPELLS), *(("proxy", each) for each in PROXY_SPELLS)]


@cache
def pki() -> Pki:
    """Made once: keys cost more than anything else here."""
    return Pki(default_provider())


class Story:
    """One road."""

    def __init__(
        self, name: str, *, kind: str | None = None, plot: list[str] | None = None
    ) -> None:
        self.name = name
        self.rng = random.Random(f"chaos/{name}")
        number = name.split("-")[0]
        self.sure = ""
        if number.isdigit() and kind is None:
            kind, self.sure = DECK[int(number) % len(DECK)]
        self.kind = kind or self.rng.choice(["proxy", "liar", "liar"])
        self.plot = plot
        #: Shorter spells where the plot is given: what they are is what matters then.
        self.breath = 1.0 if plot is None else 0.4
        self.counts = Counts()
        self.happened: list[str] = []

    async def run(self) -> Counts:
        with tempfile.TemporaryDirectory(dir=DISK, prefix="headgate-chaos-") as folder:
            async with AsyncExitStack() as stack:
                wrong = await self._road(Path(folder), stack)
        if wrong:
            what = "\n".join([f"{self.kind}: {', '.join(self.happened)}", *wrong])
            self.counts.violations.append(Violation(self.name, what))
        return self.counts

    async def _road(self, folder: Path, stack: AsyncExitStack) -> list[str]:
        self.platform = Platform(pki(), folder / "store.db")
        if self.kind == "liar":
            self.liar = await stack.enter_async_context(Liar(self.name))
            url, port = self.liar.url, self.liar.port
        else:
            self.broker = await stack.enter_async_context(Mosquitto(folder))
            self.ways = [
                await stack.enter_async_context(Proxy("127.0.0.1", self.broker.port, at))
                for at in ("gate", "city")
            ]
            url, port = self.ways[0].url, self.ways[1].port
        self.platform.start(port)
        stack.push_async_callback(self.platform.stop)
        async with asyncio.timeout(10):
            await self.platform.receiver.connected.wait()
        gates = [Gate(folder / f"gate-{i}", pki(), self.platform, i, url) for i in (1, 2)]
        for gate in gates:
            gate.start()
            stack.push_async_callback(gate.stop)
        spells = self.plot or [self._choose() for _ in range(self.rng.randint(2, 5))]
        if self.sure:
            spells.insert(self.rng.randint(0, len(spells)), self.sure)
        for spell in spells:
            self.happened.append(spell)
            await self._spell(spell, gates)
            self.counts.done[SPELLS] += 1
        return await self._end(gates)

    def _choose(self) -> str:
        happen = LIAR_SPELLS if self.kind == "liar" else PROXY_SPELLS
        spell: str = self.rng.choice(happen)
        return spell

    async def _spell(self, spell: str, gates: list[Gate]) -> None:
        rng = self.rng
        if spell == "kill gate":
            gate = rng.choice(gates)
            await gate.stop()
            gate.start()
        elif spell == "kill receiver":
            await self.platform.restart()
        elif spell == "store refuses":
            self.platform.refuse(rng.randint(1, 4))
        elif spell == "bad record":
            rng.choice(gates).spoil()
        elif spell == "forged receipts":
            await self._forge(gates)
        elif spell == "kill broker":
            await self._kill_broker(gates)
        elif spell == "reset":
            for way in self.ways:
                way.reset()
        elif self.kind == "liar":
            self.liar.mood = MOODS[spell]
        else:
            way = rng.choice(self.ways)
            way.weather = WEATHERS[spell]
        for gate in gates:
            gate.look(rng.randint(2, 12))
        await asyncio.sleep(self.breath * rng.uniform(0.1, 0.7))
        for gate in gates:
            gate.look(rng.randint(0, 4))

    async def _kill_broker(self, gates: list[Gate]) -> None:
        """-9, right after it has acknowledged what the platform has not seen."""
        for gate in gates:
            gate.look(8)
        await asyncio.sleep(self.rng.uniform(0.0, 0.05))
        await self.broker.kill()
        await self.broker.start()

    async def _forge(self, gates: list[Gate]) -> None:
        """Nothing goes through, and somebody says that everything did."""
        self.liar.mood = MOODS["acks all, forgets all"]
        for gate in gates:
            gate.look(6)
        for _ in range(3):
            await asyncio.sleep(0.05)
            for gate in gates:
                self.liar.say(f"headgate/v1/{gate.gateway.id}/down/receipt", gate.forged())

    async def _end(self, gates: list[Gate]) -> list[str]:
        if self.kind == "liar":
            self.liar.honest()
            self.liar.drop()
            self.counts.done["lies"] += sum(self.liar.told.values())
        else:
            for way in self.ways:
                way.weather = Weather()
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._all_settled(gates)
                if any(gate.bad for gate in gates):
                    # What was refused is a hole that stays: the platform must not ask for it again.
                    await asyncio.sleep(0.8)
                    await self._all_settled(gates)
        except TimeoutError:
            left = [gate.left for gate in gates]
            return [f"{left} records not delivered", *judge(self.platform, gates)]
        self.counts.done["looks judged"] += sum(len(gate.truth) for gate in gates)
        return judge(self.platform, gates)

    async def _all_settled(self, gates: list[Gate]) -> None:
        while any(gate.left for gate in gates):
            await asyncio.sleep(0.03)


def case(name: str) -> Counts:
    """One road, from its name."""
    return asyncio.run(Story(name).run())


def run(seed: int, deadline: float, report: Report) -> None:
    rng = random.Random(seed)
    first = rng.randrange(len(DECK))
    # A step that meets all of the deck, and its two halves in turn.
    names = (f"{(first + 17 * at) % len(DECK)}-{rng.getrandbits(40)}" for at in count())
    cases(case, names, deadline, report)


def replay(name: str) -> Counts:
    return case(name)
