"""The one place where everything is put together: a site file becomes a running gateway.

    gateway = Gateway(system_env(), Path("/etc/headgate"))
    await gateway.run(stop)         # until the event is set; leaves nothing behind

Order matters and is read off here: lock and state first, then keys, then the writer, then those who
put things in (pollers), then those who take things out (uplinks). Stopping goes the other way round,
so that what was read is committed before the thread ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import headgate
from headgate import config
from headgate.audit import Audit, AuditLog, Entry, Head
from headgate.config import Known, Site
from headgate.crypto.provider import LIBCRYPTO_VARIABLE, CryptoProvider, default_provider
from headgate.env import Env
from headgate.envelope.payload import decode_table, encode_table
from headgate.errors import ConfigError, HeadgateError, Problem, SecurityError, SpoolError
from headgate.link.own import hold as hold_link_pair
from headgate.messages import Language, say
from headgate.model import Alarm, ClockFix, Event
from headgate.model import Identity as DeviceIdentity
from headgate.runtime.api import LocalApi
from headgate.runtime.audited import (
    AUDIT_ALARMS,
    ClockWatch,
    KeySigner,
    audited,
    changed_tables,
    plugin_entries,
)
from headgate.runtime.batch import Committed
from headgate.runtime.callers import CallerWatch
from headgate.runtime.calls import Calls
from headgate.runtime.commands.journal import Journal
from headgate.runtime.commands.room import Commands, journal_path
from headgate.runtime.commands.witness import runtime_folder
from headgate.runtime.daybook import SAVE_EVERY_US, Daybook
from headgate.runtime.decommission import Decommission, refuse_if_decommissioned
from headgate.runtime.delivery import Delivery
from headgate.runtime.disk import Disk
from headgate.runtime.ending import last_sign, note_sign, off_gap, undated_gap
from headgate.runtime.enrolment.calls import EnrolmentCalls
from headgate.runtime.enrolment.desk import Desk
from headgate.runtime.enrolment.watch import Watch
from headgate.runtime.errands import Errands
from headgate.runtime.field import Field
from headgate.runtime.home import Home
from headgate.runtime.identification import Identification
from headgate.runtime.identity import Identity, load_identity
from headgate.runtime.insight import Insight
from headgate.runtime.installed import Installed, look
from headgate.runtime.keyring import Keyring
from headgate.runtime.learned import Learned, Learnings
from headgate.runtime.linkpair import link_pair
from headgate.runtime.losses import Losses
from headgate.runtime.metrics import MetricsServer
from headgate.runtime.notify import Notifier
from headgate.runtime.openings import Openings
from headgate.runtime.origins import Origins
from headgate.runtime.outlets import Outlets, context_of
from headgate.runtime.overview import Overview
from headgate.runtime.packaging import remember
from headgate.runtime.peers import PeerWatch
from headgate.runtime.press import KnownTable, Sealing, SealingPress
from headgate.runtime.replaced import Replaced
from headgate.runtime.rights import open_to_others
from headgate.runtime.roster import Drivers, Roster, call_up, post
from headgate.runtime.rotation import Rotation
from headgate.runtime.tallies import TallyFile, zone_of
from headgate.runtime.timekeeper import Timekeeper
from headgate.runtime.walltrust import WallTrust
from headgate.runtime.writer import Writer
from headgate.sdk import Device, Stage
from headgate.spool import Spool, State

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 1.0
#: How long a stop waits for connected uplinks to deliver what was just committed.
GOODBYE_S = 2.0


class _InTheLog:
    """Entries of the audit log, where none is kept."""

    async def note(self, entry: Entry) -> None:
        log.info("audit: %s", entry.kind, extra={"who": entry.who, "what": entry.what})


class Gateway:
    """A gateway for one site. `run` once.

    `on_site` is told of the site file as soon as it is read, before anything is worth logging.
    """

    def __init__(
        self,
        env: Env,
        site: Path,
        profile_folders: Sequence[Path] = (),
        on_site: Callable[[Site], None] = lambda site: None,
    ) -> None:
        self._env = env
        self._on_site = on_site
        self._site_path = site
        self._look = look(env, profile_folders)
        #: Set once the road is open.
        self.ready = asyncio.Event()

    # ------------------------------------------------------------ life

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises:
            ConfigError, SecurityError, SpoolLocked: nothing was started.
        """
        self._stopping = stop
        self._open()
        tasks: list[asyncio.Task[None]] = []
        gateway = self.site.gateway.id
        try:
            # Asked for each connection: what enrolment renews is shown from the next one on.
            hold_link_pair(gateway, lambda: link_pair(self._identity))
            await self._start()
            tasks.append(asyncio.create_task(self._keep_house(), name="housekeeping"))
            self.ready.set()
            self._notifier.ready(f"{len(self._field.devices)} devices")
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop()
            hold_link_pair(gateway, None)

    def _open(self) -> None:
        """Everything that can refuse to start, before anything runs."""
        env = self._env
        self.site, self.installed = self._load()
        self._on_site(self.site)
        self._provider: CryptoProvider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
        folder = self.site.state_folder
        memory = self.site.state.memory.bytes
        self._home = Home(env, folder, without_disk=memory > 0)
        self._spool = Spool(
            env,
            folder / "spool",
            segment_bytes=self.site.state.segment.bytes,
            quota_bytes=self.site.state.quota.bytes,
            ballast_bytes=self.site.state.ballast.bytes,
            held_bytes=memory,
        )
        self._state = State(env, folder / "state.db")
        self._state.give_room = self._spool.give_room
        refuse_if_decommissioned(env, folder)
        # Before anything else: two gateways on one folder must not both touch the state.
        self._home.enter()
        try:
            self._state.open()
            recovered = self._spool.open(self._state.noted())
            # A memory that was lost or is old knows less than the records that lie here.
            known = {each.epoch: each.last_n for each in self._state.epochs()}
            self._state.number_above(self._spool.highest_device(known))
            self._audit = self._open_audit()
            self._identity = self._own_identity()
            self._journal = Journal(env, journal_path(self.site), runtime_folder(env))
            self._journal.open()
        except BaseException:
            self._spool.close()
            self._state.release()
            self._home.leave()
            raise
        boot = env.clock.boot_id()
        self._last_sign = last_sign(self._spool, self._state, boot)
        self._openings = Openings(self._state)
        self._trust = WallTrust(self._state)
        self._undated = undated_gap(self._last_sign, boot, self._trust)
        self._losses = Losses(self._spool)
        self._saving: Callable[[], None] | None = None
        self._save_us = env.clock.boottime_us() + SAVE_EVERY_US
        self.epoch = env.random.token(8)
        previous, last_n = self._state.begin_epoch(self.epoch, (recovered.epoch, recovered.last_n))
        sealing = Sealing(self.epoch, boot, previous, last_n)
        self._keyring = Keyring(env, self._provider, self._identity, self._state, self.epoch)
        ring = self._spool if memory else None
        self._press = SealingPress(env, self._provider, self._keyring, self._losses, sealing, ring)
        self._started_us = env.clock.boottime_us()
        log.info(
            "spool open",
            extra={
                "records": recovered.records, "losses": len(recovered.losses),
                "epoch": self.epoch.hex(),
            },
        )  # fmt: skip

    def _open_audit(self) -> AuditLog:
        """The log of security events: open before anything that it should tell of."""
        site, state = self.site, self._state
        return AuditLog(
            self._env,
            site.state_folder / "audit",
            site.gateway.id,
            headgate.__version__,
            self._provider.sm3,
            quota_bytes=site.audit.quota.bytes,
            remembered=state.counter("audit-seq"),
            remember=lambda seq: state.count("audit-seq", seq),
        )

    def _own_identity(self) -> Identity:
        try:
            identity = load_identity(self._env, self.site, self._provider)
        except HeadgateError as error:
            fields = {key: str(value) for key, value in error.fields.items()}
            self._tell("start-refused", str(error), "refused", error.code, **fields)
            self._audit.close()
            raise
        self._audit.signer = KeySigner(self._provider, identity.signing_key)
        return identity

    def _tell(
        self, kind: str, what: str, result: str = "ok", code: str = "",
        **fields: str | int | float | bool | None,
    ) -> None:  # fmt: skip
        """Into the audit log, without waiting."""
        self._audit.tell(
            Entry(kind=kind, who="gateway", what=what, result=result, code=code, fields=fields)
        )

    def _load(self) -> tuple[Site, Installed]:
        """The site file, checked against what the plugins it allows can do."""
        installed: list[Installed] = []

        def known(site: Site) -> Known:
            installed.append(self._look(site))
            return installed[0].known()

        site = config.load(self._env, self._site_path, known)
        return site, installed[0]

    async def _start(self) -> None:
        env, site = self._env, self.site
        self._writer = Writer(
            env, self._press, max_loss_s=site.state.max_loss.s, on_commit=self._committed
        )
        self._clock_watch = ClockWatch(self._audit.tell)
        self._peer_watch = PeerWatch(self._audit.tell)
        self._timekeeper = Timekeeper(env, self._fixed, self._trust)
        self._audit.wall = self._timekeeper.label
        zone = zone_of(site.gateway.timezone)
        self._daybook = Daybook(env, self._writer, zone, self._timekeeper.trusted_us)
        self._tallies = TallyFile(env.files, site.state_folder / "tallies")
        if (saved := self._tallies.load()) is not None:
            self._daybook.resume(saved, self._last_sign)
        self._disk = Disk(env, site, self._state, self._writer.put_item)
        self._delivery = Delivery(env)
        insight = Insight(self._provider, self._keyring, self._state, self._timekeeper)
        audit: Audit = self._audit
        self._rotation = Rotation(
            env, self._keyring, self._writer.aside, audit, self._writer.put_item
        )
        self._origins: Origins | None = None
        self._field = Field(env, self._daybook, self._learn, self._origins_of)
        self._commands = Commands(
            env, site, self._provider, audit, self._field, self._journal, lambda: self._identity,
            self._timekeeper.trusted_us, self._writer.put_item, self._writer.durable,
        )  # fmt: skip
        self._outlets = Outlets(
            env, self._spool, self._state, self.epoch, self._identity, insight,
            self._daybook.put_item, self._send_table_again, self._rotation.asked, self._commands,
        )  # fmt: skip
        self._drivers = Drivers(self.installed.registry)
        self._changing = asyncio.Lock()
        self._learnings = Learnings(env.files, site.state_folder / "identities.json")
        self._learnings.load()
        self._identification = Identification(env, self._field.poller, self._identified)
        calls = Calls(
            self.status, self._field.poller, lambda: self._field.devices, self.reload,
            self._field.read_once,
        )  # fmt: skip
        errands = Errands(
            env, self._field, self._writer.put_item, lambda: self.installed.library,
            lambda: self._drivers, self._commands.local,
        )  # fmt: skip
        replaced = Replaced(
            env, lambda: self._field.devices, self._writer.put_item, self._writer.durable,
            self._forget,
        )  # fmt: skip
        self._desk = Desk(
            env, lambda: self.site, self._provider, lambda: self._identity, audit,
            self._trusted_now, self._identity_anew,
        )  # fmt: skip
        self._overview = Overview(
            env, lambda: self.site, lambda: self._identity, self._provider.info, self.epoch,
            self._started_us, timekeeper=self._timekeeper, writer=self._writer, spool=self._spool,
            state=self._state, disk=self._disk, audit=self._audit, outlets=self._outlets,
            delivery=self._delivery, commands=self._commands, field=self._field,
            daybook=self._daybook, desk=self._desk,
        )  # fmt: skip
        self._metrics = MetricsServer(env, self._overview.samples)
        self._notifier = Notifier(env, self._overview.alive())
        self._certificates = Watch(self._desk, self._writer.put_item, audit, self._identity_anew)
        farewell = Decommission(
            env, site.gateway.id, self._audit, self._writer.put_item, self._writer.durable,
            self._outlets.drained, self._overview.unsent, self._stopping.set,
        )  # fmt: skip
        handlers = {
            **farewell.handlers(), **calls.handlers(), **errands.handlers(), **replaced.handlers(),
            **self._commands.local.handlers(),
            **self._rotation.handlers(), **EnrolmentCalls(self._desk).handlers(),
        }  # fmt: skip
        calls_told = audited(handlers, self._audit)
        self._api = LocalApi(env, site.api_socket, calls_told, self._audit.tell)

        now = env.clock.boottime_us()
        boot = env.clock.boot_id()
        gap = off_gap(self._last_sign, boot, now)
        for said in (gap, self._undated, *self._openings.unsaid(self._last_sign, boot)):
            if said is not None:
                self._daybook.put_item(said)
        digest = config.config_hash(site, self._provider.sm3).hex()
        if self._last_sign is None:
            # Killed before its first commit, a new box still owes the looks it had answered.
            note_sign(self._state, now)
        self._writer.put_item(Event("started", now, {"version": headgate.__version__}))
        self._writer.put_item(Event("config", now, {"hash": digest}))
        remember(env, site, self.installed.memory)
        self._audit.on_head, self._audit.on_alarm = self._audit_head, self._audit_alarm
        self._outlets.tell = self._audit.tell
        self._caller_watch = CallerWatch(self._audit.tell, self._field.channel_health)
        self._tell("started", site.gateway.id, version=headgate.__version__, epoch=self.epoch.hex())
        self._tell("config", "whole", hash=digest)
        for entry in plugin_entries(self.installed.registry):
            self._audit.tell(entry)
        self._overview.open_to_others = tuple(open_to_others(env, site))
        for each in self._overview.open_to_others:
            log.warning(say("HG-9340", "en", **each.fields()), extra={"code": "HG-9340"})
            self._tell("state-rights", str(each.path), "failed", "HG-9340", **each.fields())
        self._audit.start()
        self._timekeeper.start()
        granted = await self._writer.aside(self._keyring.grant_again)
        if granted:
            log.info("keys granted after enrolment", extra={"grants": granted})

        roster = self._roster(site)
        self._field.watch(self._commands.watched(site))
        await self._field.apply(site, roster, self._stages())
        self._identification.watch(self._field.tell())
        await self._writer.aside(self._state.flush)
        await self._commands.apply(site)
        await self._commands.start()
        for uplink in site.uplink:
            if uplink.enabled:
                self._start_uplink(uplink)
        self._certificates.start()
        try:
            await self._api.open()
        except OSError as error:
            # Readings come first; `status` says why it finds nobody.
            path, reason = str(site.api_socket), str(error)
            log.error(say("HG-9126", "en", path=path, reason=reason), extra={"code": "HG-9126"})
        if site.metrics.listen is not None:
            address = site.metrics.listen
            try:
                await self._metrics.open(address.host, address.port)
            except OSError as error:
                # A busy port must not keep readings from the platform.
                log.error(
                    say("HG-9124", "en", address=str(address), reason=str(error)),
                    extra={"code": "HG-9124"},
                )

    async def _stop(self) -> None:
        if hasattr(self, "_api"):
            await self._notifier.stopping()
            await self._api.close()
            await self._metrics.close()
            await self._certificates.stop()
            await self._commands.stop()
            await self._identification.stop()
            await self._writer.aside(self._learnings.save)  # a stop may come before it is written
            await self._field.stop()
            await self._rotation.close()
            self._tell("stopping", self.site.gateway.id)
            await self._audit.stop()  # its last head goes up with what is committed now
            self._writer.put_item(Event("stopping", self._env.clock.boottime_us()))
            await self._timekeeper.stop()
            await self._writer.stop()
            # Who is connected gets the last word at once; all else waits in the spool for the next start.
            await self._outlets.drained(GOODBYE_S, self._delivery.online())
            await self._delivery.stop()
            self._outlets.note()
            self._saving = self._tallies.writing(self._daybook.saving())
        self._audit.close()
        self._journal.close()
        self._keep_disk(now=True)
        if not self._spool.holding:
            now = self._env.clock.boottime_us()
            note_sign(self._state, now)
            self._openings.note((), now, now)
        self._state.note(self._spool.totals())
        self._state.close()
        self._spool.close()
        self._home.leave()

    # ------------------------------------------------------------ devices and uplinks

    def _roster(self, site: Site) -> Roster:
        roster = call_up(
            site,
            self.installed.library,
            self._drivers,
            self._state.device_number,
            self._provider.sm3,
            self.installed.alike,
            self._learnings.firmware(
                {d.id: (d.profile, f"{d.channel}/{d.address}") for d in site.device}
            ),
        )
        self._daybook.days_start(posting.device for posting in roster.devices().values())
        for problem in roster.problems:
            log.error(
                say(problem.code, "en", **problem.fields),
                extra={"code": problem.code, "where": problem.where},
            )
        self._overview.problems = roster.problems
        return roster

    def _learn(self, device: Device) -> None:
        data = encode_table(device.table)
        assert self._provider.sm3(data) == device.table_hash
        self._press.learn(device.table_hash, KnownTable(data, len(device.points)))
        self._state.keep_table(device.table_hash, data, self.epoch)

    def _stages(self) -> list[tuple[Sequence[str], Stage]]:
        registry = self.installed.registry
        return [
            (entry.devices, registry.stages[entry.type](entry.options))
            for entry in self.site.stage
            if entry.enabled
        ]

    def _start_uplink(self, entry: config.Uplink) -> None:
        kind = self.installed.registry.uplinks.get(entry.type)
        if kind is None:
            raise ConfigError([Problem(f"uplink {entry.id}", "HG-9125", {"type": entry.type})])
        uplink = kind(context_of(self._env, self.site, entry, self.epoch))
        self._delivery.start(uplink, self._outlets.open(entry, self.site))

    async def reload(self) -> Mapping[str, Any]:
        """Take over a changed site file: only what changed is touched, and never the spool.

        Raises:
            ConfigError: the file has mistakes; everything runs on as it was.
            SecurityError: a key or certificate does not fit; likewise.
        """
        async with self._changing:
            try:
                return await self._reload()
            except ConfigError as error:
                first = error.problems[0]
                many = len(error.problems)
                self._tell("config-refused", first.where, "refused", first.code, problems=many)
                raise
            except SecurityError as error:
                self._tell("config-refused", "identity", "refused", error.code)
                raise

    async def _reload(self) -> Mapping[str, Any]:
        new, installed = self._load()
        self._commands.check(new)
        identity = load_identity(self._env, new, self._provider, self._trusted_now())
        self.installed = installed
        remember(self._env, new, installed.memory)
        changes = config.diff(self.site, new)
        self.site = new
        await self._be(identity)
        self._drivers = Drivers(installed.registry)
        roster = self._roster(new)
        await self._writer.aside(self._state.flush)  # new numbers stand before a record uses one
        anew = self._field.watch(self._commands.watched(new))
        await self._field.apply(
            new, roster, self._stages(),
            (*changes.channels.removed, *changes.channels.changed, *anew), anew=changes.stages,
        )  # fmt: skip
        self._identification.watch(self._field.tell())
        await self._commands.apply(new)
        for uplink in (*changes.uplinks.removed, *changes.uplinks.changed):
            await self._delivery.stop(uplink)
            self._outlets.shut(uplink)
        for entry in new.uplink:
            if entry.enabled and entry.id in (*changes.uplinks.added, *changes.uplinks.changed):
                self._start_uplink(entry)
        digest = config.config_hash(new, self._provider.sm3).hex()
        self._writer.put_item(Event("config", self._env.clock.boottime_us(), {"hash": digest}))
        self._tell("config", changed_tables(changes), hash=digest)
        said: dict[str, Any] = msgspec.to_builtins(changes)
        return said

    # ------------------------------------------------------------ who it is

    def _trusted_now(self) -> datetime | None:
        """The time for judging certificates; None while the clock was never trusted in this boot."""
        us = self._timekeeper.trusted_us(self._env.clock.boottime_us())
        return None if us is None else datetime.fromtimestamp(us / 1e6, UTC)

    async def _identity_anew(self) -> None:
        """Take over keys and certificates as they lie on disk now; records go on without a break."""
        await self._be(load_identity(self._env, self.site, self._provider, self._trusted_now()))

    async def _be(self, identity: Identity) -> None:
        self._identity = identity
        self._audit.signer = KeySigner(self._provider, identity.signing_key)
        self._outlets.adopt(identity)
        granted = await self._rotation.adopt(identity)
        if granted:
            log.info("keys granted anew", extra={"grants": granted})

    async def _identified(self, name: str, identity: DeviceIdentity) -> None:
        """A device said who it is: where its map hangs on that, it gets the right one."""
        async with self._changing:
            known = self._field.postings.get(name)
            firmware = identity.firmware
            if known is None or firmware is None or known.device.firmware == firmware:
                return
            entry = self.site.devices[name]
            place = f"{entry.channel}/{entry.address}"
            self._learnings.learn(name, Learned(firmware, entry.profile, place))
            changed = post(
                self.site, entry, self.installed.library, self._drivers,
                known.driver.name, self._state.device_number, self._provider.sm3,
                self.installed.alike, firmware,
            )  # fmt: skip
            await self._field.change(changed, self._stages())
            await self._commands.apply(self.site)
            fields: dict[str, str | int | float | bool | None] = {
                "device": name, "firmware": firmware, "before": known.device.firmware,
                "vendor": identity.vendor, "model": identity.model,
                "profile": changed.device.profile,
            }  # fmt: skip
            await self._writer.aside(self._learnings.save)
            self._writer.put_item(Event("identified", self._env.clock.boottime_us(), fields))
            log.info("device identified", extra=fields)

    async def _forget(self, name: str) -> None:
        """Another unit stands in a device's place: what the old one said counts no more."""
        self._learnings.forget(name)
        await self._writer.aside(self._learnings.save)

    async def reload_quietly(self) -> None:
        """As `reload`, on SIGHUP: mistakes go to the log, and everything runs on as it was."""
        try:
            await self.reload()
        except SecurityError as error:
            text = say(error.code, "en", **error.fields)
            log.error(text, extra={"code": error.code, "where": "identity"})
        except ConfigError as error:
            for problem in error.problems:
                text = say(problem.code, "en", **problem.fields)
                log.error(text, extra={"code": problem.code, "where": problem.where})

    def _send_table_again(self, name: bytes) -> None:
        """A platform lacks a table: the next record carries it, and there is one soon."""
        data = self._state.table(name)
        if data is not None:
            # Also one of a device that is gone or changed: records of then still wait.
            self._press.learn(name, KnownTable(data, len(decode_table(data).points)))
        if self._press.announce_again(name):
            now = self._env.clock.boottime_us()
            self._writer.put_item(Event("table-resent", now, {"table": name.hex()}))

    # ------------------------------------------------------------ the audit log

    def _fixed(self, fix: ClockFix) -> None:
        self._daybook.put_item(fix)
        self._clock_watch.look(fix)

    def _audit_head(self, head: Head) -> None:
        """A signed head goes up, so that what is deleted here is missed there."""
        self._writer.put_item(Event("audit-head", self._env.clock.boottime_us(), head.fields()))

    def _audit_alarm(self, name: str, active: bool, value: float) -> None:
        severity, code = AUDIT_ALARMS[name]
        now = self._env.clock.boottime_us()
        self._writer.put_item(Alarm(0, "audit", name, severity, active, now, value, code))

    # ------------------------------------------------------------ housekeeping

    def _origins_of(self) -> Origins:
        """The memory of deliveries, read at the first port that stations dial."""
        if self._origins is None:
            spool = self._spool
            self._origins = Origins(
                self._provider, self._state, lambda: spool.holding, spool.clear_index
            )
            self._origins.recall(self._env, self.site.state_folder / "spool")
        return self._origins

    def _committed(self, committed: Committed) -> None:
        if self._origins is not None:
            self._origins.committed(committed)
        if committed.refusal is None:
            for record in committed.records:
                self._state.committed(record.epoch, record.n)
        clock = self._env.clock
        for gap in self._losses.told(clock.boottime_us(), clock.boot_id()):
            self._daybook.missed(gap)
        self._outlets.on_commit(committed)

    async def _keep_house(self) -> None:
        keeping: asyncio.Future[None] | None = None
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            if (kept_us := self._kept_until_us()) is not None:
                note_sign(self._state, kept_us)
                openings = self._field.poller.openings()
                self._openings.note(openings, self._env.clock.boottime_us(), kept_us)
            self._peer_watch.look(self._delivery.status())
            self._caller_watch.look(self._env.clock.boottime_us())
            self._outlets.note()
            self._state.note(self._spool.totals())
            self._disk.look(self._spool.status(), self._writer.status)
            if (now_us := self._env.clock.boottime_us()) >= self._save_us:
                self._save_us = now_us + SAVE_EVERY_US
                self._saving = self._tallies.writing(self._daybook.saving())
            # Not waited for: a disk that hangs is told of while it does.
            if keeping is None or keeping.done():
                keeping = self._writer.begin(self._keep_disk)

    def _keep_disk(self, *, now: bool = False) -> None:
        """In the writer's thread: what may be written now and was not. Never raises."""
        try:
            self._home.enter()
            if now:
                self._state.flush()
            else:
                self._state.flush_in_time(self._spool.payload)
            self._press.come_back(now=now)
            saving, self._saving = self._saving, None
            if saving is not None:
                saving()
        except SpoolError as error:
            log.debug("still held in memory", extra={"reason": str(error)})
        except Exception:
            log.exception("housekeeping on disk")  # the next second tries again

    def _kept_until_us(self) -> int | None:
        """Until when everything is durable; None when nothing of this start is, yet.

        A gap after a crash must begin before what was lost.
        """
        status = self._writer.status
        if not status.waiting_bytes and not self._spool.holding:
            return self._env.clock.boottime_us()
        return status.last_commit_us

    # ------------------------------------------------------------ what it tells

    def status(self, language: Language | None = None) -> Mapping[str, Any]:
        """How the gateway is: `Overview.status`."""
        return self._overview.status(language)
