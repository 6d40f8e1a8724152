"""What goes wrong in an afternoon, drawn from the world's own chance."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable

from simulation.world import World

Fault = Callable[[World], Awaitable[None]]


async def storm(world: World, seconds: float) -> None:
    """Faults one after the other and over each other until the time is up; each ends by itself."""
    chance, loop = world.chance, world.loop
    end = loop.time() + seconds
    ongoing: set[asyncio.Task[None]] = set()
    busy: set[str] = set()
    while loop.time() < end:
        await asyncio.sleep(chance.expovariate(1 / 12))
        kind = chance.choice(list(FAULTS))
        area = kind.split()[0]
        if area in busy:
            continue  # one at a time of each area; different areas fail together
        busy.add(area)
        world.note("fault", kind)
        task = asyncio.create_task(FAULTS[kind](world))
        ongoing.add(task)
        task.add_done_callback(ongoing.discard)
        task.add_done_callback(lambda _, area=area: busy.discard(area))  # type: ignore[misc]
    while ongoing:
        await asyncio.gather(*ongoing)


def _moody(mood: str) -> Fault:
    async def fault(world: World) -> None:
        gauge = world.chance.choice(world.gauges)
        gauge.mood = mood
        await asyncio.sleep(world.chance.uniform(1, 60))
        gauge.mood = "answer"

    return fault


async def _dead_line(world: World) -> None:
    host = world.chance.choice(list(world.hosts.values()))
    host.dead = True
    host.cut()
    await asyncio.sleep(world.chance.uniform(1, 60))
    host.dead = False


async def _deaf_line(world: World) -> None:
    host = world.chance.choice(list(world.hosts.values()))
    host.deaf = True
    host.cut()
    await asyncio.sleep(world.chance.uniform(1, 40))
    host.deaf = False
    host.cut()


async def _cut_line(world: World) -> None:
    world.chance.choice(list(world.hosts.values())).cut()


async def _broker_killed(world: World) -> None:
    world.broker.kill()
    await asyncio.sleep(world.chance.uniform(1, 150))
    world.broker.up = True


async def _broker_mute(world: World) -> None:
    world.broker.mute = True
    await asyncio.sleep(world.chance.uniform(1, 60))
    world.broker.mute = False
    world.broker.cut()


async def _broker_wild(world: World) -> None:
    world.broker.wild = world.chance.uniform(0.05, 0.6)
    await asyncio.sleep(world.chance.uniform(5, 120))
    world.broker.wild = 0.0


async def _links_cut(world: World) -> None:
    world.broker.cut()


async def _gateway_killed(world: World) -> None:
    world.kill()
    await asyncio.sleep(world.chance.choice((0.0, world.chance.uniform(0.1, 90))))
    await world.start()


async def _gateway_rebooted(world: World) -> None:
    world.kill()
    await asyncio.sleep(world.chance.uniform(15, 90))
    world.clock.reboot()
    await world.start()


async def _gateway_restarted(world: World) -> None:
    await world.stop()
    await asyncio.sleep(world.chance.uniform(0, 10))
    await world.start()


async def _disk_full(world: World) -> None:
    world.disk.full = True
    await asyncio.sleep(world.chance.uniform(1, 30))
    world.disk.full = False


async def _platform_killed(world: World) -> None:
    await world.kill_platform()
    await asyncio.sleep(world.chance.uniform(0, 120))
    world.start_platform()


async def _platform_wiped(world: World) -> None:
    await world.kill_platform()
    for suffix in ("", "-wal", "-shm"):
        world.store.with_name(world.store.name + suffix).unlink(missing_ok=True)
    world.start_platform()


async def _platform_restored(world: World) -> None:
    """Back to what it was a while ago, as from last night's backup."""
    await world.kill_platform()
    backup = world.folder / "backup.db"
    shutil.copy(world.store, backup)
    world.start_platform()
    await asyncio.sleep(world.chance.uniform(10, 200))
    await world.kill_platform()
    for suffix in ("-wal", "-shm"):
        world.store.with_name(world.store.name + suffix).unlink(missing_ok=True)
    shutil.copy(backup, world.store)
    world.start_platform()


async def _clock_unsure(world: World) -> None:
    world.clock.state = ("unsynced", None)
    await asyncio.sleep(world.chance.uniform(5, 120))
    world.clock.state = ("synced", 1000)


async def _clock_wrong(world: World) -> None:
    """Somebody sets the clock by hand, and the time source puts it right again later."""
    world.clock.state = ("unsynced", None)
    world.clock.error_s = world.chance.choice((-3600.0, -2.5, 0.4, 90.0, 86_400.0))
    await asyncio.sleep(world.chance.uniform(5, 120))
    world.clock.error_s, world.clock.state = 0.0, ("synced", 1000)


async def _clock_lost(world: World) -> None:
    """Power is back after the battery of the clock died: it is 1970 until the network tells the time."""
    world.kill()
    await asyncio.sleep(world.chance.uniform(15, 60))
    world.clock.reboot()
    world.clock.state = ("unsynced", None)
    world.clock.error_s = -world.wall_s() + 30.0
    await world.start()
    await asyncio.sleep(world.chance.uniform(1, 120))
    world.clock.error_s, world.clock.state = 0.0, ("synced", 1000)


FAULTS: dict[str, Fault] = {
    "gauge silent": _moody("silent"),
    "gauge busy": _moody("busy"),
    "gauge late": _moody("late"),
    "line dead": _dead_line,
    "line deaf": _deaf_line,
    "line cut": _cut_line,
    "broker killed": _broker_killed,
    "broker mute": _broker_mute,
    "broker wild": _broker_wild,
    "broker cut": _links_cut,
    "gateway killed": _gateway_killed,
    "gateway rebooted": _gateway_rebooted,
    "gateway restarted": _gateway_restarted,
    "platform killed": _platform_killed,
    "platform wiped": _platform_wiped,
    "platform restored": _platform_restored,
    "clock unsure": _clock_unsure,
    "clock wrong": _clock_wrong,
    "gateway lost its clock": _clock_lost,
    "disk full": _disk_full,
}
