"""One request and its answer: framed for its line, numbered, checked, asked again."""

from __future__ import annotations

from headgate.sdk import (
    Channel,
    ChannelTimeout,
    Device,
    DeviceRefused,
    ProtocolError,
    line_of,
)
from headgate_drivers.modbus.codec import (
    AsciiFraming,
    MbapFraming,
    Request,
    RtuFraming,
    answer_data,
)
from headgate_drivers.modbus.learned import ModbusPlan

#: Exception code of a device that is busy and wants to be asked again (V1.1b3 section 7).
BUSY = 6

ModbusFraming = MbapFraming | RtuFraming | AsciiFraming

#: How frames are cut on each kind of line.
FRAMINGS: dict[str, ModbusFraming] = {
    "modbus+tcp": MbapFraming(),
    "modbus+tls": MbapFraming(),
    "modbus+udp": MbapFraming(),
    "modbus+rtu": RtuFraming(),
    "modbus+rtu+tcp": RtuFraming(),
    "modbus+rtu+rfc2217": RtuFraming(),
    "modbus+ascii": AsciiFraming(),
    "modbus+ascii+tcp": AsciiFraming(),
    "modbus+ascii+rfc2217": AsciiFraming(),
    "modbus+dtu+listen": RtuFraming(),
}


def framing_of(url: str) -> ModbusFraming:
    """How frames are cut on the line of this URL; Modbus TCP's way where the URL does not say."""
    if url.startswith("modbus+dtu+listen:") and "framing=tcp" in url.partition("?")[2].split("&"):
        return FRAMINGS["modbus+tcp"]
    return FRAMINGS.get(url.partition(":")[0], FRAMINGS["modbus+tcp"])


class Transactions:
    """Asks over any channel; one instance serves them all."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._framings: dict[str, ModbusFraming] = {}

    async def ask(
        self, channel: Channel, device: Device, plan: ModbusPlan, request: Request
    ) -> bytes:
        """The data of one request, asked again as often as the device's `retries` say."""
        left = device.retries
        pdu = request.pdu()
        while True:
            try:
                payload = await self.send(channel, device, plan, pdu)
                return answer_data(payload, plan.unit, request)
            except (ChannelTimeout, ProtocolError):
                if left <= 0:
                    raise
            except DeviceRefused as error:
                if error.detail != BUSY or left <= 0:
                    raise
            left -= 1

    async def send(self, channel: Channel, device: Device, plan: ModbusPlan, pdu: bytes) -> bytes:
        """One transaction: unit and PDU of the answer."""
        url = channel.url
        framing = self._framings.get(url)
        if framing is None:
            framing = self._framings[url] = framing_of(url)
        if plan.line_url is not url:
            plan.line_url, plan.settings = url, plan.line.over(line_of(url))
        number = self._numbers.get(channel.id, 0) + 1 & 0xFFFF
        self._numbers[channel.id] = number
        frame, key = framing.wrap(number, plan.unit, pdu)
        return await channel.exchange(
            frame, framing, key=key, timeout_s=device.timeout_s, settings=plan.settings
        )
