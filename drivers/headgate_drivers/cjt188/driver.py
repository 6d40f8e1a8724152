"""Asks a CJ/T 188 meter for its present data, and checks who answered what.

The identifier goes out in the order the meter wants; one that is silent is asked in the other order the
next time, and what it answers to is remembered for as long as the gateway runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from headgate.sdk import (
    Block,
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    LineSettings,
    PollingDriver,
    ProtocolError,
    Quality,
    Status,
    Value,
    line_of,
    readings,
    status_word,
)
from headgate_drivers.cjt188 import frames
from headgate_drivers.cjt188.answers import Answers, answer_of
from headgate_drivers.cjt188.codec import Codec
from headgate_drivers.cjt188.frames import ANY_TYPE, EVERYBODY, encode
from headgate_drivers.cjt188.messages import (
    ADDRESS,
    CLOSE,
    OPEN,
    PRESENT,
    READ,
    TOLD_ADDRESS,
    VALVE,
    WRITE,
    wire_of,
)
from headgate_drivers.cjt188.points import ITEMS, ORDERS, WRITABLE, Asked, clock_us, value_of

#: Meters asked for their address: of any type, cold and hot water, heat, gas.
KINDS = (ANY_TYPE, 0x10, 0x11, 0x20, 0x30)
#: Bytes that a meter answers to a read, at most: a heat meter's.
ANSWER = frames.LEAST + 46


class Cjt188Driver(PollingDriver):
    """Water, heat and gas meters; 2400 8E1 is what the standard asks of the line."""

    name: ClassVar[str] = "cjt188"
    #: Also on a line of Modbus RTU: its units and the meters share the pair.
    schemes: ClassVar[tuple[str, ...]] = (
        "serial", "serial+tcp", "serial+rfc2217", "modbus+rtu", "modbus+rtu+tcp", "modbus+rtu+rfc2217",
    )  # fmt: skip
    point_keys: ClassVar[Mapping[str, str]] = {"item": " | ".join(ITEMS)}

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def plan(self, device: Device) -> Asked:
        """What is asked of this meter, and where each point's value comes from.

        Raises:
            ProfileError: address, points or quirks that cannot be.
        """
        return Asked(device)

    def request(self, plan: Asked) -> bytes:
        """The request for present data, as it goes out next."""
        return _request(plan, READ, PRESENT)

    def line_bytes(self, device: Device, plan: Asked) -> Sequence[tuple[int, int]]:
        return [(len(self.request(plan)), ANSWER)]

    async def read(self, channel: Channel, device: Device, plan: Asked) -> Block:
        """One look.

        Raises:
            ChannelTimeout: nobody answered.
            ProtocolError: what came was damaged, or is not what was asked for.
            DeviceRefused: the meter said no; the detail is its own status.
        """
        left = device.retries
        while True:
            framing = Answers(READ)
            try:
                said = await self._ask(channel, device, plan, self.request(plan), framing)
            except ChannelTimeout as error:
                plan.other_order()
                if left <= 0 and framing.damaged:
                    raise _damaged(device, channel.id) from error
                if left <= 0:
                    raise
                left -= 1
                continue
            block = self._block(device, plan, said, channel.now_us())
            plan.proved = True
            return block

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Open or close the valve; True closes it. What reads back is the state in the meter's answer.

        A valve takes seconds to turn: let the control's feedback point look at `valve_closed` again.

        Raises:
            DeviceRefused: a point that is no valve, or the meter said no.
            ChannelTimeout, ProtocolError: nobody knows whether it turns.
        """
        plan = self.plan(device)
        item = plan.items.get(point, "")
        if item not in WRITABLE or not isinstance(raw, bool):
            raise DeviceRefused(
                f"device {device.id}: {point} = {raw!r} cannot be written",
                code="HG-3641", device=device.id, point=point, value=str(raw),
            )  # fmt: skip
        # Which order it wants must be known before, so that nothing is sent twice.
        await self.read(channel, device, plan)
        body = bytes([CLOSE if raw else OPEN])
        request = _request(plan, WRITE, VALVE, body)
        said = await self._ask(channel, device, plan, request, Answers(WRITE))
        answer = answer_of(said)
        if answer is not None and answer.refused:
            raise _refused(device, answer)
        told = answer.message if answer is not None else None
        if told is not None and told.status is not None:
            return value_of(told, item)
        try:
            block = await self.read(channel, device, plan)
        except DeviceRefused as error:
            # It took the order, and only will not be read now: that is no refusal of it.
            raise _damaged(device, channel.id) from error
        return _bool_in(block, device, point)

    async def addresses(self, channel: Channel, device: Device) -> Sequence[str]:
        """The address of the one meter on the pair, asked for with the address that all take for theirs.

        Several meters answer at once, and what comes is nobody's: then there is none.

        Raises:
            ChannelClosed: the line is down.
        """
        line = str(device.quirks.get("line", ""))
        settings = line_of(channel.url).with_text(line) if line else None
        body = wire_of(TOLD_ADDRESS, "901F") + b"\x00"
        for kind in KINDS:
            request = encode(frames.Frame(kind, EVERYBODY, ADDRESS, body, 4))
            try:
                said = await channel.exchange(
                    request,
                    Answers(ADDRESS, anybody=True),
                    timeout_s=device.timeout_s,
                    settings=settings,
                )
            except ChannelTimeout:
                continue
            answer = answer_of(said)
            if answer is not None and not answer.refused and answer.address != EVERYBODY:
                return [answer.address]
        return []

    async def present(self, channel: Channel, device: Device) -> bool:
        """Whether the meter at this address answers, with whatever. Raises ChannelClosed."""
        bare = device.bare()
        plan = self.plan(bare)
        for _ in ORDERS:
            try:
                await self._ask(channel, bare, plan, self.request(plan), Answers(READ))
            except ChannelTimeout:
                plan.other_order()
            else:
                return True
        return False

    async def _ask(
        self, channel: Channel, device: Device, plan: Asked, request: bytes, framing: Answers
    ) -> bytes:
        settings = _settings(channel.url, plan)
        return await channel.exchange(
            request, framing, key=plan.address, timeout_s=device.timeout_s, settings=settings
        )

    def _block(self, device: Device, plan: Asked, payload: bytes, at_us: int) -> Block:
        answer = answer_of(payload)
        if answer is not None and answer.refused:
            raise _refused(device, answer)
        message = answer.message if answer is not None else None
        if message is None or message.identifier != PRESENT or not message.fields:
            raise _damaged(device, device.channel)
        said: dict[str, tuple[Value, Quality, int]] = {}
        for name, item in plan.items.items():
            value = value_of(message, item)
            missing = value is None
            said[name] = (
                value,
                Quality.BAD if missing else Quality.GOOD,
                status_word(Status.SENTINEL) if missing else 0,
            )
        return device.partial(at_us, said, device_time_us=clock_us(message, plan))

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's exchanges the last that read this meter and was answered. Pure."""
        plan = self.plan(device)
        requests = set()
        for order in ORDERS:
            plan.order = order
            requests.add(self.request(plan))
        kept = []
        for sent, said in frames:
            frame = Answers(READ).next(bytearray(said))
            if sent in requests and frame is not None and frame.key == plan.address:
                kept = [(sent, said)]
        return kept

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that a recorded answer would have brought; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
            ProtocolError, DeviceRefused: as `read`.
        """
        plan = self.plan(device)
        for _, said in frames:
            frame = Answers(READ).next(bytearray(said))
            if frame is not None and frame.key == plan.address:
                return self._block(device, plan, frame.payload, 0)
        return device.failed(0, Status.NO_ANSWER)


def _request(plan: Asked, control: int, identifier: str, body: bytes = b"") -> bytes:
    data = wire_of(identifier, plan.order) + b"\x00" + body
    return encode(frames.Frame(plan.type, plan.address, control, data, plan.wake))


def _settings(url: str, plan: Asked) -> LineSettings | None:
    return line_of(url).with_text(plan.line) if plan.line else None


def _bool_in(block: Block, device: Device, point: str) -> Value:
    return next((r.value for r in readings(block, device.table) if r.point == point), None)


def _refused(device: Device, answer: frames.Frame) -> DeviceRefused:
    status = answer.message.status if answer.message is not None else None
    return DeviceRefused(
        f"device {device.id}: the meter refuses",
        detail=(status or 0) >> 8,
        code="HG-3410",
        device=device.id,
    )


def _damaged(device: Device, channel: str) -> ProtocolError:
    return ProtocolError(
        f"device {device.id}: an answer came, damaged or another's",
        code="HG-3402",
        device=device.id,
        channel=channel,
    )
