"""The plant as commands see it: a fresh look at a device, and one write. Over the field's own lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Protocol

from headgate import columns
from headgate.errors import DeviceError, DeviceRefused
from headgate.model import Quality, Reading, Value
from headgate.runtime.field import Field
from headgate.sdk import Channel, Device

#: A station is asked for its values at most this often: it may be on a mobile network, and pays for each.
FRESH_S = 2.0


class Plant(Protocol):
    """Devices that can be looked at and written to."""

    def device(self, name: str) -> Device | None:
        """One device; None where there is none."""

    async def look(self, device: str) -> Mapping[str, Reading]:
        """What is good of a device now, by point.

        Raises:
            HeadgateError: nobody can say anything of it now.
        """

    async def write(self, device: str, point: str, raw: Value) -> Value:
        """Write one raw value, once, and return what reads back.

        Raises:
            DeviceRefused: the device said no, so it did nothing.
            HeadgateError: it may or may not have happened.
            TimeoutError: the same; a write that has not begun yet never will.
        """


class FieldPlant:
    """The devices of a gateway, between their own looks.

    A station that dials in is asked what it measures now; what its answer does not carry counts as it
    was told last, while the station is not silent.
    """

    def __init__(self, field: Field, timeout_s: float) -> None:
        self._field = field
        self.timeout_s = timeout_s
        #: When each station was asked last, by the loop's clock, and what it said. Forgotten when it is
        #: written to.
        self._asked: dict[str, tuple[float, list[Reading]]] = {}

    def device(self, name: str) -> Device | None:
        return self._field.devices.get(name)

    async def look(self, device: str) -> Mapping[str, Reading]:
        known = self.device(device)
        if known is None:
            raise DeviceError(f"no device {device}", code="HG-9120", device=device, nearest="")
        told = self._field.told(device)
        port = self._field.ports().get(known.channel)
        if told is not None and (port is None or port.question(known) is None):
            return _good(told.values())
        now = asyncio.get_running_loop().time()
        asked_at, answer = self._asked.get(device, (-FRESH_S, []))
        recent = now - asked_at < FRESH_S
        if told is not None and recent and port is not None and port.on_call(known):
            # An answer that only repeats an earlier one is no news to the field, and not in `told`.
            return _good([*answer, *told.values()])
        async with asyncio.timeout(self.timeout_s):
            seen = await self._field.read_once(device)
        if seen.block is None or seen.block.columns is None:
            raise DeviceError(seen.error or f"{device} says nothing", code=seen.code or "HG-3100")
        answer = list(columns.readings(seen.block, known.table))
        self._asked[device] = now, answer
        return _good([*(told or {}).values(), *answer])

    async def write(self, device: str, point: str, raw: Value) -> Value:
        posting = self._field.postings.get(device)
        if posting is None:
            raise DeviceRefused(f"no device {device}", code="HG-9120", device=device, nearest="")

        begun = False

        async def put(channel: Channel) -> Value:
            nonlocal begun
            begun = True
            self._asked.pop(device, None)
            return await posting.driver.write(channel, posting.device, point, raw)

        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._field.at(device, put)
        except TimeoutError as error:
            if begun:
                raise
            # Something longer has the line: a history, a discovery. It never will be sent.
            raise DeviceRefused(
                f"{device}: nobody came to it within {self.timeout_s:g} s", code="HG-3695",
                device=device, seconds=f"{self.timeout_s:g}",
            ) from error  # fmt: skip
        except (NotImplementedError, KeyError):
            driver = posting.driver.name
            raise DeviceRefused(f"{driver} cannot write", code="HG-9145", driver=driver) from None


def _good(readings: Iterable[Reading]) -> dict[str, Reading]:
    """What is good of the newest word about each point."""
    newest: dict[str, Reading] = {}
    for each in readings:
        if each.point not in newest or each.taken_at_us >= newest[each.point].taken_at_us:
            newest[each.point] = each
    return {point: each for point, each in newest.items() if each.quality is Quality.GOOD}
