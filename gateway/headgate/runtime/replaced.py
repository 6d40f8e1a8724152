"""A unit that was replaced by another: written down for good before the technician leaves."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.model import Event, Item
from headgate.runtime.api import Handler
from headgate.runtime.roster import nearest
from headgate.sdk import Device

log = logging.getLogger(__name__)

_LONGEST = 200


class Replaced:
    """The call `note-replaced`. The device keeps its id and number; what was learned of the old unit goes."""

    def __init__(
        self,
        env: Env,
        devices: Callable[[], Mapping[str, Device]],
        put_item: Callable[[Item], object],
        durable: Callable[[], Awaitable[None]],
        forget: Callable[[str], Awaitable[None]],
    ) -> None:
        self._env = env
        self._devices = devices
        self._put_item = put_item
        self._durable = durable
        self._forget = forget

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {"note-replaced": self.note}

    async def note(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Write an event `replaced`, and answer when it is durable.

        Raises:
            HeadgateError: no such device, or no serial number.
            SpoolError: it could not be made durable.
        """
        devices = self._devices()
        name, serial = str(request.get("device", "")), str(request.get("serial") or "")
        if name not in devices:
            near = nearest(name, devices)
            raise HeadgateError("no device", code="HG-9120", device=name, nearest=near)
        if not 0 < len(serial) <= _LONGEST:
            raise HeadgateError("no serial", code="HG-9113", reason="serial: 1 to 200 characters")
        device = devices[name]
        before = device.labels.get("serial")
        fields: dict[str, str | int | float | bool | None] = {
            "device": name, "number": device.number, "serial": serial, "before": before,
        }  # fmt: skip
        for key in ("firmware", "profile"):
            if request.get(key):
                fields[key] = str(request[key])[:_LONGEST]
        # The new unit says itself what it runs; until then the site file does.
        await self._forget(name)
        self._put_item(Event("replaced", self._env.clock.boottime_us(), fields))
        await self._durable()
        log.warning("device replaced", extra=fields)
        yield fields
