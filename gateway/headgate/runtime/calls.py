"""What the local API can do: status, read, reload. Each call is one method; its name is the call's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from headgate import columns
from headgate.errors import HeadgateError
from headgate.messages import Language
from headgate.model import Quality, Reading
from headgate.runtime.api import Handler
from headgate.runtime.poller import LookDetail, Poller
from headgate.runtime.roster import nearest
from headgate.sdk import Device

_LANGUAGES: Mapping[str, Language] = {"zh": "zh", "en": "en"}


class Calls:
    """The calls, over what the gateway gives them."""

    def __init__(
        self,
        status: Callable[[Language | None], Mapping[str, Any]],
        poller: Poller,
        devices: Callable[[], Mapping[str, Device]],
        reload: Callable[[], Awaitable[Mapping[str, Any]]],
        read_once: Callable[[str], Awaitable[LookDetail]] | None = None,
    ) -> None:
        self._read_once = read_once or poller.read_once
        self._status = status
        self._poller = poller
        self._devices = devices
        self._reload = reload

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {
            "status": self.status, "read": self.read, "latest": self.latest, "reload": self.reload,
        }  # fmt: skip

    async def status(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """How the gateway is. `lang` says in which language; the box's own without it."""
        yield self._status(_LANGUAGES.get(str(request.get("lang"))))

    async def reload(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Take over what changed in the site file; says what did. A broken file changes nothing."""
        yield await self._reload()

    async def read(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """One look at one device, between its own: frames, readings, why not."""
        device = self._device(request)
        yield look_of(device, await self._read_once(device.id))

    async def latest(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The last good look at each device, with its age; nobody is asked for it."""
        yield [
            {
                "device": device.id,
                "age_s": age_us / 1e6,
                "readings": [
                    _reading(reading) for reading in columns.readings(block, device.table)
                ],
            }
            for device, block, age_us in self._poller.latest()
        ]

    def _device(self, request: Mapping[str, Any]) -> Device:
        devices = self._devices()
        name = str(request.get("device", ""))
        if name not in devices:
            raise HeadgateError(
                f"no device {name}", code="HG-9120", device=name, nearest=nearest(name, devices)
            )
        return devices[name]


def look_of(device: Device, look: LookDetail) -> dict[str, Any]:
    """A look as the local API says it."""
    readings = [] if look.block is None else columns.readings(look.block, device.table)
    return {
        "device": device.id,
        "profile": device.profile,
        "took_ms": look.took_us / 1000,
        "frames": [(frame.direction, _spaced(frame.hex)) for frame in look.frames],
        "readings": [_reading(reading) for reading in readings],
        "error": look.error,
        "code": look.code,
    }


def _reading(reading: Reading) -> dict[str, Any]:
    value, raw = reading.value, reading.raw
    return {
        "point": reading.point,
        "unit": reading.unit,
        "value": value.hex() if isinstance(value, bytes) else value,
        "raw": raw.hex() if isinstance(raw, bytes) else raw,
        "quality": int(Quality(reading.quality)),
        "status": reading.status,
    }


def _spaced(hexed: str) -> str:
    return " ".join(hexed[i : i + 2] for i in range(0, len(hexed), 2))
