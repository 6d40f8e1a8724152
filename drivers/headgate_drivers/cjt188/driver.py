"""Asks a CJ/T 188 meter for its present data, and checks who answered what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from headgate.sdk import (
    Block,
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    Frame,
    LineSettings,
    PollingDriver,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Status,
    Value,
    line_of,
    status_word,
)
from headgate_drivers.cjt188.codec import (
    ADDRESS,
    ADDRESS_TOLD,
    ANSWER,
    EVERYBODY,
    PRESENT,
    READ,
    READ_ADDRESS,
    REFUSED,
    WAKE,
    Telegrams,
    Volumes,
    read,
    volumes,
    write,
)

#: What `item` may name, and the column that carries it.
ITEMS = {
    "total": "f64", "settlement": "f64", "status": "u16", "valve_closed": "bool", "battery_low": "bool",
}  # fmt: skip
#: Meters asked for their address: of any type, cold and hot water, gas.
KINDS = (0xAA, 0x10, 0x11, 0x30)
VALVE, CLOSED, BATTERY = 0x0300, 0x0100, 0x0400


class Asked(NamedTuple):
    """What the driver keeps of one meter."""

    address: str
    request: bytes
    items: dict[str, str]
    #: The quirk `line`: settings of its own on the pair.
    line: str = ""

    def settings(self, url: str) -> LineSettings | None:
        """The line settings of its transactions; None: the channel's own."""
        return line_of(url).with_text(self.line) if self.line else None


class _AnyAddress(Telegrams):
    """Answers to the question for addresses, whoever gives them."""

    def next(self, buffer: bytearray) -> Frame | None:
        while (frame := super().next(buffer)) is not None:
            telegram = read(frame.payload)
            if telegram is not None and telegram.control == ADDRESS_TOLD:
                return Frame(None, frame.payload)
        return None


