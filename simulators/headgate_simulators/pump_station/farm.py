"""Pump stations behind one OPC UA server, in one world, with one truth."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from asyncua import ua as library
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from asyncua.crypto import cert_gen
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager

from headgate_simulators.pump_station.station import (
    DI,
    MACHINERY,
    PUMPS,
    VENDOR,
    Station,
)
from headgate_simulators.pump_station.writing import record
from headgate_simulators.truth import Truth, header
from headgate_simulators.world import Storm, World, WorldClock
from headgate_simulators.writes import WriteLog

APPLICATION = "urn:headgate:simulator:pump-station"
#: Its generated types fit no type checker.
ua: Any = library
#: Its own door to cryptography.
crypto: Any = cert_gen
_FLUSH_S = 0.5
_LOST_NODE = "WetWell/Inflow"


class PumpFault(Enum):
    """What can go wrong, by command."""

    SENSOR = "sensor-fault"  # the level has status BadSensorFailure
    TRIP = "pump-trip"  # pump 1 has tripped and cannot be started
    NODE = "node-gone"  # the inflow's node is deleted; who watches it is told so
    NODE_SILENTLY = "node-gone-silently"  # and here nobody is told
    CLOCK = "clock-skew"  # the controller's clock is `value` seconds ahead of the server's
    SESSIONS = "session-limit"  # every new session is refused
    SUBSCRIPTIONS = "subscription-limit"  # every new subscription is refused
    ACKNOWLEDGE = "acknowledge"  # an operator acknowledges every condition that stands


@dataclass(frozen=True, slots=True)
class PumpPlan:
    """What is wanted.

    With `folder` the server has a certificate there (made unless `certificate.der` and `key.pem` are there)
    and offers security; a client is let in when its certificate lies in `folder/trusted`, others are
    put into `folder/rejected`. `users` are names with passwords, and certificates of users lie
    in `folder/users`; with any, nobody is let in without.
    """

    count: int = 1
    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    cycle_s: float = 1.0
    storms: tuple[Storm, ...] = ()
    folder: Path | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    only_secure: bool = False
    shift_namespaces: int = 0
    #: Whether the server keeps what its variables were, as long as it runs.
    history: bool = False
    #: Real seconds without the heartbeat moving until every pump is the automatic's again; 0: never.
    watchdog_s: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1000:
            raise ValueError(f"count {self.count}: 1 to 1000 stations fit in one server")
        if not 0.01 <= self.cycle_s <= 60:
            raise ValueError(f"cycle {self.cycle_s}: 0.01 to 60 seconds")


class PumpStationFarm:
    """A running server: `async with PumpStationFarm(plan, truth) as farm: ...`."""

    def __init__(
        self,
        plan: PumpPlan,
        truth: Truth,
        now: Callable[[], float] = time.time,
        writes: WriteLog | None = None,
    ) -> None:
        self.plan = plan
        self.truth = truth
        self.writes = writes or WriteLog()
        self.port = plan.port
        self.started = now()
        self.held = False
        self._now = now
        self.clock = WorldClock(self.started, plan.speed)
        self.world = World(plan.seed, self.started, [self._from_now(s) for s in plan.storms])
        self.stations = [
            Station(
                f"ps-{i + 1:03d}", f"Pump station {i + 1:03d} {place.name}", 0.3 + i % 4 / 10,
                plan.watchdog_s,
            )
            for i, place in enumerate(self.world.places(plan.count))
        ]  # fmt: skip
        self._server: Server | None = None
        self._cycler: asyncio.Task[None] | None = None
        self._cycled = asyncio.Event()
        self._refuse_sessions = False
        self._refuse_subscriptions = False
        #: The last cycle of each station, when nobody was told it: neither subscribed to nor read.
        self._untold: dict[str, dict[str, Any]] = {}

    async def start(self) -> None:
        """Build the server and listen."""
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        plan = self.plan
        cards = [] if plan.folder is None else sorted(plan.folder.glob("users/*.der"))
        users = _Users(plan.users, cards) if plan.users or cards else None
        server = Server(user_manager=users)
        server.iserver.bind_condition_methods = True
        await server.init()
        await server.set_application_uri(APPLICATION)
        server.set_server_name("Simulated pump stations")
        server.set_endpoint(f"opc.tcp://{plan.host}:{self.port}/")
        await server.set_build_info("urn:example", "Example Controls", "PC-40", "2.4.1", "17",
                                    datetime.now(UTC))  # fmt: skip
        if plan.folder is not None:
            await self._secure(server, plan.folder)
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if users is not None:
            server.set_identity_tokens([ua.UserNameIdentityToken, ua.X509IdentityToken])
        server.set_certificate_validator(self._admit)
        for number in range(plan.shift_namespaces):
            await server.register_namespace(f"urn:example:something-else:{number}")
        for uri in (DI, MACHINERY, PUMPS, VENDOR):
            await server.register_namespace(uri)
        machinery = await server.get_namespace_index(MACHINERY)
        await server.nodes.objects.add_object(
            ua.NodeId("Machines", machinery), ua.QualifiedName("Machines", machinery)
        )
        server.subscribe_server_callback(CallbackType.PostRead, self._on_read)
        for station in self.stations:
            await station.build(server)
        self._limit_subscriptions(server)
        record(server, self.writes, self._now)
        await server.start()
        if plan.history:
            for station in self.stations:
                await station.keep_history(server)
        self._server = server
        assert server.bserver is not None
        self.port = server.bserver.port
        await self._cycle(0.0)
        self.truth.write(header(plan.seed, self.started, self.description))
        self.truth.flush()
        self.writes.start(self.started, self.description)
        self._cycler = asyncio.create_task(self._run(), name="pump station cycle")

    async def stop(self) -> None:
        """Hang up on everybody; the port can be listened on again."""
        if self._cycler is not None:
            self._cycler.cancel()
            await asyncio.gather(self._cycler, return_exceptions=True)
            self._cycler = None
        if self._server is not None:
            # Sessions of clients that hung up without a word would wait for their time to be over.
            server: Any = self._server.iserver
            for session in list(server._external_sessions.values()):
                await session.close_session(True)
            await self._server.stop()
            self._server = None
        self.truth.flush()

    async def __aenter__(self) -> PumpStationFarm:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self.truth.close()
        self.writes.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"opc.tcp://{self.plan.host}:{self.port}/"

    @property
    def description(self) -> list[dict[str, Any]]:
        """Each station as the ready line and the truth header tell it."""
        return [
            {
                "id": station.id,
                "name": station.name,
                "model": "generic/pump-station",
                "url": self.url,
                "address": f"/{station.id}",
            }
            for station in self.stations
        ]

    def site(self, interval: str = "5s") -> str:
        """These stations as a site.toml fragment."""
        security = "best" if self.plan.folder is not None else "None"
        lines = [
            "[[channel]]", 'id = "pumps"', f'url = "{self.url}"',
            f'options = {{ security = "{security}", publishing = "500ms", sampling = "0s" }}', "",
        ]  # fmt: skip
        for station in self.stations:
            lines += [
                "[[device]]", f'id = "{station.id}"', f'name = "{station.name}"',
                'channel = "pumps"', f'address = "/{station.id}"',
                'profile = "generic/pump-station"', f'interval = "{interval}"', "",
            ]  # fmt: skip
        return "\n".join(lines)

    # ------------------------------------------------------------ commands

    async def command(self, said: Mapping[str, Any]) -> None:
        """Do what one control line says; a `ValueError` tells what was wrong with it.

        `{"fault": KIND, "device": ID, "on": true, "value": 3600}`, `{"storm": {...}}`,
        `{"selector": "local", "device": ID}` or `{"hold": true}`: no cycles until released.
        """
        if isinstance(said.get("storm"), Mapping):
            peak, duration = (
                float(said["storm"].get(key, usual))
                for key, usual in (("peak_mm_h", 80.0), ("duration_s", 1800.0))
            )
            self.world.ask_storm(Storm(self.clock.world_time(self._now()), peak, duration))
        elif isinstance(said.get("hold"), bool):
            self.held = said["hold"]
        elif said.get("selector") in ("local", "remote"):
            for station in self._meant(str(said.get("device", "*"))):
                station.remote = said["selector"] == "remote"
        elif isinstance(said.get("fault"), str) and isinstance(said.get("on"), bool):
            device = str(said.get("device", "*"))
            await self.fault(device, said["fault"], on=said["on"], value=said.get("value"))
        else:
            raise ValueError(
                'a command is {"fault": ...}, {"storm": ...}, {"selector": ...} or {"hold": true}'
            )

    async def fault(
        self, device: str, kind: str, *, on: bool = True, value: float | None = None
    ) -> None:
        """Switch a fault of a station (or `*`) on or off, from now on."""
        try:
            known = PumpFault(kind)
        except ValueError:
            names = ", ".join(sorted(each.value for each in PumpFault))
            raise ValueError(f"fault {kind!r} is not known; there are: {names}") from None
        meant = self._meant(device)
        if known is PumpFault.SESSIONS:
            self._refuse_sessions = on
        if known is PumpFault.SUBSCRIPTIONS:
            self._refuse_subscriptions = on
        assert self._server is not None
        for station in meant:
            if known is PumpFault.SENSOR:
                station.sensor_broken = on
            elif known is PumpFault.TRIP:
                station.well.pumps[0].tripped = on
            elif known is PumpFault.CLOCK:
                station.skew_s = float(3600.0 if value is None else value) if on else 0.0
            elif known is PumpFault.ACKNOWLEDGE and on:
                for condition in station.conditions.values():
                    await condition.acknowledge()
            elif known in (PumpFault.NODE, PumpFault.NODE_SILENTLY):
                if on:
                    await station.lose(self._server, _LOST_NODE, told=known is PumpFault.NODE)
                else:
                    await station.regain(self._server, _LOST_NODE)

    def _meant(self, device: str) -> list[Station]:
        meant = [station for station in self.stations if device in (station.id, "*")]
        if not meant:
            raise ValueError(f"device {device!r} is not here")
        return meant

    def _from_now(self, storm: Storm) -> Storm:
        starts_at = self.clock.world_time(self.started + storm.starts_at)
        return Storm(starts_at, storm.peak_mm_h, storm.duration_s)

    # ------------------------------------------------------------ cycles

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due, flushed = loop.time(), loop.time()
        while True:
            due += self.plan.cycle_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not self.held:
                await self._cycle(self.plan.cycle_s * self.plan.speed)
            if loop.time() - flushed > _FLUSH_S:
                self.truth.flush()
                flushed = loop.time()

    async def cycled(self) -> None:
        """Return after the next cycle."""
        self._cycled.clear()
        await self._cycled.wait()

    async def _cycle(self, seconds: float) -> None:
        assert self._server is not None
        now = self._now()
        at = self.clock.world_time(now)
        runoff, water_c = self.world.runoff_mm_h(at), self.world.water_temperature_c(at)
        for station in self.stations:
            if self._subscribed():
                # Who subscribed since the cycle before was told that one: its items begin with it.
                self._told(station.id)
            values = await station.cycle(self._server, now, seconds, runoff, round(water_c, 2))
            self._untold[station.id] = {
                "t": now, "device": station.id, "sample": station.sample, "values": values
            }  # fmt: skip
            if self._subscribed():
                self._told(station.id)
        self._cycled.set()

    def _limit_subscriptions(self, server: Server) -> None:
        service: Any = server.iserver.subscription_service
        create = service.create_subscription

        async def limited(*args: Any, **kwargs: Any) -> Any:
            if self._refuse_subscriptions:
                raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
            return await create(*args, **kwargs)

        service.create_subscription = limited

    def _told(self, station: str) -> None:
        """Somebody was told this cycle: it is the truth from now on. Once is enough."""
        line = self._untold.pop(station, None)
        if line is not None:
            self.truth.write(line)

    def _on_read(self, event: Any, _dispatcher: Any) -> None:
        for asked in event.request_params.NodesToRead:
            name = str(asked.NodeId.Identifier)
            if name.endswith(".Controller.Sample"):
                self._told(name.partition(".")[0])
        if self._server is not None and not self._subscribed():
            for station in self.stations:
                station.heard_by_reading()

    def _subscribed(self) -> bool:
        assert self._server is not None
        subscriptions = self._server.iserver.subscription_service.subscriptions.values()
        return any(each.monitored_item_srv._monitored_items for each in subscriptions)

    # ------------------------------------------------------------ who is let in

    async def _secure(self, server: Server, folder: Path) -> None:
        for name in ("trusted", "rejected"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        key, certificate = folder / "key.pem", folder / "certificate.der"
        usages = crypto.x509.oid.ExtendedKeyUsageOID
        if not certificate.exists():
            await cert_gen.setup_self_signed_certificate(
                key,
                certificate,
                APPLICATION,
                "localhost",
                [usages.SERVER_AUTH, usages.CLIENT_AUTH],
                {"commonName": "Simulated pump stations"},
            )
        policies = [
            getattr(ua.SecurityPolicyType, f"{policy}_{mode}")
            for policy in ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
            for mode in ("SignAndEncrypt", "Sign")
        ]
        plain = [] if self.plan.only_secure else [ua.SecurityPolicyType.NoSecurity]
        server.set_security_policy([*policies, *plain], SimpleRoleRuleset())  # type: ignore[no-untyped-call]
        await server.load_certificate(str(certificate))
        await server.load_private_key(key)

    async def _admit(self, certificate: Any, _description: Any) -> None:
        if self._refuse_sessions:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        if self.plan.folder is None:
            return
        der = certificate.public_bytes(crypto.Encoding.DER)
        name = f"{certificate.serial_number:x}.der"
        trusted = self.plan.folder / "trusted"
        if any(file.read_bytes() == der for file in trusted.iterdir()):
            return
        (self.plan.folder / "rejected" / name).write_bytes(der)
        raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)


class _Users(UserManager):
    """Names and passwords, and certificates of users."""

    def __init__(self, users: Mapping[str, str], cards: Sequence[Path]) -> None:
        self._users = users
        self._cards = {card.read_bytes(): card.stem for card in cards}

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        """The user, when name and password fit, or the certificate is known."""
        del iserver
        if username in self._users and self._users[username] == password:
            return User(role=UserRole.Admin, name=username)
        if username is None and certificate in self._cards:
            return User(role=UserRole.Admin, name=self._cards[certificate])
        return None


__all__ = ["PumpFault", "PumpPlan", "PumpStationFarm"]
