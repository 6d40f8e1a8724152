"""The polling driver: asks what the plan says, checks every answer, and learns what a device dislikes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from headgate.sdk import (
    Block,
    Channel,
    ChannelClosed,
    ChannelTimeout,
    Device,
    DeviceRefused,
    HeadgateError,
    LineSettings,
    PollingDriver,
    ProtocolError,
    Status,
    line_of,
    status_word,
)
from headgate_drivers.modbus.codec import (
    ILLEGAL_ADDRESS,
    AsciiFraming,
    MbapFraming,
    Request,
    RtuFraming,
    answer_data,
)
from headgate_drivers.modbus.plan import Layout, plan_requests
from headgate_drivers.modbus.points import (
    POINT_KEYS,
    Line,
    limits_of,
    line_quirks,
    places_of,
    unit_of,
)
from headgate_drivers.modbus.replay import registers_in

ModbusFraming = MbapFraming | RtuFraming | AsciiFraming

#: Exception code of a device that is busy and wants to be asked again (V1.1b3 section 7).
BUSY = 6
#: A request that fails this often in a row while others are answered is asked more and more seldom.
PATIENCE = 3
#: ... down to one look in this many.
SELDOM = 64


class ModbusPlan:
    """What the driver keeps of one device: its layout, and what was learned by asking."""

    def __init__(self, unit: int, layout: Layout, line: Line = Line()) -> None:  # noqa: B008 - a value
        self.unit = unit
        self.layout = layout
        self.line = line
        #: The line settings of its transactions, worked out for the channel with this URL.
        self.settings: LineSettings | None = None
        self.line_url = ""
        #: How often a request that crossed a hole was refused and cut.
        self.splits = 0
        #: The request that was answered last: asked first, because it shows whether anybody is there.
        self.lead = 0
        #: Requests that go unanswered while others do not: (failures in a row, looks to let pass).
        self.mute: dict[int, tuple[int, int]] = {}

    def split(self, index: int) -> None:
        """Cut a request at its holes, for good."""
        self.layout = self.layout.split(index)
        self.splits += 1
        self.lead = 0
        self.mute = {}

    def neglect(self, index: int) -> None:
        """A request went unanswered while another was not: ask it more seldom if that goes on."""
        failures = self.mute.get(index, (0, 0))[0] + 1
        pause = 0 if failures < PATIENCE else min(SELDOM, 2 ** (failures - PATIENCE + 1)) - 1
        self.mute[index] = failures, pause

    def order(self) -> list[int]:
        """The requests in the order to ask them."""
        rest = range(len(self.layout.requests))
        return [self.lead, *(i for i in rest if i != self.lead)]


#: How frames are cut on each kind of line.
FRAMINGS: dict[str, ModbusFraming] = {
    "modbus+tcp": MbapFraming(),
    "modbus+tls": MbapFraming(),
    "modbus+udp": MbapFraming(),
    "modbus+rtu": RtuFraming(),
    "modbus+rtu+tcp": RtuFraming(),
    "modbus+ascii": AsciiFraming(),
    "modbus+ascii+tcp": AsciiFraming(),
    "modbus+dtu+listen": RtuFraming(),
}


def framing_of(url: str) -> ModbusFraming:
    """How frames are cut on the line of this URL; Modbus TCP's way where the URL does not say."""
    if url.startswith("modbus+dtu+listen:") and "framing=tcp" in url.partition("?")[2].split("&"):
        return FRAMINGS["modbus+tcp"]
    return FRAMINGS.get(url.partition(":")[0], FRAMINGS["modbus+tcp"])


class ModbusDriver(PollingDriver):
    """Modbus over a channel: functions 1 to 4 to read; 5, 6, 15, 16, 22 to write; 43/14 to identify."""

    name: ClassVar[str] = "modbus"
    schemes: ClassVar[tuple[str, ...]] = tuple(FRAMINGS)
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        self._transactions: dict[str, int] = {}
        self._framings: dict[str, ModbusFraming] = {}

    def plan(self, device: Device) -> ModbusPlan:
        """The fewest requests for the device's points.

        Raises:
            ProfileError: points, quirks or an address that Modbus cannot read, every one named.
        """
        limits = limits_of(device)
        layout = plan_requests(device, places_of(device, limits), limits)
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
                data = await self._ask(channel, device, plan, plan.layout.requests[0])
            except DeviceRefused as error:
                if not self._cut(plan, 0, error):
                    raise
            else:
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
                    answers[index] = await self._ask(channel, device, plan, layout.requests[index])
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

    async def _ask(
        self, channel: Channel, device: Device, plan: ModbusPlan, request: Request
    ) -> bytes:
        """The data of one request, asked again as often as the device's `retries` say."""
        left = device.retries
        pdu = request.pdu()
        while True:
            try:
                payload = await self._send(channel, device, plan, pdu)
                return answer_data(payload, plan.unit, request)
            except (ChannelTimeout, ProtocolError):
                if left <= 0:
                    raise
            except DeviceRefused as error:
                if error.detail != BUSY or left <= 0:
                    raise
            left -= 1

    async def _send(self, channel: Channel, device: Device, plan: ModbusPlan, pdu: bytes) -> bytes:
        """One transaction: unit and PDU of the answer."""
        url = channel.url
        framing = self._framings.get(url)
        if framing is None:
            framing = self._framings[url] = framing_of(url)
        if plan.line_url is not url:
            plan.line_url, plan.settings = url, plan.line.over(line_of(url))
        number = self._transactions.get(channel.id, 0) + 1 & 0xFFFF
        self._transactions[channel.id] = number
        frame, key = framing.wrap(number, plan.unit, pdu)
        return await channel.exchange(
            frame, framing, key=key, timeout_s=device.timeout_s, settings=plan.settings
        )

    def _cut(self, plan: ModbusPlan, index: int, error: DeviceRefused) -> bool:
        """Whether a refused request could be cut at its holes, and now is."""
        if error.detail != ILLEGAL_ADDRESS or not plan.layout.crosses_hole[index]:
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
