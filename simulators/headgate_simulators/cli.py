"""`headgate sim`: simulated hardware by hand. Also `python -m headgate_simulators`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from headgate_simulators.faults import Fault
from headgate_simulators.gb26875_panels.command import gb26875
from headgate_simulators.hj212_loggers.command import hj212
from headgate_simulators.manhole_street.command import manhole_street
from headgate_simulators.meters.command import meters
from headgate_simulators.mixed_bus.command import mixed_bus
from headgate_simulators.sl651_stations.command import sl651
from headgate_simulators.szy206_stations.command import szy206
from headgate_simulators.written import storm_of

if TYPE_CHECKING:
    from headgate_simulators.water_gauge.farm import FarmPlan

app = typer.Typer(
    help="Simulated hardware that answers on real sockets.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def _sim() -> None:
    """Simulated hardware that answers on real sockets."""


Bind = Annotated[
    str, typer.Option(help="ADDR[:PORT]; port 0 takes free ports, else they count up from it.")
]
Truth = Annotated[
    Path | None, typer.Option(help="Keep the truth here (JSON lines; the file is made anew).")
]
Model = Annotated[
    list[str] | None,
    typer.Option(help="radar-1, radar-2, probe or rain, taken in turn; may be repeated."),
]
FaultPlan = Annotated[
    list[str] | None,
    typer.Option(help="DEVICE:KIND[=VALUE][@FROM-TO], seconds after the start; may be repeated."),
]
StormPlan = Annotated[
    list[str] | None,
    typer.Option(help="PEAK[:DURATION][@START]: mm/h, world seconds, seconds after the start."),
]
Control = Annotated[
    Path | None, typer.Option(help="Listen for commands on this Unix socket (see: sim fault).")
]
ControlOf = Annotated[Path, typer.Option("--control", help="The running farm's control socket.")]


@app.command("water-gauge")
def water_gauge(
    count: Annotated[int, typer.Option(help="How many gauges.")] = 8,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    bind: Bind = "127.0.0.1:15020",
    truth: Truth = None,
    per_connection: Annotated[int, typer.Option(help="Gauges (units 1, 2, ...) on one port.")] = 1,
    model: Model = None,
    fault: FaultPlan = None,
    storm: StormPlan = None,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Poll interval in that fragment.")] = "1s",
    control: Control = None,
) -> None:
    """A farm of water gauges on Modbus TCP, fed by one river and its rain."""
    try:
        from headgate_simulators.water_gauge.farm import FarmPlan
        from headgate_simulators.water_gauge.instruments import INSTRUMENTS
    except ModuleNotFoundError as missing:
        _needs_extra(missing)
    try:
        host, port = _address(bind)
        plan = FarmPlan(
            count=count,
            seed=seed,
            host=host,
            port=port,
            per_connection=per_connection,
            models=tuple(model or INSTRUMENTS),
            speed=speed,
            storms=[storm_of(written) for written in storm or ()],
            faults=[Fault.parse(written) for written in fault or ()],
        )
        asyncio.run(_run(plan, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        _stop_with(str(wrong))


@app.command("pump-station")
def pump_station(
    count: Annotated[int, typer.Option(help="How many stations, in one server.")] = 1,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    bind: Annotated[
        str | None,
        typer.Option(
            help="ADDR[:PORT], 127.0.0.1:14840, with --modbus :15040; port 0: a free one."
        ),
    ] = None,
    truth: Truth = None,
    storm: StormPlan = None,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    cycle: Annotated[float, typer.Option(help="Seconds between two cycles.")] = 1.0,
    security: Annotated[
        Path | None,
        typer.Option(help="Offer security; certificates, trusted and rejected clients lie here."),
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="NAME:PASSWORD; nobody else is let in.")
    ] = None,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Heartbeat in that fragment.")] = "5s",
    control: Control = None,
    writes: Annotated[
        Path | None,
        typer.Option(help="Append every write that arrives to this file (JSON lines)."),
    ] = None,
    modbus: Annotated[
        bool, typer.Option("--modbus", help="PLCs on Modbus TCP, with a sluice gate, instead.")
    ] = False,
    watchdog: Annotated[
        float | None,
        typer.Option(
            help="Seconds without heartbeat until the automatic has it; 0: never. --modbus: 10."
        ),
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="--modbus: DEVICE:KIND[=VALUE]; may be repeated.")
    ] = None,
) -> None:
    """Sewage pump stations on OPC UA or Modbus: wet wells, pumps, gates, faults, a log of writes."""
    if fault and not modbus:
        _stop_with("--fault is for --modbus; on OPC UA: headgate sim fault, while it runs")
    if modbus and (security or user):
        _stop_with("--security and --user are for OPC UA, not for --modbus")
    if modbus:
        _pump_modbus(
            count, seed, bind or "127.0.0.1:15040", truth, storm, speed, print_site, interval,
            control, writes, 10.0 if watchdog is None else watchdog, fault,
        )  # fmt: skip
        return
    try:
        from headgate_simulators.pump_station.farm import PumpPlan
        from headgate_simulators.pump_station.run import run
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "asyncua":
            raise
        _stop_with("simulated pump stations need asyncua: pip install 'headgate[opcua]'")
    try:
        host, port = _address(bind or "127.0.0.1:14840")
        plan = PumpPlan(
            count=count,
            seed=seed,
            host=host,
            port=port,
            speed=speed,
            cycle_s=cycle,
            storms=tuple(storm_of(written) for written in storm or ()),
            folder=security,
            watchdog_s=watchdog or 0.0,
            users=dict(_user(written) for written in user or ()),
        )
        asyncio.run(run(plan, truth, print_site, interval, control, writes))
    except (ValueError, OSError) as wrong:
        _stop_with(str(wrong))


def _pump_modbus(
    count: int, seed: int, bind: str, truth: Path | None, storm: list[str] | None, speed: float,
    site: Path | None, interval: str, control: Path | None, writes: Path | None, watchdog_s: float,
    fault: list[str] | None,
) -> None:  # fmt: skip
    from headgate_simulators.pump_modbus.command import run
    from headgate_simulators.pump_modbus.farm import PlcPlan
    from headgate_simulators.pump_modbus.faults import Wrong

    try:
        host, port = _address(bind)
        plan = PlcPlan(
            count=count,
            seed=seed,
            host=host,
            port=port,
            speed=speed,
            watchdog_s=watchdog_s,
            storms=tuple(storm_of(written) for written in storm or ()),
            faults=tuple(Wrong.parse(written) for written in fault or ()),
        )
        asyncio.run(run(plan, truth, writes, site, interval, control))
    except (ValueError, OSError) as wrong:
        _stop_with(str(wrong))


def _user(written: str) -> tuple[str, str]:
    """`NAME:PASSWORD`."""
    name, colon, password = written.partition(":")
    if not colon or not name:
        raise ValueError("user: write NAME:PASSWORD")
    return name, password


@app.command("replay")
def replay_(
    trace: Annotated[Path, typer.Argument(metavar="FILE", help="A trace that was saved.")],
    bind: Annotated[str, typer.Option(help="ADDR[:PORT]; port 0 takes a free one.")] = (
        "127.0.0.1:15020"
    ),
) -> None:
    """A recorded device: answers as the one in the trace did."""
    from headgate_simulators.replay import ReplayServer

    async def serve() -> None:
        host, port = _address(bind)
        async with ReplayServer.of_file(trace, host, port) as server:
            typer.echo(f"{server.host}:{server.port}  {server.replay.requests} requests known")
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await stop.wait()

    try:
        asyncio.run(serve())
    except (ValueError, OSError) as wrong:
        _stop_with(f"{trace}: {wrong}")


app.command("manhole-street")(manhole_street)
app.command("mixed-bus")(mixed_bus)
app.command("meters")(meters)
app.command("hj212")(hj212)
app.command("sl651")(sl651)
app.command("gb26875")(gb26875)
app.command("szy206")(szy206)


@app.command("lid")
def lid_(
    cover: Annotated[str, typer.Argument(help="Cover id.")],
    control: ControlOf,
    is_open: Annotated[bool, typer.Option("--open/--close", help="Open or close it.")] = True,
) -> None:
    """Open or close a cover of a running manhole street."""
    _say(control, {"lid": cover, "open": is_open})


@app.command("plug")
def plug_(
    line: Annotated[str, typer.Argument(help="covers, probe, gas or stick.")],
    control: ControlOf,
    inserted: Annotated[bool, typer.Option("--in/--out", help="Put it in or pull it.")] = False,
) -> None:
    """Pull the plug of a line of a running manhole street, or put it back."""
    _say(control, {"plug": line, "in": inserted})


@app.command("ble-street")
def ble_street(
    count: Annotated[int, typer.Option(help="How many tags and sensors.")] = 8,
    seed: Annotated[int, typer.Option(help="Everything that varies follows from it.")] = 1,
    truth: Truth = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="thermometer, cover, tag or environment, in turn; may be repeated."),
    ] = None,
    strangers: Annotated[int, typer.Option(help="Tags that no site file knows.")] = 20,
    every: Annotated[float, typer.Option(help="Seconds between two adverts of one.")] = 1.0,
    speed: Annotated[float, typer.Option(help="World seconds in one real second.")] = 1.0,
    print_site: Annotated[Path | None, typer.Option(help="Write a site.toml fragment.")] = None,
    interval: Annotated[str, typer.Option(help="Heartbeat in that fragment.")] = "5s",
    control: Control = None,
) -> None:
    """Tags and sensors on a private D-Bus. Give the gateway its address: DBUS_SYSTEM_BUS_ADDRESS."""
    try:
        from headgate_simulators.ble_street.run import run
        from headgate_simulators.ble_street.street import StreetPlan
        from headgate_simulators.ble_street.units import KINDS
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "dbus_fast":
            raise
        _stop_with("a simulated BLE street needs dbus-fast: pip install 'headgate[sim]'")
    try:
        plan = StreetPlan(count, seed, tuple(kind or KINDS), strangers, every, speed)
        asyncio.run(run(plan, truth, print_site, interval, control))
    except (ValueError, OSError) as wrong:
        _stop_with(str(wrong))


@app.command("fault")
def fault_(
    device: Annotated[str, typer.Argument(help="Device id, or * for all.")],
    kind: Annotated[str, typer.Argument(help="silent, slow, exception, no-echo, ...")],
    control: ControlOf,
    value: Annotated[
        float | None, typer.Option(help="Seconds for slow, code for exception.")
    ] = None,
    on: Annotated[bool, typer.Option("--on/--off", help="Switch it on or off.")] = True,
) -> None:
    """Switch a fault on or off in a running farm."""
    _say(control, {"fault": kind, "device": device, "on": on, "value": value})


@app.command("selector")
def selector_(
    device: Annotated[str, typer.Argument(help="Device id, or * for all.")],
    control: ControlOf,
    remote: Annotated[bool, typer.Option("--remote/--local", help="Turn it there.")] = False,
) -> None:
    """Turn the local/remote selector of a running pump station."""
    _say(control, {"selector": "remote" if remote else "local", "device": device})


@app.command("storm")
def storm_(
    control: ControlOf,
    peak: Annotated[float, typer.Option(help="mm/h.")] = 80.0,
    duration: Annotated[float, typer.Option(help="World seconds.")] = 1800.0,
) -> None:
    """Let a storm break over a running farm."""
    _say(control, {"storm": {"peak_mm_h": peak, "duration_s": duration}})


def _say(control: Path, command: dict[str, object]) -> None:
    from headgate_simulators.control import say

    try:
        answer = say(control, command)
    except (OSError, ValueError) as wrong:
        _stop_with(f"{control}: no farm answers there ({wrong})")
    if not answer.get("ok"):
        _stop_with(str(answer.get("error")))


async def _run(
    plan: FarmPlan, truth: Path | None, site: Path | None, interval: str, control: Path | None
) -> None:
    from headgate_simulators.by_hand import until_signal
    from headgate_simulators.truth import NoTruth, TruthFile
    from headgate_simulators.water_gauge.farm import WaterGaugeFarm
    from headgate_simulators.water_gauge.site import site_fragment

    async with WaterGaugeFarm(plan, TruthFile(truth) if truth else NoTruth()) as farm:
        fragment = site_fragment(farm.description, interval)
        ready = {"ready": True, "devices": farm.description}
        await until_signal(ready, farm.command, control, {site: fragment} if site else {})


def _address(bind: str) -> tuple[str, int]:
    """`ADDR`, `ADDR:PORT` or `[V6ADDR]:PORT`."""
    host, colon, port = bind.rpartition(":")
    if not colon or bind.endswith("]"):
        host, port = bind, "15020"
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"bind {bind!r}: write ADDR[:PORT], for example 127.0.0.1:15020")
    return host.strip("[]"), int(port)


def _needs_extra(missing: ModuleNotFoundError) -> NoReturn:
    if (missing.name or "").partition(".")[0] != "pymodbus":
        raise missing
    _stop_with("the simulated gauges need pymodbus: pip install 'headgate[sim]'")


def _stop_with(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)
