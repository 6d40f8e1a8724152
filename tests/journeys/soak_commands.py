"""Minutes of commanding while everything is killed and everybody attacks: `make pumps MINUTES=5 SEED=1`.

Every command wants a value that no other wants, so the PLC's own log of writes tells of each: what was
confirmed was written once, what was refused never, what nobody can tell at most once; and nothing else was
written at all.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from kit.command_attacks import altered, impostor, resigned
from kit.command_station import DOWN, PATIENCE_S, CommandRoad, carried_out, wish

from headgate.errors import HeadgateError, UplinkUnavailable
from headgate.mqtt import connect
from headgate_receiver.commands import CommandError, Commands, Standing

MINUTES = float(os.environ.get("HEADGATE_MINUTES", "1"))
SEED = int(os.environ.get("HEADGATE_SEED", "1"))
pytestmark = [pytest.mark.peer("mosquitto"), pytest.mark.timeout(MINUTES * 60 + 600)]

#: What happens while a command is under way, each as likely as the others.
WHAT = ("gateway", "gateway", "broker", "slow", "lost", "attack", "attack", "nothing")
CONTROLS = """
[controls]
token = "30s"

[[control]]
device = "ps-001"
point = "alarm_level"
on_lease_end = "hold"
min = 1.0
max = 4.0
"""


class Soak:
    """One road and what is done to it."""

    def __init__(self, road: CommandRoad) -> None:
        self.road = road
        self.draw = random.Random(SEED)
        self.wanted: dict[bytes, int] = {}  # command id to millimetres
        self.captured: list[bytes] = []
        self.done: Counter[str] = Counter()
        self._values = iter(self.draw.sample(range(1001, 3999), 2998))

    # ------------------------------------------------------------ one command

    async def command(self, commands: Commands) -> None:
        """One operator's wish, whatever becomes of it."""
        millimetres = next(self._values)
        content = commands.draft(wish("alarm_level", millimetres / 1000, unit="m", lease_s=30))
        self.wanted[content.command] = millimetres
        with suppress(CommandError):
            await commands.select(content.command)
            await commands.operate(content.command)
        with suppress(CommandError):
            await commands.settled(content.command, 1.0)

    async def disturb(self) -> None:
        """Something is killed, slow, or attacked, at some moment of the command."""
        await asyncio.sleep(self.draw.uniform(0, 0.4))
        what = self.draw.choice(WHAT)
        self.done[what] += 1
        if what == "gateway":
            await self.road.gateway.kill()
            await self.road.start_gateway()
        elif what == "broker":
            child = self.road.broker.child
            await (child.kill() if self.draw.random() < 0.5 else child.stop())
            await self.road.broker.start()
        elif what in ("slow", "lost"):
            fault = "slow" if what == "slow" else "answer-lost"
            await self.road.tell(fault=fault, device="ps-001", on=True, value=0.3)
            await asyncio.sleep(self.draw.uniform(0.1, 0.5))
            await self.road.tell(fault=fault, device="ps-001", on=False)
        elif what == "attack":
            await self.attack()

    async def attack(self) -> None:
        """Somebody at the broker says what was said, altered, or signed by who may not."""
        if not self.captured:
            return
        key, certificate = impostor(self.road.provider, self.road.party("operator")[1])
        with suppress(UplinkUnavailable, HeadgateError):
            async with connect(self.road.broker_settings) as link:
                for message in self.draw.sample(self.captured, min(3, len(self.captured))):
                    draw = self.draw.random()
                    if draw < 0.5:
                        await link.publish(DOWN, message)
                    elif draw < 0.8:
                        for each in altered(message, 2, self.draw.randrange(1 << 30)):
                            await link.publish(DOWN, each)
                    else:
                        await link.publish(DOWN, resigned(message, key, certificate))

    async def overhear(self) -> None:
        """A hostile subscriber that comes back after every loss."""
        while True:
            with suppress(UplinkUnavailable):
                async with connect(self.road.broker_settings) as link:
                    await link.subscribe(DOWN)
                    async for message in link.messages():
                        self.captured.append(message.payload)
            await asyncio.sleep(0.1)

    # ------------------------------------------------------------ the judge

    def judge(self, standings: list[Standing]) -> None:
        """What the commands say of themselves, against what was written."""
        writes = Counter(value for name, value in self.road.writes("alarm_level"))
        others = [line for line in self.road.writes() if line[0] != "alarm_level"]
        assert others == []
        assert set(writes) <= set(self.wanted.values())
        for standing in standings:
            times = writes[self.wanted[standing.content.command]]
            say = (standing.stage, standing.state, standing.content.command.hex(), times)
            if standing.done:
                assert times == 1, say
            elif standing.moved is None:
                assert times <= 1, say
            else:
                assert times == 0, say


async def test_nothing_is_done_twice_and_nothing_by_strangers(tmp_path: Path) -> None:
    async with CommandRoad(tmp_path, CONTROLS) as road:
        soak = Soak(road)
        overhearing = asyncio.create_task(soak.overhear())
        loop = asyncio.get_running_loop()
        end = loop.time() + MINUTES * 60
        while loop.time() < end and len(soak.wanted) < 2900:
            # A new program on the old journal each time: the one before may have been killed.
            async with road.operator(answer_s=2.0) as commands:
                for _ in range(soak.draw.randrange(1, 6)):
                    working = asyncio.create_task(soak.command(commands))
                    await soak.disturb()
                    if soak.draw.random() < 0.1:
                        working.cancel()  # killed in the middle
                        soak.done["platform"] += 1
                    await asyncio.gather(working, return_exceptions=True)
        overhearing.cancel()
        await asyncio.gather(overhearing, return_exceptions=True)
        async with road.operator() as commands:
            async with asyncio.timeout(PATIENCE_S):
                while not (await carried_out(commands, wish("alarm_level", 4.0, unit="m"))).done:
                    pass
            standings = []
            for command in soak.wanted:
                standing = commands.standing(command)
                if standing.in_doubt:
                    with suppress(CommandError):
                        standing = await commands.ask(command)
                standings.append(standing)
        soak.wanted[b""] = 4000
        soak.judge(standings)
        ended = Counter(standing.state or standing.stage.value for standing in standings)
        doubtful = [each for each in standings if each.in_doubt]
        assert doubtful == []
        assert ended["confirmed"] > 0
        print(f"\n{len(standings)} commands: {dict(ended)}; disturbed by {dict(soak.done)};"
              f" {len(road.writes())} writes; {len(soak.captured)} messages overheard")  # fmt: skip
