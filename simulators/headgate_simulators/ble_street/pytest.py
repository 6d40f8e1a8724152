"""Pytest fixtures for BLE: an adapter whose air belongs to the test, and a whole street.

They come with `pytest_plugins = ["headgate_simulators.pytest"]`. Needs `dbus-daemon` and `headgate[ble]`;
no adapter, no bluetoothd, no root. Both run on a thread and a loop of their own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from headgate_simulators.truth import TruthList

T = TypeVar("T")
#: How long an advert is repeated until somebody hears it.
PATIENCE_S = 10.0
_START_S = 30.0


class _Thread:
    """A loop on a thread."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)

    def begin(self) -> None:
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T], within_s: float = _START_S) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)

    def call(self, work: Callable[[], T]) -> T:
        async def there() -> T:
            return work()

        return self.do(there())

    async def await_(self, work: Coroutine[Any, Any, T]) -> T:
        """From another loop, which goes on meanwhile: who is waited for may live there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BleAir:
    """`hci0` of a BlueZ of the test's own, as a context manager; `address` is its bus."""

    def __init__(self) -> None:
        self._thread = _Thread("ble air")
        self._inside = ExitStack()
        self.address = ""

    def __enter__(self) -> BleAir:
        # Not at the top: a test that has no BLE may not have its library.
        from headgate_simulators.ble_street.bluez import FakeBluez
        from headgate_simulators.ble_street.bus import PrivateBus

        self._thread.begin()
        self._inside.callback(self._thread.end)
        try:
            bus = PrivateBus()
            self._thread.do(bus.__aenter__())
            self._inside.callback(lambda: self._thread.do(bus.__aexit__()))
            self.address = bus.address
            self._bluez = FakeBluez(bus.address)
            self._thread.do(self._bluez.start())
            self._inside.callback(lambda: self._thread.do(self._bluez.die()))
        except BaseException:
            self._inside.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._inside.close()

    async def say(
        self,
        address: str,
        *,
        service: Mapping[str, bytes] | None = None,
        company: Mapping[int, bytes] | None = None,
        rssi: int = -60,
        name: str = "",
    ) -> bool:
        """One advertisement: service data by UUID (4 or 36 characters), maker's data by company number.

        It is on the air until somebody was told. False: nobody was within ten seconds, because nobody
        scans, the adapter is off, or a passive scan does not ask for it.
        """
        from headgate_simulators.ble_street.bluez import Said

        said = Said(address.upper(), rssi, name, dict(service or {}), dict(company or {}))

        async def until_told() -> bool:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not self._bluez.advertise(said):  # noqa: ASYNC110 - D-Bus brings no event here
                        await asyncio.sleep(0.005)
            except TimeoutError:
                return False
            return True

        return await self._thread.await_(until_told())

    def holds(self, address: str, uuid: str, value: bytes) -> None:
        """What a characteristic of a sensor holds when it is read. Before the sensor is connected to."""
        key = (address.upper(), uuid.lower())
        self._thread.call(lambda: self._bluez.values.__setitem__(key, lambda: value))

    async def notify(self, address: str, uuid: str, value: bytes) -> bool:
        """News of a characteristic. False: nobody asked for them within ten seconds."""

        async def until_told() -> bool:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not self._bluez.notify(address.upper(), uuid.lower(), value):  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
            except TimeoutError:
                return False
            return True

        return await self._thread.await_(until_told())

    def leave(self, address: str) -> None:
        """A sensor ends its connection."""
        self._thread.call(lambda: self._bluez.leave(address.upper()))

    def power(self, *, on: bool) -> None:
        """The adapter's switch."""
        self._thread.call(lambda: self._bluez.power(on=on))

    def bluetoothd(self, *, on: bool) -> None:
        """The daemon dies without a word, or is started again."""
        self._thread.do(self._bluez.start() if on else self._bluez.die())


class RunningBleStreet:
    """A street on its own thread, as a context manager. Arguments are those of `StreetPlan`."""

    def __init__(self, **wanted: Any) -> None:
        from headgate_simulators.ble_street.street import BleStreet, StreetPlan

        self.truth = TruthList()
        self.devices: list[dict[str, Any]] = []
        self._street = BleStreet(StreetPlan(**wanted), self.truth)
        self._thread = _Thread("ble street")

    def __enter__(self) -> RunningBleStreet:
        self._thread.begin()
        try:
            self._thread.do(self._street.__aenter__())
        except BaseException:
            self._thread.end()
            raise
        self.devices = self._street.description
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._thread.do(self._street.__aexit__())
        finally:
            self._thread.end()

    @property
    def address(self) -> str:
        """Of its bus."""
        return self._street.address

    def fault(self, kind: str, device: str = "*", *, on: bool = True) -> None:
        """Switch a fault on or off now: `silent`, `open`; `power-off`, `bluetoothd-gone`, `stuck`."""
        self._thread.call(lambda: self._street.fault(kind, device, on=on))

    def site(self, interval: str = "5s") -> str:
        """This street as a site.toml fragment."""
        from headgate_simulators.ble_street.site import site_fragment

        return site_fragment(self.devices, interval)


@pytest.fixture
def ble_air(monkeypatch: pytest.MonkeyPatch) -> Iterator[BleAir]:
    """`hci0`, and what advertises around it: `ble_air.say(address, service={"fcd2": b"..."})`."""
    with BleAir() as air:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", air.address)
        yield air


@pytest.fixture
def ble_street(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RunningBleStreet]]:
    """A street until the test ends: `street = ble_street(count=4, kinds=("cover",))`, on `hci0`."""
    with ExitStack() as running:

        def begin(**wanted: Any) -> RunningBleStreet:
            street = running.enter_context(RunningBleStreet(**wanted))
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", street.address)
            return street

        yield begin
