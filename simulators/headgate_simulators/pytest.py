"""Pytest fixtures: simulated hardware for a test, gone when it ends.

Load them with `pytest_plugins = ["headgate_simulators.pytest"]` in the top `conftest.py`. A simulator
runs in this process, on a thread and a loop of its own, so that blocking clients and the test's own
loop may both talk to it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest

# Fixtures, too: pytest finds them here.
from headgate_simulators.ble_street.pytest import ble_air, ble_street  # noqa: F401
from headgate_simulators.truth import Truth, TruthList
from headgate_simulators.writes import WriteLog

if TYPE_CHECKING:
    from headgate_simulators.pump_modbus.plc import Plc


class Simulator(Protocol):
    """What every simulator is: it starts, stops, and obeys."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def command(self, said: Mapping[str, Any]) -> Awaitable[None] | None: ...

    @property
    def description(self) -> list[dict[str, Any]]: ...


class Running:
    """A simulator on its own thread, as a context manager.

    `devices` is its ready line's list; `truth` keeps what its devices said, a `TruthList` when nothing
    else was given.
    """

    def __init__(self, simulator: Simulator, truth: Truth) -> None:
        self.truth = truth
        self.devices: list[dict[str, Any]] = []
        self.simulator = simulator
        self._loop = asyncio.new_event_loop()
        name = type(simulator).__name__
        self._thread = threading.Thread(target=self._loop.run_forever, name=name)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._on_loop(self.simulator.start)
        except BaseException:
            self._end()
            raise
        self.devices = self.simulator.description
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._on_loop(self.simulator.stop)
        finally:
            self._end()

    def device(self, wanted: str) -> dict[str, Any]:
        """One device of `devices` by its id."""
        return next(device for device in self.devices if device["id"] == wanted)

    def command(self, **said: Any) -> None:
        """Give it a command, as its control socket takes it; it holds when this returns."""

        async def obey() -> None:
            doing = self.simulator.command(said)
            if doing is not None:
                await doing

        self._on_loop(obey)

    def fault(self, device: str, kind: str, value: float | None = None, *, on: bool = True) -> None:
        """Switch a fault on or off now; it holds when this returns."""
        self.command(fault=kind, device=device, value=value, on=on)

    def site(self, interval: str = "1s") -> str:
        """These devices as a site.toml fragment."""
        raise NotImplementedError

    def _on_loop(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(timeout=30)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


# The simulators are imported where they are wanted: they bring libraries that a test which uses another
# one may not have.


class RunningFarm(Running):
    """Water gauges. Arguments are those of `FarmPlan`."""

    def __init__(self, truth: Truth | None = None, **wanted: Any) -> None:
        from headgate_simulators.water_gauge.farm import FarmPlan, WaterGaugeFarm

        kept = truth or TruthList()
        super().__init__(WaterGaugeFarm(FarmPlan(**wanted), kept), kept)

    def site(self, interval: str = "1s") -> str:
        from headgate_simulators.water_gauge.site import site_fragment

        return site_fragment(self.devices, interval)


class RunningBus(Running):
    """Lines of a mixed bus, named as on the command line; other arguments are those of `BusPlan`."""

    def __init__(self, *lines: str, truth: Truth | None = None, **wanted: Any) -> None:
        from headgate_simulators.mixed_bus.bus import BusPlan, LineKind, MixedBus

        kept = truth or TruthList()
        kinds = [LineKind(line) for line in lines or ("rtu-tcp",)]
        super().__init__(MixedBus(BusPlan(lines=kinds, **wanted), kept), kept)

    def site(self, interval: str = "1s") -> str:
        from headgate_simulators.mixed_bus.site import site_fragment

        return site_fragment(self.devices, interval)


class RunningStreet(Running):
    """A street of manholes. Arguments are those of `StreetPlan`."""

    def __init__(self, truth: Truth | None = None, **wanted: Any) -> None:
        from headgate_simulators.manhole_street.street import ManholeStreet, StreetPlan

        kept = truth or TruthList()
        super().__init__(ManholeStreet(StreetPlan(**wanted), kept), kept)

    def site(self, interval: str = "10s") -> str:
        from headgate_simulators.manhole_street.site import site_fragment

        return site_fragment(self.devices, interval)

    def lid(self, cover: str, *, open_: bool) -> None:
        """Open or close a cover."""
        self.command(lid=cover, open=open_)


class RunningStations(Running):
    """Pump stations on OPC UA. Arguments are those of `PumpPlan`; `writes` is their log of writes."""

    def __init__(
        self, truth: Truth | None = None, writes: WriteLog | None = None, **wanted: Any
    ) -> None:
        from headgate_simulators.pump_station.farm import PumpPlan, PumpStationFarm

        kept = truth or TruthList()
        self.writes = writes or WriteLog()
        self._farm = PumpStationFarm(PumpPlan(**wanted), kept, writes=self.writes)
        super().__init__(self._farm, kept)

    def site(self, interval: str = "5s") -> str:
        return self._farm.site(interval)


class RunningPlcs(Running):
    """Pump stations with a gate on Modbus TCP. Arguments are those of `PlcPlan`; `writes`: their log."""

    def __init__(
        self, truth: Truth | None = None, writes: WriteLog | None = None, **wanted: Any
    ) -> None:
        from headgate_simulators.pump_modbus.farm import PlcFarm, PlcPlan

        kept = truth or TruthList()
        self.writes = writes or WriteLog()
        self._farm = PlcFarm(PlcPlan(**wanted), kept, self.writes)
        super().__init__(self._farm, kept)

    def site(self, interval: str = "1s") -> str:
        from headgate_simulators.water_gauge.site import site_fragment

        return site_fragment(self.devices, interval)

    def plc(self, device: str = "ps-001") -> Plc:
        """What is really so in a station, whatever it tells."""
        return self._farm.plc(device)


class RunningLoggers(Running):
    """Loggers of HJ 212 that dial. Arguments are those of `LoggerPlan`; `loggers` are their accounts."""

    def __init__(self, truth: Truth | None = None, **wanted: Any) -> None:
        from headgate_simulators.hj212_loggers.farm import LoggerFarm, LoggerPlan

        kept = truth or TruthList()
        farm = LoggerFarm(LoggerPlan(**wanted), kept)
        self.loggers = farm.loggers
        super().__init__(farm, kept)

    def site(self, interval: str = "30s") -> str:
        from headgate_simulators.hj212_loggers.site import site_fragment

        return site_fragment(self.devices, interval)


class RunningHydro(Running):
    """Stations of SL 651 that dial a centre: `count`, `seed`, `speed`, and what `Habits` has."""

    def __init__(
        self,
        truth: Truth | None = None,
        count: int = 1,
        seed: int = 1,
        speed: float = 1.0,
        **habits: Any,
    ) -> None:
        from headgate_simulators.sl651_stations.farm import StationsFarm, StationsPlan
        from headgate_simulators.sl651_stations.station import Habits

        kept = truth or TruthList()
        plan = StationsPlan(count, seed, speed, Habits(**habits))
        self._kind = plan.habits.kind
        self._to = f"{plan.habits.host}:{plan.habits.port}"
        super().__init__(StationsFarm(plan, kept), kept)

    def site(self, interval: str = "5min") -> str:
        from headgate_simulators.sl651_stations.site import CHANNELS, site_fragment

        url = f"sl651+listen://{self._to}"
        return site_fragment(self.devices, url, interval, CHANNELS[self._kind])


class RunningStairs(Running):
    """Meters on one pair. Arguments are those of `StairsPlan`; `clock` is the simulator's wall clock.

    Frames take no time on the wire unless `real_time=True` is said. `writes` is the log of commands.
    """

    def __init__(
        self,
        truth: Truth | None = None,
        clock: Callable[[], float] = time.time,
        **wanted: Any,
    ) -> None:
        from headgate_simulators.meters.stairs import Stairs, StairsPlan

        kept = truth or TruthList()
        stairs = Stairs(StairsPlan(**{"real_time": False, **wanted}), kept, clock)
        self.writes = stairs.writes
        self.meters = stairs.meters
        super().__init__(stairs, kept)

    def site(self, interval: str = "1s", secret: str = "") -> str:
        from headgate_simulators.meters.site import site_fragment

        return site_fragment(self.devices, interval, secret)


class RunningWaters(Running):
    """Water resources stations that dial a centre. Arguments are those of `DialPlan`, `Centre`, `Habits`."""

    def __init__(
        self,
        truth: Truth | None = None,
        port: int = 0,
        answer_s: float = 10.0,
        redial_s: float = 0.2,
        every_s: float = 300.0,
        pictures_s: float = 0.0,
        alive_s: float = 60.0,
        **wanted: Any,
    ) -> None:
        from headgate_simulators.dial_farm import DialPlan
        from headgate_simulators.dialling import Centre
        from headgate_simulators.szy206_stations.farm import StationsFarm, StationsPlan
        from headgate_simulators.szy206_stations.station import Habits

        kept = truth or TruthList()
        centre = Centre(port=port, answer_s=answer_s, redial_s=redial_s)
        dial = DialPlan(**{"centre": centre, **wanted})
        habits = Habits(every_s, pictures_s, alive_s=alive_s, behind_s=dial.behind_s)
        self._centre = centre
        farm = StationsFarm(StationsPlan(dial, habits), kept)
        self.stations = farm.devices
        super().__init__(farm, kept)

    def site(self, interval: str = "5min") -> str:
        from headgate_simulators.dial_farm import site_fragment

        url = f"szy206+listen://{self._centre.address}"
        return site_fragment(self.devices, "waters", url, interval)


class RunningPanels(Running):
    """Fire alarm transmitters that dial a centre. Arguments are those of `DialPlan` and `Habits`."""

    def __init__(
        self,
        truth: Truth | None = None,
        port: int = 0,
        answer_s: float = 10.0,
        redial_s: float = 0.2,
        dial: Mapping[str, Any] | None = None,
        **habits: Any,
    ) -> None:
        from headgate_simulators.dial_farm import DialPlan
        from headgate_simulators.dialling import Centre
        from headgate_simulators.gb26875_panels.farm import PanelsFarm, PanelsPlan
        from headgate_simulators.gb26875_panels.panel import Habits

        kept = truth or TruthList()
        centre = Centre(port=port, answer_s=answer_s, redial_s=redial_s)
        plan = DialPlan(**{"centre": centre, **(dial or {})})
        self._to = f"{centre.host}:{centre.port}"
        farm = PanelsFarm(PanelsPlan(plan, Habits(**habits)), kept)
        self.panels = farm.devices
        super().__init__(farm, kept)

    def site(self, interval: str = "10min") -> str:
        from headgate_simulators.dial_farm import site_fragment

        return site_fragment(self.devices, "fire", f"gb26875+listen://{self._to}", interval)


FarmMaker = Callable[..., RunningFarm]
BusMaker = Callable[..., RunningBus]
StreetMaker = Callable[..., RunningStreet]
StationsMaker = Callable[..., RunningStations]
PlcsMaker = Callable[..., RunningPlcs]
LoggersMaker = Callable[..., RunningLoggers]
HydroMaker = Callable[..., RunningHydro]
PanelsMaker = Callable[..., RunningPanels]
WatersMaker = Callable[..., RunningWaters]
StairsMaker = Callable[..., RunningStairs]


@pytest.fixture
def water_gauge_farm() -> Iterator[FarmMaker]:
    """Farms that run until the test ends: `farm = water_gauge_farm(count=4, seed=7)`.

    Every port is a free one on loopback; `farm.devices` names them, `farm.truth` is a `TruthList`.
    """
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningFarm(**wanted))