class Cjt188Driver(PollingDriver):
    """Water and gas meters; 2400 8E1 is what the standard asks of the line."""

    name: ClassVar[str] = "cjt188"
    schemes: ClassVar[tuple[str, ...]] = ("serial", "serial+tcp", "serial+rfc2217")
    point_keys: ClassVar[Mapping[str, str]] = {"item": " | ".join(ITEMS)}

    def plan(self, device: Device) -> Asked:
        """The request, and where each point's value comes from.

        Raises:
            ProfileError: address, points or quirks that cannot be.
        """
        problems: list[Problem] = []

        def wrong(place: str, key: str, value: object, allowed: str) -> None:
            fields: dict[str, str | int | float] = {
                "key": key, "value": str(value), "allowed": allowed,
            }  # fmt: skip
            problems.append(Problem(f'device "{device.id}": {place}', "HG-3400", fields))

        address = str(device.address).zfill(14).upper()
        if len(address) != 14 or set(address) - set("0123456789ABCDEF"):
            wrong("address", "address", device.address, "fourteen digits, as on the meter")
            address = "0" * 14
        kind = device.quirks.get("meter_type", 0x10)
        if not isinstance(kind, int) or not 0 <= kind <= 0xFF:
            wrong("quirks", "meter_type", kind, "0x10 cold water, 0x11 hot, 0x30 gas ...")
            kind = 0x10
        order = device.quirks.get("identifier", "1F90")
        if order not in ("1F90", "901F"):
            wrong("quirks", "identifier", order, "1F90 | 901F, as it stands on the wire")
        items = {}
        for point in device.points:
            item, column = str(point.source.get("item", "-")), point.point.type
            if item not in ITEMS:
                wrong(f'point "{point.point.name}"', "item", item, " | ".join(ITEMS))
            elif ITEMS[item] != column:
                wrong(f'point "{point.point.name}"', "type", column, ITEMS[item])
            items[point.point.name] = item
        line = str(device.quirks.get("line", ""))
        try:
            LineSettings().with_text(line or "9600")
        except ValueError:
            wrong("quirks", "line", line, '"2400 8E1"')
        if problems:
            raise ProfileError(problems)
        identifier = PRESENT.to_bytes(2, "little" if order == "1F90" else "big")
        request = write(int(kind), address, READ, identifier + b"\x00")
        return Asked(address, bytes([WAKE]) * 4 + request, items, line)

    async def read(self, channel: Channel, device: Device, plan: Asked) -> Block:
        """One look.

        Raises:
            ChannelTimeout: nobody answered.
            ProtocolError: what came was damaged, or is not what was asked for.
            DeviceRefused: the meter said no; the detail is its own status.
        """
        left = device.retries
        while True:
            framing = Telegrams()
            try:
                frame = await channel.exchange(
                    plan.request,
                    framing,
                    key=plan.address,
                    timeout_s=device.timeout_s,
                    settings=plan.settings(channel.url),
                )
                return self._block(device, plan, frame, channel.now_us())
            except ChannelTimeout as error:
                if left <= 0 and framing.damaged:
                    raise _damaged(device, channel.id) from error
                if left <= 0:
                    raise
            left -= 1

    async def addresses(self, channel: Channel, device: Device) -> Sequence[str]:
        """The address of the one meter on the pair, asked for with the address that all take for theirs.

        Several meters answer at once, and what comes is nobody's: then there is none.

        Raises:
            ChannelClosed: the line is down.
        """
        line = str(device.quirks.get("line", ""))
        settings = line_of(channel.url).with_text(line) if line else None
        body = ADDRESS.to_bytes(2, "big") + b"\x00"
        for kind in KINDS:
            request = bytes([WAKE]) * 4 + write(kind, EVERYBODY, READ_ADDRESS, body)
            try:
                frame = await channel.exchange(
                    request, _AnyAddress(), timeout_s=device.timeout_s, settings=settings
                )
            except ChannelTimeout:
                continue
            telegram = read(frame)
            if telegram is not None and telegram.address != EVERYBODY:
                return [telegram.address]
        return []

    def _block(self, device: Device, plan: Asked, frame: bytes, at_us: int) -> Block:
        telegram = read(frame)
        if telegram is not None and telegram.control == REFUSED:
            raise DeviceRefused(
                f"device {device.id}: the meter refuses",
                detail=telegram.data[1] if len(telegram.data) > 1 else 0,
                code="HG-3410",
                device=device.id,
            )
        told = None
        if telegram is not None and telegram.control == ANSWER:
            told = volumes(telegram.data)
        if told is None:
            raise _damaged(device, device.channel)
        said: dict[str, tuple[Value, Quality, int]] = {}
        for name, item in plan.items.items():
            value = _value(told, item)
            missing = value is None
            said[name] = (
                value,
                Quality.BAD if missing else Quality.GOOD,
                status_word(Status.SENTINEL) if missing else 0,
            )
        return device.partial(at_us, said)

    def looks_at(
        self, device: Device, frames: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Of a trace's exchanges the last that read this meter and was answered. Pure."""
        plan = self.plan(device)
        kept = []
        for sent, said in frames:
            frame = Telegrams().next(bytearray(said))
            if sent == plan.request and frame is not None and frame.key == plan.address:
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
            frame = Telegrams().next(bytearray(said))
            if frame is not None and frame.key == plan.address:
                return self._block(device, plan, frame.payload, 0)
        return device.failed(0, Status.NO_ANSWER)


def _value(told: Volumes, item: str) -> Value:
    if item == "total":
        return told.total_m3
    if item == "settlement":
        return told.settlement_m3
    if item == "status":
        return told.status
    return told.status & VALVE == CLOSED if item == "valve_closed" else bool(told.status & BATTERY)


def _damaged(device: Device, channel: str) -> ProtocolError:
    return ProtocolError(
        f"device {device.id}: an answer came, damaged or another's",
        code="HG-3402",
        device=device.id,
        channel=channel,
    )
