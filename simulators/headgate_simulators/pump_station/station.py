"""One pump station: its well, its nodes in the server, and what its controller tells each cycle.

Two trees over one plant. The vendor's: `<id>/WetWell`, `<id>/Pump1`, `<id>/Pump2`, `<id>/Controller`, in a
namespace of its own. After OPC 40223 v1.0: `Machines/<id>-P1`, with Identification, Operational and
Measurements in the namespaces of DI and Pumps. Source: docs/reference/simulators.md, "Manuals".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua as library
from asyncua.server.server import Server

from headgate_simulators.pump_station.alarms import (
    HIGH_LEVEL_SEVERITY,
    TRIP_SEVERITY,
    Condition,
)
from headgate_simulators.pump_station.hydraulics import ALARM_M, BRIM_M, LIFT_M, WetWell

#: Its generated types fit no type checker.
ua: Any = library

VENDOR = "urn:example:pump-controller"
DI = "http://opcfoundation.org/UA/DI/"
MACHINERY = "http://opcfoundation.org/UA/Machinery/"
PUMPS = "http://opcfoundation.org/UA/Pumps/"

_DOUBLE, _BOOL, _UINT = ua.VariantType.Double, ua.VariantType.Boolean, ua.VariantType.UInt32
_PUMP = {"Running": _BOOL, "Tripped": _BOOL, "Flow": _DOUBLE, "Power": _DOUBLE, "Energy": _DOUBLE,
         "Starts": _UINT, "Hours": _DOUBLE}  # fmt: skip
#: Node of the vendor's tree, its type, and the point that the profile makes of it.
VARIABLES: Mapping[str, tuple[Any, str]] = {
    "WetWell/Level": (_DOUBLE, "level"),
    "WetWell/Inflow": (_DOUBLE, "inflow"),
    "WetWell/Overflow": (_DOUBLE, "overflow_total"),
    "WetWell/HighLevel": (_BOOL, "high_level"),
    **{
        f"Pump{number}/{name}": (kind, f"pump{number}_{name.lower()}")
        for number in (1, 2)
        for name, kind in _PUMP.items()
    },
    "Controller/Sample": (_UINT, "sample"),
}
#: What telecontrol needs, told when it changes: whether a pump is the automatic's, what is wanted of it,
#: whether the selector stands at remote, whether the watchdog missed the heartbeat and gave every pump back.
_TELECONTROL: Mapping[str, bool] = {
    "Pump1/Auto": True, "Pump2/Auto": True, "Pump1/Wanted": False, "Pump2/Wanted": False,
    "Controller/Remote": True, "Controller/FallenBack": False,
}  # fmt: skip


class Station:
    """One station in one server."""

    def __init__(self, id_: str, name: str, runoff_share: float, watchdog_s: float = 0.0) -> None:
        self.id = id_
        self.name = name
        self.well = WetWell(level_m=0.9 + runoff_share)
        #: The selector; at local no method starts or stops anything.
        self.remote = True
        #: Whether the watchdog gave the pumps back, after `watchdog_s` real seconds without heartbeat.
        self.fallen_back = False
        self._watchdog_s = watchdog_s
        self._beat: Any = 0
        self._beat_at = 0.0
        self.sample = 0
        self.sensor_broken = False
        self.skew_s = 0.0
        self._share = runoff_share
        self._nodes: dict[str, Any] = {}
        #: Nodes that were made again and that nobody watches yet, and their points.
        self._unheard: dict[str, str] = {}
        self._standard: dict[str, Any] = {}
        self.conditions: dict[str, Condition] = {}

    # ------------------------------------------------------------ nodes

    async def build(self, server: Server) -> None:
        """Make both trees."""
        space = await server.get_namespace_index(VENDOR)
        base = await server.nodes.objects.add_object(_at(space, self.id), _named(space, self.id))
        folders: dict[str, Any] = {}
        for path, (kind, _) in VARIABLES.items():
            folder, _, name = path.partition("/")
            if folder not in folders:
                node_id = _at(space, f"{self.id}.{folder}")
                folders[folder] = await base.add_object(node_id, _named(space, folder))
            self._nodes[path] = await folders[folder].add_variable(
                _at(space, f"{self.id}.{folder}.{name}"),
                _named(space, name),
                ua.Variant({_BOOL: False, _UINT: 0}.get(kind, 0.0), kind),
            )
        for number in (1, 2):
            folder = f"Pump{number}"
            for word, wish in (("Start", True), ("Stop", False), ("Release", None)):
                method = self._method(server, number - 1, wish)
                node_id = _at(space, f"{self.id}.{folder}.{word}")
                await folders[folder].add_method(node_id, _named(space, word), method, [], [])
        setpoint = await folders["WetWell"].add_variable(
            _at(space, f"{self.id}.WetWell.AlarmLevel"), _named(space, "AlarmLevel"), ALARM_M
        )
        await setpoint.set_writable()
        self._nodes["WetWell/AlarmLevel"] = setpoint
        for path, said in _TELECONTROL.items():
            folder, _, name = path.partition("/")
            self._nodes[path] = await folders[folder].add_variable(
                _at(space, f"{self.id}.{folder}.{name}"), _named(space, name), said
            )
        heartbeat = await folders["Controller"].add_variable(
            _at(space, f"{self.id}.Controller.Heartbeat"),
            _named(space, "Heartbeat"),
            ua.Variant(0, _UINT),
        )
        await heartbeat.set_writable()
        self._nodes["Controller/Heartbeat"] = heartbeat
        await self._build_standard(server)
        await self._build_conditions(server, space, folders)

    async def _build_conditions(self, server: Server, space: int, folders: Any) -> None:
        for folder, name, input_, severity in (
            ("WetWell", "HighLevel", "Level", HIGH_LEVEL_SEVERITY),
            ("Pump1", "PumpTripped", "Tripped", TRIP_SEVERITY),
            ("Pump2", "PumpTripped", "Tripped", TRIP_SEVERITY),
        ):
            node_id = _at(space, f"{self.id}.{folder}.{name}Alarm")
            made = Condition(
                name, folders[folder], self._nodes[f"{folder}/{input_}"], node_id, severity
            )
            await made.build(server)
            self.conditions[f"{folder}/{name}"] = made

    async def keep_history(self, server: Server) -> None:
        """Have the server keep what its variables were."""
        await server.historize_node_data_change(
            list(self._nodes.values()), period=timedelta(days=1), count=100_000
        )

    def _method(self, server: Server, pump: int, wish: bool | None) -> Any:
        async def method(parent: Any) -> Any:
            if (self.well.pumps[pump].tripped and wish) or not self.remote:
                return ua.StatusCode(ua.StatusCodes.BadInvalidState)
            if all(each.commanded is None for each in self.well.pumps):
                self._beat_at = time.monotonic()  # one watchdog time to begin with the heartbeat
            self.well.pumps[pump].commanded = wish
            await self._tell_telecontrol(server, datetime.now(UTC))
            return []

        return method

    async def _build_standard(self, server: Server) -> None:
        di, machinery, pumps = [await server.get_namespace_index(u) for u in (DI, MACHINERY, PUMPS)]
        vendor = await server.get_namespace_index(VENDOR)
        machines = await server.nodes.objects.get_child(_named(machinery, "Machines"))
        for number in (1, 2):
            name = f"{self.id}-P{number}"
            pump = await machines.add_object(_at(vendor, f"40223.{name}"), _named(vendor, name))
            plate = await pump.add_object(
                _at(vendor, f"40223.{name}.Identification"), _named(di, "Identification")
            )
            for word, said in (("Manufacturer", "Example Pumps"), ("SerialNumber", f"EP-{name}")):
                await plate.add_property(
                    _at(vendor, f"40223.{name}.{word}"), _named(di, word), said
                )
            group = await pump.add_object(
                _at(vendor, f"40223.{name}.Operational"), _named(di, "Operational")
            )
            measured = await group.add_object(
                _at(vendor, f"40223.{name}.Measurements"), _named(pumps, "Measurements")
            )
            for word in ("DifferentialPressure", "FluidTemperature", "BearingTemperature",
                         "HydraulicEfficiency"):  # fmt: skip
                self._standard[f"{number}/{word}"] = await measured.add_variable(
                    _at(vendor, f"40223.{name}.{word}"), _named(pumps, word), 0.0
                )

    async def lose(self, server: Server, path: str, *, told: bool) -> None:
        """A node of the vendor's tree is there no more, as after a download to the controller.

        `told`: who watches it hears that the node is not known, and nothing ever after; else nothing at all.
        """
        node = self._nodes.pop(path, None)
        if node is None:
            return
        self._unheard.pop(path, None)
        # The library would tell them by a coroutine that it forgets to await, and mean the whole
        # subscription.
        space: Any = server.iserver.aspace
        callbacks = space[node.nodeid].attributes[ua.AttributeIds.Value].datachange_callbacks
        now = datetime.now(UTC)
        gone = ua.DataValue(None, ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown), now, now)
        for handle, callback in list(callbacks.items()):
            if told:
                await callback(handle, gone)
            space.delete_datachange_callback(handle)
        await server.delete_nodes([node])

    async def regain(self, server: Server, path: str) -> None:
        """It is there again, and has no value until somebody watches it."""
        if path in self._nodes:
            return
        space = await server.get_namespace_index(VENDOR)
        folder, _, name = path.partition("/")
        parent = server.get_node(_at(space, f"{self.id}.{folder}"))
        kind, point = VARIABLES[path]
        node = await parent.add_variable(
            _at(space, f"{self.id}.{folder}.{name}"),
            _named(space, name),
            ua.Variant({_BOOL: False, _UINT: 0}.get(kind, 0.0), kind),
        )
        waiting = ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData)
        now = datetime.now(UTC)
        await server.write_attribute_value(node.nodeid, ua.DataValue(None, waiting, now, now))
        self._nodes[path] = node
        self._unheard[path] = point

    @property
    def unheard(self) -> list[str]:
        """Points whose node was made again and that nobody watches yet."""
        return list(self._unheard.values())

    def heard_by_reading(self) -> None:
        """Who subscribes to nothing has read: what came back has values again."""
        self._unheard.clear()

    def _heard(self, server: Server) -> None:
        """Nodes that came back are unheard until somebody watches them anew."""
        space: Any = server.iserver.aspace
        for path in list(self._unheard):
            value = space[self._nodes[path].nodeid].attributes[ua.AttributeIds.Value]
            if value.datachange_callbacks:
                del self._unheard[path]

    # ------------------------------------------------------------ a cycle

    async def cycle(
        self, server: Server, now: float, seconds: float, runoff_mm_h: float, water_c: float
    ) -> dict[str, float | None]:
        """Let time pass and tell: the values of this cycle by point, None where there is none.

        Args:
            now: wall clock, unix seconds.
            seconds: world seconds since the cycle before.
        """
        self._heard(server)
        await self._watch()
        self.well.step(seconds, runoff_mm_h * self._share * 2)
        self.sample += 1
        values = self._values()
        at = datetime.fromtimestamp(now + self.skew_s, UTC)
        for path, (kind, point) in VARIABLES.items():
            if path not in self._nodes or path in self._unheard:
                continue
            broken = self.sensor_broken and point in ("level", "high_level")
            code = ua.StatusCodes.BadSensorFailure if broken else ua.StatusCodes.Good
            value = ua.DataValue(
                ua.Variant(values[point], kind), ua.StatusCode(code), at, datetime.now(UTC)
            )
            await server.write_attribute_value(self._nodes[path].nodeid, value)
        for number, pump in enumerate(self.well.pumps, 1):
            head_m = LIFT_M - self.well.level_m
            for word, said in (
                ("DifferentialPressure", head_m * 9806.65 if pump.running else 0.0),
                ("FluidTemperature", water_c),
                ("BearingTemperature", water_c + (18.0 if pump.running else 2.0)),
                ("HydraulicEfficiency", 62.0 if pump.running else 0.0),
            ):
                value = ua.DataValue(ua.Variant(said, _DOUBLE), ua.StatusCode(), at)
                await server.write_attribute_value(self._standard[f"{number}/{word}"].nodeid, value)
        await self._tell_telecontrol(server, at)
        for name, stands in (
            ("WetWell/HighLevel", self.well.level_m >= ALARM_M),
            ("Pump1/PumpTripped", self.well.pumps[0].tripped),
            ("Pump2/PumpTripped", self.well.pumps[1].tripped),
        ):
            await self.conditions[name].see(stands)
        gone = {point for path, (_, point) in VARIABLES.items() if path not in self._nodes}
        gone |= {"level", "high_level"} if self.sensor_broken else set()
        gone |= set(self._unheard.values())
        return {point: None if point in gone else float(said) for point, said in values.items()}

    async def _tell_telecontrol(self, server: Server, at: datetime) -> None:
        """With each cycle, and at once when a method was called; what really runs shows later."""
        said = {"Controller/Remote": self.remote, "Controller/FallenBack": self.fallen_back}
        for number, pump in enumerate(self.well.pumps, 1):
            said[f"Pump{number}/Auto"] = pump.commanded is None
            wanted = pump.running if pump.commanded is None else pump.commanded
            said[f"Pump{number}/Wanted"] = wanted
        for path, value in said.items():
            told = ua.DataValue(ua.Variant(value, _BOOL), ua.StatusCode(), at, datetime.now(UTC))
            await server.write_attribute_value(self._nodes[path].nodeid, told)

    async def _watch(self) -> None:
        """The watchdog: who took a pump over keeps the heartbeat moving, or loses it."""
        now, beat = time.monotonic(), await self._nodes["Controller/Heartbeat"].read_value()
        if beat != self._beat:
            self._beat, self._beat_at, self.fallen_back = beat, now, False
        taken = [pump for pump in self.well.pumps if pump.commanded is not None]
        if self._watchdog_s and taken and now - self._beat_at >= self._watchdog_s:
            self.fallen_back = True
            for pump in taken:
                pump.commanded = None

    def _values(self) -> dict[str, Any]:
        well = self.well
        values: dict[str, Any] = {
            "level": round(min(well.level_m, BRIM_M), 4),
            "inflow": round(well.inflow_m3_h, 3),
            "overflow_total": round(well.overflow_m3, 3),
            "high_level": well.level_m >= ALARM_M,
            "sample": self.sample,
        }
        for number, pump in enumerate(well.pumps, 1):
            values |= {
                f"pump{number}_running": pump.running,
                f"pump{number}_tripped": pump.tripped,
                f"pump{number}_flow": round(pump.flow_m3_h, 3),
                f"pump{number}_power": round(pump.power_kw, 3),
                f"pump{number}_energy": round(pump.energy_kwh, 5),
                f"pump{number}_starts": pump.starts,
                f"pump{number}_hours": round(pump.hours, 5),
            }
        return values


def _at(space: int, name: str) -> Any:
    return ua.NodeId(name, space)


def _named(space: int, name: str) -> Any:
    return ua.QualifiedName(name, space)
