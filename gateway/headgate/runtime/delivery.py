"""Runs the uplinks, each from its own cursor, each by itself: one that fails leaves the others alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.sdk import Outbox, Uplink

log = logging.getLogger(__name__)

#: After an uplink ended with an error it is started again this much later, doubling to the limit.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
#: An uplink that is online with a backlog and settles nothing for this long is stuck.
STUCK_US = 15 * 60 * 1_000_000


class UplinkStatus(msgspec.Struct, frozen=True):
    """One uplink at a glance. `error` is why it last ended, with the catalogue code."""

    id: str
    type: str
    state: str
    starts: int
    error: str | None
    code: str | None


class _Running:
    def __init__(self, uplink: Uplink) -> None:
        self.uplink = uplink
        self.task: asyncio.Task[None] | None = None
        self.starts = 0
        self.error: HeadgateError | None = None
        #: What was last seen of it, and since when it has not changed.
        self.seen: object = None
        self.since_us = 0


class Delivery:
    """Starts, restarts and stops uplinks."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._running: dict[str, _Running] = {}

    def start(self, uplink: Uplink, outbox: Outbox) -> None:
        """Run an uplink until `stop`."""
        running = _Running(uplink)
        self._running[uplink.context.id] = running
        running.task = asyncio.get_running_loop().create_task(
            self._keep(running, outbox), name=f"uplink {uplink.context.id}"
        )

    async def stop(self, uplink_id: str | None = None) -> None:
        """Stop one uplink, or all. What is unsent stays in the spool."""
        ids = list(self._running) if uplink_id is None else [uplink_id]
        tasks = [r.task for i in ids if (r := self._running.pop(i, None)) and r.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _keep(self, running: _Running, outbox: Outbox) -> None:
        pause_s = FIRST_PAUSE_S
        uplink = running.uplink
        while True:
            running.starts += 1
            began = self._env.clock.boottime_us()
            try:
                await uplink.run(outbox)
                log.error("uplink ended by itself", extra={"uplink": uplink.context.id})
            except HeadgateError as error:
                running.error = error
                log.warning(
                    "uplink failed",
                    extra={"uplink": uplink.context.id, "code": error.code, "reason": str(error)},
                )
                if not error.retryable:
                    uplink.state = "failed"
                    return
            except Exception as error:
                # An uplink is a plugin: whatever it raises must not end delivery to the others.
                running.error = HeadgateError(repr(error))
                log.exception("uplink crashed", extra={"uplink": uplink.context.id})
            uplink.state = "waiting"
            if self._env.clock.boottime_us() - began > LONGEST_PAUSE_S * 1e6:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(self._env.random.uniform(pause_s / 2, pause_s))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    @property
    def uplinks(self) -> Mapping[str, Uplink]:
        """Uplinks by id."""
        return {i: r.uplink for i, r in self._running.items()}

    def alive(self, settled: Mapping[str, tuple[int, int]]) -> bool:
        """Whether every uplink makes progress or rightly waits: for the watchdog.

        A platform that is away is no fault of ours; an uplink that says it delivers, has something to
        deliver, and for long neither settles anything nor changes its state, is stuck.

        Args:
            settled: (records settled so far, records waiting) by uplink.
        """
        now = self._env.clock.boottime_us()
        for name, running in self._running.items():
            uplink = running.uplink
            if running.task is not None and running.task.done() and uplink.state != "failed":
                return False
            done, waiting = settled.get(name, (0, 0))
            seen = (done, uplink.state, running.starts)
            if seen != running.seen or not waiting or uplink.state != "online":
                running.seen, running.since_us = seen, now
            elif now - running.since_us > STUCK_US:
                return False
        return True

    def online(self) -> frozenset[str]:
        """Ids of the uplinks that are delivering now."""
        return frozenset(i for i, r in self._running.items() if r.uplink.state == "online")

    def status(self) -> list[UplinkStatus]:
        """Every uplink at a glance."""
        return [
            UplinkStatus(
                i, r.uplink.name, r.uplink.state, r.starts, str(error) if error else None,
                error.code if error else None,
            )
            for i, r in self._running.items()
            # What stands in its way now says more than why it last ended.
            for error in (r.uplink.error or r.error,)
        ]  # fmt: skip
