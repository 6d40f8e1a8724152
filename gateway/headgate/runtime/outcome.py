"""What becomes of a look: a block or a gap, and what is learned of the device."""

from __future__ import annotations

import logging

import msgspec

from headgate.env import Env
from headgate.errors import (
    ChannelClosed,
    ChannelTimeout,
    DeviceRefused,
    HeadgateError,
    ProtocolError,
)
from headgate.model import Alarm, Block, Event, Gap, GapReason, Status
from headgate.runtime.health import DeviceState
from headgate.runtime.patience import SilenceBudget
from headgate.runtime.polled import Polled, Work
from headgate.runtime.sink import Gate

log = logging.getLogger(__name__)


class Failure(msgspec.Struct, frozen=True):
    """Why a look brought nothing."""

    status: Status
    detail: int
    text: str


def failure_of(error: Exception) -> Failure:
    """The status that stands for an error of a driver or channel."""
    if isinstance(error, ChannelTimeout):
        return Failure(Status.NO_ANSWER, 0, str(error))
    if isinstance(error, ChannelClosed):
        return Failure(Status.LINE_CLOSED, 0, str(error))
    if isinstance(error, DeviceRefused):
        return Failure(Status.REFUSED, error.detail, str(error))
    if isinstance(error, ProtocolError):
        return Failure(Status.MALFORMED, 0, str(error))
    name = "" if isinstance(error, HeadgateError) else f"{type(error).__name__}: "
    return Failure(Status.DEVICE_FAULT, 0, f"{name}{error}")


class Outcome:
    """Keeps the account of looks for the devices of one line."""

    def __init__(self, env: Env, gate: Gate, budget: SilenceBudget) -> None:
        self._now_us = env.clock.boottime_us
        self._random = env.random
        self._gate = gate
        self._budget = budget
        self.progress_us: int | None = None

    def good(
        self, polled: Polled, work: Work, block: Block, at: tuple[int, int], took_s: float
    ) -> None:
        """A look brought a block. `at` is its slot and when that was due."""
        health = polled.health
        health.looks += 1
        health.good += 1
        health.last_good_us = health.last_look_us = self.progress_us = self._now_us()
        health.latency_us = int(took_s * 1_000_000)
        polled.latest = block
        if health.state is not DeviceState.OK:
            self._back(polled)
        polled.ledger.spoke(at[1])
        self._hand_over(polled, work, block, at)

    def bad(
        self, polled: Polled, work: Work, failure: Failure, at: tuple[int, int], took_s: float
    ) -> None:
        """A look brought nothing: a block that says so, or, in quarantine, one more slot of its gap."""
        health = polled.health
        health.looks += 1
        health.last_look_us = self.progress_us = self._now_us()
        health.latency_us = int(took_s * 1_000_000)
        # What is guarded is the line's time: a refusal that comes late costs as much as silence.
        late = took_s >= work.device.timeout_s / 2
        if failure.status is Status.NO_ANSWER or (
            late and failure.status is not Status.LINE_CLOSED
        ):
            self._budget.spend(took_s)
            if self._silent(polled, failure):
                health.failed += 1
                health.failures += 1
                health.text = failure.text
                polled.miss(GapReason.DEVICE_QUARANTINED, *at)
                return
        self.failed(polled, work, failure, at)

    def failed(self, polled: Polled, work: Work, failure: Failure, at: tuple[int, int]) -> None:
        """A slot without values becomes a block of bad quality."""
        health = polled.health
        health.failed += 1
        health.failures += 1
        health.text = failure.text
        if failure.status is Status.LINE_CLOSED:
            polled.line_told = True
            health.state = DeviceState.LINE_DOWN
        elif polled.quarantine.until_us is not None:
            health.state = DeviceState.QUARANTINED
        elif failure.status is Status.NO_ANSWER:
            health.state = DeviceState.SILENT
        else:
            before, health.state = health.state, DeviceState.FAULTY
            if before is not DeviceState.FAULTY and polled.turned is not None:
                polled.turned(health)
        block = work.device.failed(self._now_us(), failure.status, failure.detail)
        self._hand_over(polled, work, block, at)

    def _silent(self, polled: Polled, failure: Failure) -> bool:
        """Count a silent look; whether the device was in quarantine before it."""
        quarantine, health = polled.quarantine, polled.health
        before = quarantine.until_us is not None
        now_us = self._now_us()
        quarantine.silent(now_us, self._random.uniform(0.8, 1.2))
        health.next_probe_us = quarantine.until_us
        if quarantine.until_us is not None and not before:
            health.quarantines += 1
            fields: dict[str, str | int | float | bool | None] = {
                "device": health.device,
                "looks": quarantine.silent_looks,
                "reason": failure.text,
            }
            self._gate.sink.put_item(Event("device-quarantined", now_us, fields))
            log.warning("device quarantined", extra=fields)
        return before

    def _back(self, polled: Polled) -> None:
        health = polled.health
        if polled.quarantine.until_us is not None:
            event = Event("device-back", self._now_us(), {"device": health.device})
            self._gate.sink.put_item(event)
            log.info("device back", extra={"device": health.device})
        health.state = DeviceState.OK
        health.failures = 0
        health.text = ""
        health.next_probe_us = None
        polled.quarantine.spoke()
        polled.line_told = False
        if polled.turned is not None:
            polled.turned(health)

    def _hand_over(self, polled: Polled, work: Work, block: Block, at: tuple[int, int]) -> None:
        slot, due_us = at
        block = msgspec.structs.replace(block, slot=slot)
        sink = self._gate.sink
        if work.step is None:
            if not sink.put(block, work.device):
                self._gate.close()
                polled.miss(GapReason.DISK_SLOW, slot, due_us)
            return
        taken = False
        try:
            outs = tuple(work.step(block))
        except Exception:
            log.exception("stage broke", extra={"device": work.device.id})
            outs = (block,)
        for out in outs:
            if isinstance(out, Alarm):
                sink.put_item(out)
            elif sink.put(out, work.device):
                taken = True
            else:
                self._gate.close()
                if not taken:
                    polled.miss(GapReason.DISK_SLOW, slot, due_us)
                    return
                # The look itself is kept; what a stage made beside it is not.
                sink.put_item(
                    Gap(
                        device=work.device.number,
                        reason=GapReason.DISK_SLOW,
                        first_us=due_us,
                        last_us=due_us,
                        looks=0,
                        readings=None,
                        text="blocks that stages added to a look",
                    )
                )
                return
