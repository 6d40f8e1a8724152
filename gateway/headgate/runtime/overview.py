"""How a gateway stands, put together from its rooms: for people, for Prometheus, for the watchdog."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from headgate.audit import AuditLog
from headgate.config import Site
from headgate.crypto.provider import ProviderInfo
from headgate.env import Env
from headgate.errors import Problem
from headgate.messages import Language, say
from headgate.runtime.audited import audit_metrics, audit_problems
from headgate.runtime.commands.room import Commands, command_metrics
from headgate.runtime.daybook import Daybook
from headgate.runtime.delivery import Delivery
from headgate.runtime.disk import Disk, disk_metrics
from headgate.runtime.enrolment.desk import Desk
from headgate.runtime.enrolment.telling import certificate_problems, summary_of
from headgate.runtime.field import Field
from headgate.runtime.identity import Identity
from headgate.runtime.metrics import Sample
from headgate.runtime.outlets import Outlets
from headgate.runtime.report import metrics_of, status_of
from headgate.runtime.rights import OpenToOthers
from headgate.runtime.timekeeper import Timekeeper
from headgate.runtime.writer import Writer
from headgate.spool import Spool, State

#: A part that made no progress for this long, while it should, is stuck.
STUCK_US: Final = 60 * 1_000_000


class Overview:
    """Asks every room when somebody asks it.

    Args:
        site, identity: as they are now; a reload and an enrolment change them.
        epoch, started_us: this start, and when it was by CLOCK_BOOTTIME.
    """

    def __init__(
        self,
        env: Env,
        site: Callable[[], Site],
        identity: Callable[[], Identity],
        provider: ProviderInfo,
        epoch: bytes,
        started_us: int,
        *,
        timekeeper: Timekeeper,
        writer: Writer,
        spool: Spool,
        state: State,
        disk: Disk,
        audit: AuditLog,
        outlets: Outlets,
        delivery: Delivery,
        commands: Commands,
        field: Field,
        daybook: Daybook,
        desk: Desk,
    ) -> None:
        self._env = env
        self._site = site
        self._identity = identity
        self._provider = provider
        self._epoch = epoch
        self._started_us = started_us
        self._timekeeper = timekeeper
        self._writer = writer
        self._spool = spool
        self._state = state
        self._disk = disk
        self._audit = audit
        self._outlets = outlets
        self._delivery = delivery
        self._commands = commands
        self._field = field
        self._daybook = daybook
        self._desk = desk
        #: Devices and channels that cannot be used.
        self.problems: Sequence[Problem] = ()
        #: Files that other accounts may read.
        self.open_to_others: Sequence[OpenToOthers] = ()

    def status(self, language: Language | None = None) -> Mapping[str, Any]:
        """How the gateway is, as the local API says it: sentences in a reader's language, or the box's."""
        site = self._site()
        language = language or site.gateway.language
        said = status_of(
            self._env, site, self._epoch, self._started_us, self._identity(), self._provider,
            self._timekeeper.fix, self._writer.status, self._spool.status(),
        )  # fmt: skip
        said["disk"] = self._disk.status(self._spool.status(), language)
        audit = self._audit.status()
        said["audit"] = msgspec.to_builtins(audit)
        boxes = self._outlets.status()
        said["uplinks"] = [
            {**msgspec.to_builtins(uplink), "outbox": boxes.get(uplink.id)}
            for uplink in self._delivery.status()
        ]
        said["commands"] = self._commands.status()
        said["channels"] = msgspec.to_builtins(self._field.channel_health())
        said["devices"] = msgspec.to_builtins(self._field.device_health())
        said["account"] = self._daybook.report(self._state.devices())
        said["problems"] = [
            f"{p.where}: {say(p.code, language, **p.fields)} [{p.code}]" for p in self.problems
        ]
        said["problems"] += said["disk"]["problems"] + self._commands.problems(language)
        said["identity"] |= summary_of(self._desk)
        said["problems"] += certificate_problems(self._desk, language)
        said["problems"] += [
            f"{say('HG-9340', language, **each.fields())} [HG-9340]" for each in self.open_to_others
        ]
        said["problems"] += audit_problems(audit, str(site.state_folder / "audit"), language)
        return said

    def samples(self) -> Iterable[Sample]:
        """The same as Prometheus samples."""
        status = self.status()
        told = (*metrics_of(status), *disk_metrics(status), *audit_metrics(status))
        return (*told, *command_metrics(status["commands"]))

    def unsent(self) -> tuple[list[str], int, int]:
        """Uplinks, and how many records and readings wait for one of them at the most."""
        boxes = self._outlets.status()
        records = max((box["records"] for box in boxes.values()), default=0)
        return list(boxes), records, max((box["readings"] for box in boxes.values()), default=0)

    def alive(self) -> Mapping[str, Callable[[], bool]]:
        """Whether each part goes on, by its name: for the watchdog."""
        return {
            "channels": self._channels_alive,
            "writer": self._writer_alive,
            "uplinks": self._uplinks_alive,
            "leases": self._commands.alive,
        }

    def _writer_alive(self) -> bool:
        status = self._writer.status
        now = self._env.clock.boottime_us()
        return (
            not status.waiting_bytes or now - (status.last_done_us or self._started_us) < STUCK_US
        )

    def _uplinks_alive(self) -> bool:
        boxes = self._outlets.status()
        return self._delivery.alive({i: (b["settled"], b["records"]) for i, b in boxes.items()})

    def _channels_alive(self) -> bool:
        now = self._env.clock.boottime_us()
        busy = [c for c in self._field.channel_health() if c.busy]
        return all(now - (c.last_progress_us or self._started_us) < STUCK_US for c in busy)
