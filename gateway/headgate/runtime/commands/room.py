"""Everything about commands of one gateway, put together: what `app` opens, starts, changes and stops."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from headgate.audit import Audit, Entry
from headgate.config import Site, controls_digest
from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.envelope.signers import Trust
from headgate.errors import ConfigError, Problem, SecurityError, SpoolError
from headgate.messages import say
from headgate.model import Item
from headgate.runtime.commands.allowed import Allowed
from headgate.runtime.commands.desk import Desk, InForce
from headgate.runtime.commands.heartbeat import Hearts
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.journal import Journal
from headgate.runtime.commands.local import Local
from headgate.runtime.commands.plant import FieldPlant
from headgate.runtime.commands.proving import Proof
from headgate.runtime.commands.resolving import Wrong, resolve
from headgate.runtime.commands.signed import check_signed
from headgate.runtime.commands.telling import Signer, Teller
from headgate.runtime.field import Field
from headgate.runtime.identity import Identity
from headgate.runtime.metrics import Sample

log = logging.getLogger(__name__)

#: Leases that nobody has looked at for this long: something is stuck.
STUCK_US: Final = 60_000_000


class Commands:
    """The commands of a gateway.

    Args:
        journal: opened; whoever opened it closes it.
        identity: who this box is, now; renewed certificates count at once.
        trusted_us: wall time at a boottime where the clock is trusted, else None.
    """

    def __init__(
        self,
        env: Env,
        site: Site,
        provider: CryptoProvider,
        audit: Audit,
        field: Field,
        journal: Journal,
        identity: Callable[[], Identity],
        trusted_us: Callable[[int], int | None],
        put_item: Callable[[Item], None],
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        self._env = env
        self._provider = provider
        self._audit = audit
        self._field = field
        self._identity = identity
        self._trusted_at = trusted_us
        gateway = site.gateway.id
        self.journal = journal
        self._plant = FieldPlant(field, site.controls.write_timeout.s)
        teller = Teller(env, gateway, audit, put_item, durable, self._signer)
        self.desk = Desk(
            env, gateway, self.journal, self._plant, teller, Proof(provider, self.trust),
            self._trusted_us, self._number, site.controls.token.us,
        )  # fmt: skip
        self.local = Local(env, gateway, self.desk)
        self._hearts = Hearts(self._plant)
        self._told: tuple[str, str] | None = None

    # ------------------------------------------------------------ life

    def watched(self, site: Site) -> frozenset[str]:
        """Devices whose last values commands may ask for."""
        names = {control.device for control in site.control}
        texts = [
            text
            for control in site.control
            for text in (
                *control.interlock,
                control.remote_when or "",
                "{" + (control.feedback or ""),
            )
        ]
        names |= {d.id for d in site.device if any(f"{{{d.id}/" in text for text in texts)}
        return frozenset(names)

    async def apply(self, site: Site) -> None:
        """Let the controls of a site be in force: after the devices of it are there."""
        reason, code = self.objection(site)
        found: dict[Place, Allowed] = {}
        for control in site.control:
            try:
                allowed = resolve(control, self._field.devices, "control")
            except Wrong as wrong:
                # Its device is switched off, or its profile changed: this one cannot be moved.
                where = f"{control.device}/{control.point}"
                codes = [problem.code for problem in wrong.problems]
                log.error("a control without effect", extra={"control": where, "codes": codes})
                continue
            found[allowed.name] = allowed
        self.desk.in_force = InForce({} if reason else found, reason)
        self.desk.selections.life_us = site.controls.token.us
        self._plant.timeout_s = site.controls.write_timeout.s
        rule = site.controls.local_writes or ("controls" if site.control else "any")
        self.local.open_writes = rule == "any"
        await self._hearts.apply(() if reason else site.heartbeat)
        if reason:
            log.error(say(code, "en", reason=reason), extra={"code": code})
        if site.control or self._told is not None:
            await self._tell(site, reason, code, len(found))

    async def _tell(self, site: Site, reason: str, code: str, count: int) -> None:
        """In the audit log, whenever what may be commanded became something else."""
        digest = controls_digest(site, self._provider.sm3).hex()
        if (digest, reason) == self._told:
            return
        self._told = digest, reason
        kind = "controls-refused" if reason else "controls-loaded"
        entry = Entry(
            kind=kind, who="gateway", what="controls", result="refused" if reason else "ok", code=code,
            fields={"digest": digest, "controls": count, "signed": site.controls.signed, "reason": reason},
        )  # fmt: skip
        try:
            await self._audit.note(entry)
        except SpoolError as error:
            log.error("the audit log refuses", extra={"reason": str(error)})

    def check(self, site: Site) -> None:
        """Raise ConfigError where a changed site would take controls out of force: then nothing changes."""
        reason, code = self.objection(site)
        if reason and not self.desk.in_force.reason:
            raise ConfigError([Problem("controls", code, {"reason": reason})])

    def objection(self, site: Site) -> tuple[str, str]:
        """Why the controls of a site do not count, and the code of it; both empty when they do."""
        try:
            check_signed(self._provider, self._env.files, site, self.trust())
        except SecurityError as error:
            return str(error.fields.get("reason", error)), error.code
        return "", ""

    async def start(self) -> None:
        """Take commands; end what should have ended."""
        await self.desk.start()

    async def stop(self) -> None:
        """Let what is in hand end."""
        await self._hearts.stop()
        await self.desk.stop()

    def alive(self) -> bool:
        """Whether leases are looked at: for the watchdog. Who forces outputs must not hang in silence."""
        return self._env.clock.boottime_us() - self.desk.leases.looked_us < STUCK_US

    # ------------------------------------------------------------ for uplinks

    def receive(self, uplink: str, message: bytes, how: Literal["live", "retained"]) -> None:
        """A command that came down an uplink."""
        self.desk.door.receive(uplink, message, how=how)

    async def answer(self, uplink: str) -> bytes:
        """The next answer for an uplink."""
        return await self.desk.teller.post.take(uplink)

    # ------------------------------------------------------------ what it tells

    def status(self) -> dict[str, Any]:
        """For `headgate status` and `headgate control`."""
        said = self.local.status()
        said["heartbeats"] = [
            {
                "device": beat.device,
                "point": beat.point,
                "count": heart.count,
                "reason": heart.reason,
            }
            for beat, heart in self._hearts.beating.items()
        ]
        return said

    def problems(self, language: Literal["zh", "en"]) -> list[str]:
        """What stands in the way of commands, for people."""
        found: list[tuple[str, Mapping[str, object]]] = []
        if self.desk.in_force.reason:
            found.append(("HG-6561", {"reason": self.desk.in_force.reason}))
        if self.journal.damaged:
            found.append(("HG-6562", {}))
        lock = self.journal.lock
        if lock is not None:
            found.append(("HG-6522", {"who": lock.who, "reason": lock.reason}))
        return [f"{say(code, language, **fields)} [{code}]" for code, fields in found]

    # ------------------------------------------------------------ who is who

    def trust(self) -> Trust:
        """What signers are judged by, now."""
        now_us = self._trusted_us()
        at = None if now_us is None else datetime.fromtimestamp(now_us / 1e6, UTC)
        certified = self._identity().certified
        return Trust(tuple(certified.anchors), at, tuple(certified.crls))

    def _signer(self) -> Signer | None:
        identity = self._identity()
        if not identity.chain or identity.certified.barred:
            return None
        return Signer(identity.signing_key, identity.chain)

    def _trusted_us(self) -> int | None:
        return self._trusted_at(self._env.clock.boottime_us())

    def _number(self, device: str) -> int:
        known = self._field.devices.get(device)
        return 0 if known is None else known.number


def journal_path(site: Site) -> Path:
    """Where the memory of commands lies."""
    return site.state_folder / "commands.db"


def command_metrics(said: Mapping[str, Any]) -> Iterator[Sample]:
    """The status of commands as Prometheus samples."""
    none: dict[str, str] = {}
    locked = float(said["locked"] is not None)
    yield "controls", "Points that may be commanded", "gauge", none, len(said["controls"])
    yield "commands_locked", "1 when remote commands are locked out", "gauge", none, locked
    yield "forced_points", "Points under a lease", "gauge", none, len(said["leases"])
    for code, count in said["refused"].items():
        yield "commands_refused", "Messages refused", "counter", {"code": code}, count
