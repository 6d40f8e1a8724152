"""Ports that stations dial: what a listening driver delivers is on disk before it is acknowledged.

A stream like any other (judging, stages, silence, health), with three things more: a delivery is committed
at once and its sender told only then; one that is on disk already is not stored again; two sources of one
station raise an alarm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from headgate.channels.listening import ListeningPort
from headgate.env import Env
from headgate.errors import ChannelError
from headgate.model import Alarm, Block, Gap
from headgate.runtime.health import ChannelHealth
from headgate.runtime.origins import Origins
from headgate.runtime.sink import Sink
from headgate.runtime.streams import Stream, Talker
from headgate.sdk import Channel, Delivery, Device, ListeningDriver

#: After this long with one source only, the alarm is over.
CALM_S = 600.0
TWO_SOURCES = "two-sources"


class Attendance(Stream):
    """One listening port with its stations, kept going until `stop`."""

    def __init__(
        self,
        env: Env,
        sink: Sink,
        port: ListeningPort,
        driver: ListeningDriver,
        talkers: Sequence[Talker],
        origins: Origins,
    ) -> None:
        self.port = port
        self._listening = driver
        self._origins = origins
        self._calm: dict[int, asyncio.TimerHandle] = {}
        self.resends = 0
        port.on_two_sources = self._two_sources
        super().__init__(env, sink, port, driver, talkers)

    async def _told(
        self, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm | Gap | Delivery]:
        try:
            await self.port.open()
        except OSError as error:
            raise ChannelError(
                str(error), code="HG-3604", port=self.port.url, reason=str(error.strerror)
            ) from error
        self._enter("up", "")
        try:
            async for delivery in self._listening.serve(self.port, devices):
                yield delivery
        finally:
            await self.port.close()

    async def _deliver(self, delivery: Delivery) -> None:
        """Take a delivery over, and tell its sender when it is on disk."""
        fresh = self._origins.named(delivery.blocks, delivery.origin)
        if len(fresh) < len(delivery.blocks):
            self.resends += 1
        for block, _ in fresh:
            await self._take(block)

        async def durable() -> None:
            # Also for what is known already: the record that holds it may still be under way.
            await self._sink.durable()
            self._origins.kept(digest for _, digest in fresh)

        delivery.bind(durable)

    def _two_sources(self, device: Device, before: Channel, now: Channel) -> None:
        if (timer := self._calm.pop(device.number, None)) is not None:
            timer.cancel()
        else:
            self._alarm(device, active=True, text=f"{before.peer} {now.peer}")
        self._calm[device.number] = self._loop.call_later(CALM_S, self._calmed, device)

    def _calmed(self, device: Device) -> None:
        del self._calm[device.number]
        self._alarm(device, active=False, text="")

    def _alarm(self, device: Device, *, active: bool, text: str) -> None:
        now_us = self._env.clock.boottime_us()
        self._sink.put_item(Alarm(device.number, "", TWO_SOURCES, 700, active, now_us, None, text))

    async def stop(self) -> None:
        """End the port; what is open is told."""
        for timer in self._calm.values():
            timer.cancel()
        await super().stop()

    def health(self) -> ChannelHealth:
        """The port at this moment; `tally` counts calls and who was refused, and why."""
        tally = {**self.port.tally, "on-line": len(self.port.calls), "resends": self.resends}
        return msgspec.structs.replace(super().health(), tally=tally)

    def on_line(self) -> dict[str, str]:
        """Stations that are on a call, and from where."""
        return {call.name: call.peer for call in self.port.calls if call.name}
