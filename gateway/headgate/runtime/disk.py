"""The disk as people should hear of it: a sentence in the status, an alarm upstream, and its wear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from headgate.config import Site
from headgate.env import Env
from headgate.messages import Language, say
from headgate.model import Alarm, Item
from headgate.runtime.metrics import Sample
from headgate.runtime.wear import WearMeter
from headgate.runtime.writer import WriterStatus
from headgate.spool import SpoolStatus, State

#: A commit that runs this long stalls, or soon will stall, the looks at the devices.
SLOW_S: Final = 5.0
#: Its alarm ends once no commit took that long for this long.
CALM_US: Final = 60_000_000
_POINT: Final = "disk"
_SEVERITY: Final = {
    "disk-full": 900, "disk-read-only": 900, "disk-failing": 900, "disk-slow": 600, "disk-low": 500,
}  # fmt: skip
_CODES: Final = {
    "disk-full": "HG-4021", "disk-read-only": "HG-4022", "disk-failing": "HG-4023",
    "disk-slow": "HG-4024", "disk-low": "HG-4027",
}  # fmt: skip


class Trouble(msgspec.Struct, frozen=True):
    """One thing that is wrong with the disk: the alarm's code, the message's, and what fills it."""

    alarm: str
    code: str
    fields: dict[str, str | int | float]


class Disk:
    """Looks at the writer and the spool once a second; says what changes.

    Args:
        put: takes the alarms.
    """

    def __init__(self, env: Env, site: Site, state: State, put: Callable[[Item], None]) -> None:
        self._env = env
        self._folder = str(site.state_folder)
        self._language = site.gateway.language
        self._state = state
        self._put = put
        endurance = site.state.endurance
        self._wear = WearMeter(env, site.state_folder, endurance.bytes if endurance else None)
        self._active: dict[str, Trouble] = {}
        self._slow_us: int | None = None
        self._slow_s = 0.0

    def look(self, spool: SpoolStatus, writer: WriterStatus) -> None:
        """Raise what is new, clear what is over."""
        now = self._env.clock.boottime_us()
        if (writer.under_way_s or 0.0) >= SLOW_S:
            self._slow_us, self._slow_s = now, writer.under_way_s or 0.0
        found = {trouble.alarm: trouble for trouble in self._troubles(spool, now)}
        for alarm, trouble in found.items():
            if alarm not in self._active:
                self._say(trouble, now, active=True, free=spool.free)
        for alarm, trouble in self._active.items():
            if alarm not in found:
                self._say(trouble, now, active=False, free=spool.free)
        self._active = found

    def _troubles(self, spool: SpoolStatus, now: int) -> Iterator[Trouble]:
        fields: dict[str, str | int | float] = {
            "folder": self._folder, "free": spool.free, "held": spool.held_records,
            "dropped": spool.dropped, "reason": spool.error or "",
        }  # fmt: skip
        if spool.refused is not None:
            alarm = f"disk-{spool.refused}"
            yield Trouble(alarm, _CODES[alarm], fields)
        elif not spool.ballast:
            yield Trouble("disk-low", _CODES["disk-low"], fields)
        if self._slow_us is not None and now - self._slow_us < CALM_US:
            yield Trouble(
                "disk-slow", _CODES["disk-slow"], {**fields, "seconds": round(self._slow_s, 1)}
            )

    def _say(self, trouble: Trouble, now: int, *, active: bool, free: int) -> None:
        severity = _SEVERITY[trouble.alarm]
        self._put(Alarm(0, _POINT, trouble.alarm, severity, active, now, float(free), trouble.code))

    def status(self, spool: SpoolStatus, language: Language | None = None) -> dict[str, Any]:
        """The part of the status that concerns the disk; `problems` are sentences, in the box's language."""
        language = language or self._language
        wear = self._wear.look(spool.payload, spool.written, self._state.written)
        problems = [f"{_sentence(t.code, language, t.fields)}" for t in self._active.values()]
        if self._state.rebuilt:
            problems.append(_sentence("HG-4026", language, {"folder": self._folder}))
        if damaged := self._set_aside():
            files = ", ".join(damaged)
            problems.append(
                _sentence("HG-4029", language, {"folder": self._folder, "files": files})
            )
        return {
            "troubles": list(self._active),
            "problems": problems,
            "wear": msgspec.to_builtins(wear),
        }

    def _set_aside(self) -> list[str]:
        """Small files that were found damaged and that nobody has looked at yet."""
        try:
            names = self._env.files.list(Path(self._folder))
        except OSError:
            return []
        return [n for n in names if n.endswith(".damaged") and not n.startswith("state.db")]


def _sentence(code: str, language: Language, fields: Mapping[str, str | int | float]) -> str:
    return f"{say(code, language, **fields)} [{code}]"


def disk_metrics(status: Mapping[str, Any]) -> Iterator[Sample]:
    """The disk's part of the status as Prometheus samples."""
    none: dict[str, str] = {}
    disk, spool = status["disk"], status["spool"]
    for alarm in _CODES:
        label = {"trouble": alarm}
        active = float(alarm in disk["troubles"])
        yield "disk_trouble", "1 while it lasts", "gauge", label, active
    wear = disk["wear"]
    yield "spool_held_records", "Records in memory only", "gauge", none, spool["held_records"]
    yield "spool_dropped_records", "Given up in memory", "counter", none, spool["dropped"]
    yield "spool_write_errors", "Writes that failed", "counter", none, spool["write_errors"]
    yield "state_written_bytes", "Bytes written to state.db", "counter", none, wear["state"]
    if wear["storage"] is not None:
        yield (
            "storage_written_bytes", "Bytes written to storage, by the kernel's count", "counter", none,
            wear["storage"],
        )  # fmt: skip
    if wear["amplification"] is not None:
        yield (
            "write_amplification", "Bytes written per sealed byte", "gauge", none,
            wear["amplification"],
        )  # fmt: skip
    if wear["years"] is not None:
        yield "medium_life_years", "At this rate of writing", "gauge", none, wear["years"]
