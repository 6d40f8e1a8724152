"""Pytest fixtures: simulated hardware for a test, gone when it ends.

Load them with `pytest_plugins = ["headgate_simulators.pytest"]` in the top `conftest.py`. The farm
runs in this process, on a thread and a loop of its own, so that blocking clients and the test's own
loop may both talk to it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from headgate_simulators.faults import Fault
from headgate_simulators.truth import Truth, TruthList


class RunningFarm:
    """A farm on its own thread, as a context manager. Arguments are those of `FarmPlan`."""

    def __init__(self, truth: Truth | None = None, **wanted: Any) -> None:
        # Not at the top: the farm brings pymodbus, which a test that uses no farm may not have.
        from headgate_simulators.water_gauge.farm import FarmPlan, WaterGaugeFarm

        self.truth = truth or TruthList()
        self.devices: list[dict[str, Any]] = []
        self._farm = WaterGaugeFarm(FarmPlan(**wanted), self.truth)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="water gauge farm")

    def __enter__(self) -> RunningFarm:
        self._thread.start()
        try:
            self._on_loop(self._farm.start)
        except BaseException:
            self._end()
            raise
        self.devices = self._farm.description
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._on_loop(self._farm.stop)
        finally:
            self._end()

    def device(self, wanted: str) -> dict[str, Any]:
        """One device of `devices` by its id."""
        return next(device for device in self.devices if device["id"] == wanted)

    def fault(self, device: str, kind: str, value: float | None = None, *, on: bool = True) -> None:
        """Switch a fault on or off now; it holds when this returns."""

        async def switch() -> None:
            self._farm.fault(Fault.make(device, kind, value), on=on)
            await self._farm.settle()

        self._on_loop(switch)

    def site(self, interval: str = "1s") -> str:
        """This farm as a site.toml fragment."""
        from headgate_simulators.water_gauge.site import site_fragment

        return site_fragment(self.devices, interval)

    def _on_loop(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=30)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


FarmMaker = Callable[..., RunningFarm]


@pytest.fixture
def water_gauge_farm() -> Iterator[FarmMaker]:
    """Farms that run until the test ends: `farm = water_gauge_farm(count=4, seed=7)`.

    Every port is a free one on loopback; `farm.devices` names them, `farm.truth` is a `TruthList`.
    """
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningFarm(**wanted))
