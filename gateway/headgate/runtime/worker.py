"""One line and everybody on it: `depth` long-lived lanes look at whoever is due.

Policies, each of them visible upstream as data:

- a look that failed is a block of bad quality;
- a slot that came while the one before still waited is part of a gap `overrun`, and the newer is kept;
- a line that is down costs no time: the first slot of each device is a bad block (`LINE_CLOSED`), so
  that it shows at once, the following are a gap `line-down`;
- a silent device is asked without retries, then left alone (gap `device-quarantined`); those that are
  not quarantined yet but find no budget are a gap `device-silent`;
- a sink without room shuts the gate: slots are a gap `disk-slow` until there is room;
- a look without an end is given up, whatever its driver waits for: a lane is never held for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from headgate.channels import ChannelState, ManagedChannel
from headgate.env import Env
from headgate.errors import DeviceError, HeadgateError
from headgate.model import Event, GapReason, Status
from headgate.runtime.health import ChannelHealth, DeviceState
from headgate.runtime.outcome import Failure, Outcome, failure_of
from headgate.runtime.patience import SilenceBudget, Tuning
from headgate.runtime.polled import Polled, Work
from headgate.runtime.sink import Gate
from headgate.sdk import Channel

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Nothing that works takes this many of these: fifty full requests at 1200 baud are two minutes.
OVERDUE_TICKS = 5
TICK_S = 60.0
#: How long looks in hand may go on when the line is given up, and how long after they were told to end.
STOP_S, LEAVE_S = 20.0, 5.0

#: Bound once: an enum's members are slow to reach, and this is asked for twice a look.
_UP = ChannelState.UP


class ChannelWorker:
    """The lanes of one channel."""

    def __init__(self, env: Env, channel: ManagedChannel, gate: Gate, tuning: Tuning) -> None:
        self.channel = channel
        self.devices: dict[str, Polled] = {}
        self._now_us = env.clock.boottime_us
        self._loop = asyncio.get_running_loop()
        self._gate = gate
        self._ready: deque[Polled] = deque()
        self._between: deque[Callable[[], Awaitable[None]]] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        #: The lanes that ask just now, and how many ticks of the watch each has been at it.
        self._asking: dict[asyncio.Task[None], int] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._alone = False
        self._stopping = False
        self._started = self._loop.time()
        self._budget = SilenceBudget(
            tuning.silent_share * channel.depth, tuning.silent_burst_s, self._started
        )
        self._outcome = Outcome(env, gate, self._budget)
        channel.on_state = self._line_changed
        gate.listeners.append(self._wake_all)
        self._lanes = [
            self._loop.create_task(self._lane(), name=f"lane {channel.id}/{at}")
            for at in range(channel.depth)
        ]

    # ------------------------------------------------------------ slots come

    def came(self, polled: Polled, first: int, last: int, first_us: int, due_us: int) -> None:
        """Slots first..last of a device are due; all but the last are late beyond use."""
        if polled.next_plan is not None:
            self._gate.sink.put_item(polled.next_plan)
            polled.next_plan = None
        if last > first:
            polled.health.overruns += last - first
            before_us = max(first_us, due_us - polled.turn.interval_us)
            polled.ledger.miss(GapReason.OVERRUN, first, last - 1, first_us, before_us)
        if self._gate.shut:
            polled.forget(GapReason.DISK_SLOW)
        if self._turned_away(polled, last, due_us):
            return
        if polled.waiting is not None:
            polled.health.overruns += 1
            polled.miss(GapReason.OVERRUN, *polled.waiting)
            polled.waiting = (last, due_us)
            return
        polled.waiting = (last, due_us)
        if polled.idle.is_set():
            self._ready.append(polled)
            self._wake()

    def _turned_away(self, polled: Polled, slot: int, due_us: int) -> bool:
        """Whether this slot is settled without asking the device."""
        quarantine = polled.quarantine
        if (
            self.channel.state is _UP
            and not quarantine.silent_looks
            and quarantine.until_us is None
            and not self._gate.shut
        ):
            return False  # nearly always
        if self._gate.shut:
            polled.miss(GapReason.DISK_SLOW, slot, due_us)
            return True
        if self.channel.state in (ChannelState.DOWN, ChannelState.CLOSED):
            polled.health.state = DeviceState.LINE_DOWN
            if polled.line_told:
                polled.miss(GapReason.LINE_DOWN, slot, due_us)
            else:
                failure = Failure(Status.LINE_CLOSED, 0, self.channel.reason)
                self._outcome.failed(polled, polled.work, failure, (slot, due_us))
            return True
        if quarantine.until_us is not None and due_us < quarantine.until_us:
            polled.miss(GapReason.DEVICE_QUARANTINED, slot, due_us)
            return True
        if quarantine.silent_looks and not self._budget.allows(self._loop.time()):
            quarantined = quarantine.until_us is not None
            reason = GapReason.DEVICE_QUARANTINED if quarantined else GapReason.DEVICE_SILENT
            polled.miss(reason, slot, due_us)
            return True
        return False

    # ------------------------------------------------------------ lanes

    async def _lane(self) -> None:
        await self.channel.settled()
        task = asyncio.current_task()
        assert task is not None
        while not self._stopping:
            if self._alone or (self._between and self._asking):
                await self._sleep()
            elif self._between:
                # Its bytes must be alone on the line, so that a trace of it is a trace of it.
                action = self._between.popleft()
                self._alone = True
                self._begin(task)
                try:
                    await action()
                finally:
                    self._alone = False
                    del self._asking[task]
                    self._wake_all()
            elif self._gate.shut or not self._ready:
                await self._sleep()
            else:
                polled = self._ready.popleft()
                waiting = polled.take()
                if waiting is None:
                    continue
                if self._turned_away(polled, *waiting):
                    continue
                self._begin(task)
                polled.idle.clear()
                try:
                    await self._look(polled, polled.work, waiting)
                except Exception:
                    # A lane that ended here would leave its devices waiting for ever.
                    log.exception("a look broke", extra={"device": polled.work.device.id})
                finally:
                    del self._asking[task]
                    polled.idle.set()
                    if polled.waiting is not None:
                        self._ready.append(polled)
                    if self._between and not self._asking:
                        self._wake_all()

    async def _sleep(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._idle.append(future)
        await future

    def _wake(self) -> None:
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                return

    def _wake_all(self) -> None:
        for _ in range(len(self._idle)):
            self._wake()

    # ------------------------------------------------------------ what does not end

    def _begin(self, task: asyncio.Task[None]) -> None:
        self._asking[task] = 0
        if self._watch is None:
            self._watch = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        # Ticks, not time: a machine that was busy or asleep has not let the driver work either.
        self._watch = None
        for task in self._asking:
            self._asking[task] += 1
            if self._asking[task] >= OVERDUE_TICKS:
                task.cancel()
        if self._asking:
            self._watch = self._loop.call_later(TICK_S, self._tick)

    def _overdue(self) -> bool:
        """Whether the lane that runs was cancelled because it was overdue, and for nothing else."""
        task = asyncio.current_task()
        if task is None or self._asking.get(task, 0) < OVERDUE_TICKS:
            return False
        return task.uncancel() == 0

    # ------------------------------------------------------------ one look

    async def _look(self, polled: Polled, work: Work, at: tuple[int, int]) -> None:
        suspect = polled.quarantine.silent_looks > 0
        device = work.suspect if suspect else work.device
        clock = self._loop.time
        started = clock()
        try:
            block = work.judge(await work.driver.read(self.channel, device, work.plan))
        except HeadgateError as error:
            self._outcome.bad(polled, work, failure_of(error), at, clock() - started)
        except Exception as error:
            log.exception("driver broke", extra={"device": device.id, "driver": work.driver.name})
            self._outcome.bad(polled, work, failure_of(error), at, clock() - started)
        except asyncio.CancelledError:
            if not self._overdue():
                raise
            stuck = _stuck(device.id, work.driver.name, clock() - started)
            log.error("driver does not come back", extra={"device": device.id})
            self._outcome.bad(polled, work, failure_of(stuck), at, clock() - started)
        else:
            self._outcome.good(polled, work, block, at, clock() - started)

    # ------------------------------------------------------------ between the looks

    async def between(self, action: Callable[[Channel], Awaitable[T]]) -> T:
        """Run `action` alone on the line, before the next look. Its error is the caller's."""
        done: asyncio.Future[T] = self._loop.create_future()

        async def run() -> None:
            if done.done():
                return
            try:
                result = await action(self.channel)
            except Exception as error:  # noqa: BLE001 - the caller gets it, the lane goes on
                if not done.done():
                    done.set_exception(error)
            except asyncio.CancelledError:
                if not self._overdue():
                    raise
                log.error("driver does not come back", extra={"channel": self.channel.id})
                if not done.done():
                    done.set_exception(_stuck(self.channel.id, "-", TICK_S * OVERDUE_TICKS))
            else:
                if not done.done():
                    done.set_result(result)

        self._between.append(run)
        self._wake()
        return await done

    def _line_changed(self, state: ChannelState) -> None:
        if state not in (ChannelState.UP, ChannelState.DOWN):
            return
        kind = "line-up" if state is ChannelState.UP else "line-down"
        fields: dict[str, str | int | float | bool | None] = {
            "channel": self.channel.id,
            "reason": self.channel.reason,
        }
        self._gate.sink.put_item(Event(kind, self._now_us(), fields))
        log.info(kind, extra=fields)

    async def stop(self) -> None:
        """Finish the looks in hand, begin no other, leave no task behind.

        A look that goes on is told to end after `STOP_S`.
        """
        self._stopping = True
        for lane in self._lanes:
            if lane not in self._asking:
                lane.cancel()
        _, left = await asyncio.wait(self._lanes, timeout=STOP_S)
        for lane in left:
            if lane in self._asking:
                self._asking[lane] = OVERDUE_TICKS
            lane.cancel()
        if left:
            _, left = await asyncio.wait(left, timeout=LEAVE_S)
        if left:
            log.error("driver does not let go", extra={"channel": self.channel.id})
        if self._watch is not None:
            self._watch.cancel()
        self.channel.on_state = None
        self._gate.listeners.remove(self._wake_all)
        for polled in self.devices.values():
            polled.forget(GapReason.GATEWAY_OFF)

    def health(self) -> ChannelHealth:
        """The line at this moment."""
        passed_s = (self._loop.time() - self._started) * self.channel.depth
        return ChannelHealth(
            channel=self.channel.id,
            url=self.channel.url,
            state=self.channel.state.value,
            reason=self.channel.reason,
            depth=self.channel.depth,
            devices=len(self.devices),
            waiting=len(self._ready),
            busy=len(self._asking),
            silent_share=self._budget.spent_s / passed_s if passed_s > 0 else 0.0,
            last_progress_us=self._outcome.progress_us,
            counters=msgspec.structs.asdict(self.channel.counters),
        )


def _stuck(where: str, driver: str, seconds: float) -> DeviceError:
    return DeviceError(
        f"{where}: the driver did not come back for {seconds:.0f} s",
        code="HG-3104",
        where=where,
        driver=driver,
        seconds=round(seconds),
    )