@pytest.fixture
def mixed_bus(tmp_path: Path) -> Iterator[BusMaker]:
    """Lines of a mixed bus: `bus = mixed_bus("rtu", "udp", per_line=3)`.

    Pseudo-terminals stand in the test's own folder, ports are free ones on loopback.
    """
    with ExitStack() as running:
        yield lambda *lines, **wanted: running.enter_context(
            RunningBus(*lines, **{"folder": tmp_path, **wanted})
        )


@pytest.fixture
def manhole_street() -> Iterator[StreetMaker]:
    """Streets of manholes: `street = manhole_street(covers=3, heartbeat_s=0.5)`, on free TCP ports."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningStreet(**wanted))


@pytest.fixture
def pump_station() -> Iterator[StationsMaker]:
    """Pump stations behind one OPC UA server: `stations = pump_station(count=2, cycle_s=0.2)`."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningStations(**wanted))


@pytest.fixture
def pump_modbus() -> Iterator[PlcsMaker]:
    """Pump stations with a gate on Modbus TCP: `plcs = pump_modbus(count=2, watchdog_s=2)`.

    `plcs.writes` is the judge: every write that arrived, in order.
    """
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningPlcs(**wanted))


@pytest.fixture
def hj212_loggers() -> Iterator[LoggersMaker]:
    """Loggers that dial: `loggers = hj212_loggers(count=3, port=port, real_s=0.5)`."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningLoggers(**wanted))


@pytest.fixture
def sl651_stations() -> Iterator[HydroMaker]:
    """Hydrological stations that dial: `sl651_stations(count=3, port=port, speed=120, every_s=60)`."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningHydro(**wanted))


@pytest.fixture
def gb26875_panels() -> Iterator[PanelsMaker]:
    """Fire alarm transmitters that dial: `panels = gb26875_panels(port=port, dial={"count": 3})`."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningPanels(**wanted))


@pytest.fixture
def meters() -> Iterator[StairsMaker]:
    """Meters on one pair: `stairs = meters(count=8, echo=True, path=folder / "pair")`.

    Without `path` it is a serial server on a free port; frames take no time unless `real_time=True`.
    """
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningStairs(**wanted))


@pytest.fixture
def szy206_stations() -> Iterator[WatersMaker]:
    """Water resources stations that dial: `szy206_stations(count=3, port=port, speed=120, every_s=60)`."""
    with ExitStack() as running:
        yield lambda **wanted: running.enter_context(RunningWaters(**wanted))
