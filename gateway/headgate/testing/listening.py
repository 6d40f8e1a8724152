"""A profile of a device that talks by itself, on its real driver: what it says, as a vendor sees it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from zlib import crc32

from headgate.columns import readings
from headgate.env import SystemFiles, system_env
from headgate.model import Alarm, Block, Gap, Reading
from headgate.profiles import judge, load, packaged_folder, resolve
from headgate.runtime.ownline import OwnLine
from headgate.runtime.plugins import PointKeys
from headgate.runtime.plugins import load as load_plugins
from headgate.sdk import Device, StreamingDriver, Value

#: Longest wait for the line, and for a reading: a test's machine may be busy.
PATIENCE_S = 20.0


class Talking:
    """One device while it is listened to. Readings are judged by its profile, as in the gateway."""

    def __init__(self, device: Device, line: OwnLine) -> None:
        self.device = device
        self.line = line
        #: Alarms, oldest first.
        self.alarms: list[Alarm] = []
        self._judge = judge(device)
        self._told: dict[str, asyncio.Queue[Reading]] = {}
        self._up = asyncio.Event()
        self._ended: asyncio.Task[None] | None = None
        line.on_report = lambda state, _: self._up.set() if state == "up" else None

    async def reading(self, point: str) -> Reading:
        """The next reading of a point that was not asked for yet, oldest first.

        Raises:
            KeyError: the device has no such point.
            TimeoutError: it is not told within 20 s.
            HeadgateError: the driver gave the line up.
        """
        if point not in {p.point.name for p in self.device.points}:
            raise KeyError(f"{self.device.id} has no point {point!r}")
        waiting = asyncio.ensure_future(self._queue(point).get())
        return cast("Reading", await self._patiently(waiting, f"no reading of {point}"))

    async def value(self, point: str) -> Value:
        """The value of the next `reading`."""
        return (await self.reading(point)).value

    async def begin(self, driver: StreamingDriver) -> None:
        """Return when the driver listens. Raises what it raises instead."""
        self._ended = asyncio.create_task(self._listen(driver), name="listening")
        await self._patiently(asyncio.ensure_future(self._up.wait()), "the line is not up")

    async def end(self) -> None:
        """Listen no more."""
        if self._ended is not None:
            self._ended.cancel()
            await asyncio.gather(self._ended, return_exceptions=True)

    async def _patiently(self, waiting: asyncio.Future[Any], what: str) -> Any:
        assert self._ended is not None
        try:
            done, _ = await asyncio.wait(
                {waiting, self._ended}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
            )
            if waiting in done:
                return waiting.result()
            if done:
                self._ended.result()  # raises what the driver raised
            raise TimeoutError(f"{what} within {PATIENCE_S:.0f} s")
        finally:
            waiting.cancel()

    def _queue(self, point: str) -> asyncio.Queue[Reading]:
        return self._told.setdefault(point, asyncio.Queue())

    def _take(self, item: Block | Alarm | Gap) -> None:
        if isinstance(item, Alarm):
            self.alarms.append(item)
        elif isinstance(item, Block):
            for reading in readings(self._judge(item), self.device.table):
                self._queue(reading.point).put_nowait(reading)

    async def _listen(self, driver: StreamingDriver) -> None:
        told = driver.listen(self.line, [self.device])
        try:
            async for item in told:
                self._take(item)
        finally:
            if isinstance(told, AsyncGenerator):
                await told.aclose()


@asynccontextmanager
async def listening(
    profile: str | Path,
    address: str | int,
    url: str,
    *,
    firmware: str | None = None,
    params: Mapping[str, str | int | float | bool] | None = None,
    interval_s: float = 2.0,
    **options: Any,
) -> AsyncIterator[Talking]:
    """Listen to one device through the driver that its profile names.

        async with listening("acme/tag-7", "A4:C1:38:8D:18:B2", "ble://hci0") as tag:
            await ble_air.say("A4:C1:38:8D:18:B2", company={0x0A0B: bytes.fromhex("010866")})
            assert await tag.value("temperature") == 21.5

    Args:
        profile: the id of a packaged profile, or a folder `<vendor>/<model>` with profile.toml in it.
        options: the channel's, as in its `[channel.options]`; a bind key as `{"secret": "00ff..."}`.

    Raises:
        ConfigError, ProfileError: what is wrong with the profile, the address or the options.
        ValueError: the profile's driver does not talk by itself over a connection of its own.
    """
    registry = load_plugins(development=True)
    keys = PointKeys(registry)
    name, device = _device(Path(profile), address, keys, firmware, params, int(interval_s * 1e6))
    known = registry.drivers.get(name)
    if known is None or not issubclass(known, StreamingDriver) or known.transport != "own":
        raise ValueError(f"driver {name!r} does not talk over a connection of its own")
    driver = known()
    driver.check(device)
    talking = Talking(device, OwnLine(system_env(), "line", url, {"url": url, **options}))
    try:
        await talking.begin(driver)
        yield talking
    finally:
        await talking.end()
        await _bleak_lets_go()


def _device(
    profile: Path,
    address: str | int,
    keys: Mapping[str, Mapping[str, str]],
    firmware: str | None,
    params: Mapping[str, str | int | float | bool] | None,
    interval_us: int,
) -> tuple[str, Device]:
    """(its driver's name, the device)."""
    own = (profile / "profile.toml").is_file()
    folder = profile.absolute().parents[1] if own else packaged_folder()
    library = load(SystemFiles(), [folder], keys)
    found = library.find("/".join(profile.absolute().parts[-2:]) if own else str(profile))
    device = resolve(
        found, device_id="device-1", number=1, channel="line", address=address, firmware=firmware,
        params=params, interval_us=interval_us, sm3=lambda data: crc32(data).to_bytes(32, "big"),
    )  # fmt: skip
    return found.driver, device


async def _bleak_lets_go() -> None:
    """End the D-Bus connection that bleak keeps for the life of a loop: a test's loop ends sooner."""
    manager = sys.modules.get("bleak.backends.bluezdbus.manager")
    kept = manager and manager._global_instances.pop(asyncio.get_running_loop(), None)
    if kept is not None and kept._bus is not None and kept._bus.connected:
        kept._bus.disconnect()
        await asyncio.gather(kept._bus.wait_for_disconnect(), return_exceptions=True)
