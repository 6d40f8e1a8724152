"""BLE devices from a few lines of profile, and a line that listens to what a fake BlueZ has on the air."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, cast

from headgate.columns import readings
from headgate.env import system_env
from headgate.model import Alarm, Block, Reading
from headgate.profiles import decode, resolve
from headgate.runtime.ownline import OwnLine
from headgate.sdk import Device
from headgate_drivers.ble import BleDriver

HEAD = """
schema = 1
vendor = "test"
model = "unit"
driver = "ble"
source = "a test"
[frame]
{frame}
"""


def device(
    frame: str,
    points: str,
    address: str,
    *,
    number: int = 1,
    interval_s: float | None = 2.0,
    quirks: str = "",
    **params: Any,
) -> Device:
    """A device of a profile with this `[frame]` and these points (TOML)."""
    text = HEAD.format(frame=frame) + quirks
    for name in params:
        text += f'\n[params.{name}]\ntype = "text"\ntitle = "x"\n'
    decoded = decode((text + points).encode(), "profile.toml", {"ble": BleDriver.point_keys})
    assert decoded.profile is not None, decoded.problems
    return resolve(
        decoded.profile, device_id=f"unit-{number}", number=number, channel="air", address=address,
        sm3=lambda _: number.to_bytes(32, "big"), params=params,
        interval_us=None if interval_s is None else int(interval_s * 1_000_000),
    )  # fmt: skip


def point(name: str, kind: str = "float64", **keys: Any) -> str:
    """One `[[point]]`; `field` is its name when nothing says where it stands."""
    if not keys.keys() & {"at", "characteristic", "field"}:
        keys["field"] = name
    told = "".join(f"{k} = {v!r}\n".replace("'", '"') for k, v in keys.items())
    return f'\n[[point]]\nname = "{name}"\ntype = "{kind}"\n{told}'


def values(block: Block, unit: Device) -> dict[str, Reading]:
    """Readings of a block by point."""
    return {reading.point: reading for reading in readings(block, unit.table)}


class Air:
    """Listens with a driver and hands out what it says."""

    def __init__(self, devices: Sequence[Device], url: str = "ble://hci0", **options: Any) -> None:
        self.driver = BleDriver()
        self.devices = {unit.number: unit for unit in devices}
        self.line = OwnLine(system_env(), "air", url, {"url": url, **options})
        self.states: list[str] = []
        self.up = asyncio.Event()
        self.line.on_report = self._report
        self.told: list[Block | Alarm] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def _report(self, state: str, reason: str) -> None:
        self.states.append(state)
        self.up.set()

    async def __aenter__(self) -> Air:
        self.begin()
        await self.is_up()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def begin(self) -> None:
        """Listen, perhaps again."""
        self.up.clear()
        self._task = asyncio.create_task(self._listen())

    async def is_up(self) -> None:
        """Until it says that it is up; raises what it died of."""
        assert self._task is not None
        waiting = asyncio.create_task(self.up.wait())
        try:
            async with asyncio.timeout(20):
                await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
            if self._task.done():
                self._task.result()
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    async def end(self) -> BaseException | None:
        """What the line ended with, once it has."""
        assert self._task is not None
        async with asyncio.timeout(20):
            await asyncio.wait([self._task])
        return self._task.exception()

    async def _listen(self) -> None:
        listening = self.driver.listen(self.line, list(self.devices.values()))
        generator = cast("AsyncGenerator[Block | Alarm, None]", listening)
        try:
            async for told in generator:
                self.told.append(told)
                self._news.set()
        finally:
            await generator.aclose()

    async def until(self, enough: Callable[[list[Block | Alarm]], bool]) -> None:
        """Until what was told is enough."""
        async with asyncio.timeout(20):
            while not enough(self.told):
                self._news.clear()
                await self._news.wait()

    @property
    def blocks(self) -> list[Block]:
        return [told for told in self.told if isinstance(told, Block)]

    def readings(self, number: int = 1) -> list[dict[str, Reading]]:
        """Every block of a device, as readings."""
        return [values(b, self.devices[number]) for b in self.blocks if b.device == number]
