"""Asks devices who they are: before their first look, when they come back, and now and then.

A device that was silent may have been exchanged or given new firmware, and one that suddenly answers
nonsense may well speak by another map: both are asked at once. All others are asked again every hour,
between the looks of their line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from headgate.env import Env
from headgate.errors import DeviceError, HeadgateError
from headgate.model import Identity
from headgate.runtime.health import DeviceHealth, DeviceState
from headgate.runtime.poller import Poller
from headgate.sdk import Channel

log = logging.getLogger(__name__)

#: How often a device that is well is asked again.
AGAIN_S = 3600.0
#: How soon one that could not say, or is not well, is asked again; doubles up to `AGAIN_S`.
FIRST_RETRY_S = 30.0
#: A device that answers nonsense is not asked more often than this.
LEAST_S = 5.0

#: What to do with what a device says of itself.
Learn = Callable[[str, Identity], Awaitable[None]]


class Identification:
    """One task per line with something to ask. `learn` is told of every identity, also unchanged ones."""

    def __init__(self, env: Env, poller: Poller, learn: Learn) -> None:
        self._env = env
        self._poller = poller
        self._learn = learn
        self._known: dict[str, str] = {}
        self._asked_at: dict[str, float] = {}
        self._retry_s: dict[str, float] = {}
        self._due: dict[str, dict[str, float]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        poller.on_turn = self._turned

    def watch(self, devices: dict[str, str]) -> None:
        """Ask these devices, and no others: their channels by device id.

        One of which nothing is known is asked before its first look: values by a wrong map are worse
        than values a moment later.
        """
        self._known = dict(devices)
        now = asyncio.get_running_loop().time()
        for name in devices:
            if name not in self._asked_at and self._poller.work(name).device.firmware is None:
                self._plan(name, now)
        for due in self._due.values():
            for gone in [name for name in due if name not in devices]:
                del due[gone]

    async def stop(self) -> None:
        """Ask nobody any more."""
        self._poller.on_turn = None
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _turned(self, health: DeviceHealth) -> None:
        if health.device in self._known and health.state in (DeviceState.OK, DeviceState.FAULTY):
            now = asyncio.get_running_loop().time()
            self._plan(health.device, max(now, self._asked_at.get(health.device, 0.0) + LEAST_S))

    def _plan(self, device: str, when: float) -> None:
        channel = self._known[device]
        due = self._due.setdefault(channel, {})
        due[device] = min(when, due.get(device, when))
        if channel not in self._tasks:
            self._news[channel] = asyncio.Event()
            self._tasks[channel] = asyncio.get_running_loop().create_task(
                self._ask_all(channel), name=f"identification {channel}"
            )
        self._news[channel].set()

    async def _ask_all(self, channel: str) -> None:
        loop = asyncio.get_running_loop()
        due, news = self._due[channel], self._news[channel]
        while True:
            news.clear()
            if not due:
                await news.wait()
                continue
            device = min(due, key=due.__getitem__)
            wait = due[device] - loop.time()
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await news.wait()
                except TimeoutError:
                    pass
                continue
            del due[device]
            said = await self._ask(device)
            if device in self._known:
                jitter = self._env.random.uniform(0.8, 1.2)
                self._plan(device, loop.time() + self._pause(device, said) * jitter)

    def _pause(self, device: str, said: bool) -> float:
        if said and self._poller.health(device).state is DeviceState.OK:
            self._retry_s.pop(device, None)
            return AGAIN_S
        retry = self._retry_s.get(device, FIRST_RETRY_S)
        self._retry_s[device] = min(retry * 2, AGAIN_S)
        return retry

    async def _ask(self, device: str) -> bool:
        """Whether the device said who it is."""
        self._asked_at[device] = asyncio.get_running_loop().time()
        try:
            identity = await identify(self._poller, device)
            if identity is None:
                return False
            await self._learn(device, identity)
        except KeyError:
            return False  # it was taken away meanwhile
        except HeadgateError as error:
            if not isinstance(error, DeviceError):
                log.info("not identified", extra={"device": device, "reason": str(error)})
            return False
        except Exception:
            # A profile or driver that breaks here must not end the questions to the others.
            log.exception("identification broke", extra={"device": device})
            return False
        return True


async def identify(poller: Poller, device: str) -> Identity | None:
    """What a device says of itself, asked between two looks. Raises KeyError, and as the driver does."""
    work = poller.work(device)

    async def ask(line: Channel) -> Identity | None:
        return await work.driver.identify(line, work.suspect)

    return await poller.between(work.device.channel, ask)
