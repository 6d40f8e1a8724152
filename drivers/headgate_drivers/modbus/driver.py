"""The polling driver: asks what the plan says, checks every answer, and learns what a device dislikes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import msgspec

from headgate.sdk import (
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Device,
    DevicePoint,
    DeviceRefused,
    HeadgateError,
    Identity,
    PollingDriver,
    ProtocolError,
    Status,
    Value,
    status_word,
)
from headgate_drivers.modbus.codec import DEVICE_FAILURE, ILLEGAL_ADDRESS, ILLEGAL_VALUE
from headgate_drivers.modbus.commissioning import identify, present, write_point
from headgate_drivers.modbus.learned import ModbusPlan
from headgate_drivers.modbus.plan import Layout, Limits, plan_requests
from headgate_drivers.modbus.points import (
    POINT_KEYS,
    limits_of,
    line_quirks,
    places_of,
    unit_of,
)
from headgate_drivers.modbus.replay import looks_at, registers_in
from headgate_drivers.modbus.transactions import FRAMINGS, Transactions


class ModbusDriver(PollingDriver):
    """Modbus over a channel: functions 1 to 4 to read; 5, 6, 15, 16, 22 to write; 43/14 to identify."""

    name: ClassVar[str] = "modbus"
    schemes: ClassVar[tuple[str, ...]] = tuple(FRAMINGS)
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        self._line = Transactions()
        #: What was planned last: devices of one profile share their points, and so their requests.
        self._last: tuple[Sequence[DevicePoint], Limits, Layout] | None = None

    def plan(self, device: Device) -> ModbusPlan:
        """The fewest requests for the device's points.

        Raises:
            ProfileError: points, quirks or an address that Modbus cannot read, every one named.
        """
        limits = limits_of(device)
        last = self._last
        if last is not None and last[0] is device.points and last[1] == limits:
            layout = last[2].for_another(device)
        else:
            layout = plan_requests(device, places_of(device, limits), limits)
            self._last = device.points, limits, layout
        return ModbusPlan(unit_of(device), layout, line_quirks(device))

    async def read(self, channel: Channel, device: Device, plan: ModbusPlan) -> Block:
        """One look: the points of a request that failed are bad, the others are not.

        Raises:
            ChannelTimeout: nobody answered. Two requests in a row unanswered, before any answer,
                end the look, so that a silent unit costs its line two requests at most.
            ChannelClosed, DeviceRefused, ProtocolError: every request failed; the last reason.
        """
        if len(plan.layout.requests) == 1:
            try:
                data = await self._line.ask(channel, device, plan, plan.layout.requests[0])
            except DeviceRefused as error:
                if not self._cut(plan, 0, error):
                    raise
            else:
                plan.proved.add(0)
                return plan.layout.block(channel.now_us(), (data,))
        return await self._read_all(channel, device, plan)

    async def _read_all(self, channel: Channel, device: Device, plan: ModbusPlan) -> Block:
        while True:
            layout = plan.layout
            answers: list[bytes | int] = [status_word(Status.NO_ANSWER)] * len(layout.requests)
            failure: HeadgateError | None = None
            unanswered: list[int] = []
            answered = 0
            again = False
            for index in plan.order():
                failures, pause = plan.mute.get(index, (0, 0))
                if pause:
                    plan.mute[index] = failures, pause - 1
                    continue
                try:
                    answers[index] = await self._line.ask(
                        channel, device, plan, layout.requests[index]
                    )
                except DeviceRefused as error:
                    if self._cut(plan, index, error):
                        again = True
                        break
                    answers[index] = status_word(Status.REFUSED, error.detail)
                    failure = error
                except ProtocolError as error:
                    answers[index] = status_word(Status.MALFORMED)
                    failure = error
                except ChannelTimeout as error:
                    failure = error
                    unanswered.append(index)
                    if not answered and len(unanswered) == 2:
                        raise
                except ChannelClosed as error:
                    if not answered:
                        raise
                    closed = status_word(Status.LINE_CLOSED)
                    answers = [closed if isinstance(a, int) else a for a in answers]
                    failure = error
                    break
                else:
                    answered += 1
                    plan.proved.add(index)
                    plan.mute.pop(index, None)
                    if answered == 1:
                        plan.lead = index
            if again:
                # What was answered is asked again, once in the life of this plan: a block is one
                # look, and the new layout numbers its requests anew.
                continue
            if not answered:
                if failure is None:  # all that is asked in this look lets it pass
                    plan.mute = {}
                    continue
                raise failure
            for index in unanswered:
                plan.neglect(index)
            return layout.block(channel.now_us(), answers)

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        return await write_point(self._line, channel, device, self.plan(device), point, raw)

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        return await identify(self._line, channel, device, self.plan(device))

    async def present(self, channel: Channel, device: Device) -> bool:
        """Whether anybody answers at the device's address, with whatever answer. Raises ChannelClosed."""
        table = msgspec.structs.replace(device.table, points=())
        bare = msgspec.structs.replace(device, points=(), table=table)
        return await present(self._line, channel, bare, self.plan(bare))

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's (request, answer) frames those that are one look at this device. Pure."""
        return looks_at(unit_of(device), frames)

    def line_bytes(self, device: Device, plan: ModbusPlan) -> Sequence[tuple[int, int]]:
        """As RTU frames: unit, PDU and CRC."""
        return [(8, 5 + request.data_size()) for request in plan.layout.requests]

    def _cut(self, plan: ModbusPlan, index: int, error: DeviceRefused) -> bool:
        """Whether a refused request could be cut at its holes, and now is."""
        if not plan.layout.crosses_hole[index]:
            return False
        if error.detail != ILLEGAL_ADDRESS and (
            error.detail not in (ILLEGAL_VALUE, DEVICE_FAILURE) or index in plan.proved
        ):
            # Codes 3 and 4 are what many a server says of a hole, and what a device says of a bad day:
            # what was answered before has no hole.
            return False
        plan.split(index)
        return True

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded frames would have brought; its time is 0.

        Args:
            frames: (request, answer) as on the wire, Modbus TCP or RTU. They need not be cut as our
                plan would cut them; a register that none of them brings makes its points bad.

        Raises:
            ProfileError: points that Modbus cannot read.
            ProtocolError: frames that are none, or that do not belong together.
        """
        layout = self.plan(device).layout
        recorded = registers_in(frames)
        return layout.block(0, [recorded.answer(request) for request in layout.requests])
