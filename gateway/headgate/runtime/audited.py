"""What people and peers do to a running gateway, as entries of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

from headgate.audit import Audit, AuditStatus, Entry
from headgate.config import Changes
from headgate.crypto.provider import CryptoProvider, Sm2PrivateKey
from headgate.errors import HeadgateError
from headgate.messages import Language, say
from headgate.model import ClockFix
from headgate.runtime.api import Handler
from headgate.runtime.metrics import Sample
from headgate.runtime.plugins import PluginState, Registry

#: Calls of the local API that change something or show what travels; asking how things are is none.
_BEFORE: Final[Mapping[str, str]] = {
    "trace": "local-trace",
    "discover": "local-discover",
    "ask": "local-ask",
}
#: `decommission` writes its own entry, once it is sure.
_PLAIN: Final = frozenset(
    {
        "status",
        "read",
        "latest",
        "write",
        "reload",
        "enroll-status",
        "enroll-stage",
        "decommission",
        "controls",
    }
)
#: A wall clock that moved by this much against boottime was set, not steered.
_JUMP_US: Final = 1_000_000
#: The log's own alarms: severity, and the sentence of the catalogue.
AUDIT_ALARMS: Final[Mapping[str, tuple[int, str]]] = {
    "audit-failing": (900, "HG-9300"),
    "audit-broken": (900, "HG-9303"),
    "audit-dropped": (900, "HG-9302"),
    "audit-retention": (600, "HG-9301"),
}


def audited(handlers: Mapping[str, Handler], audit: Audit) -> dict[str, Handler]:
    """The calls of the local API, those that matter written down: before they begin, and what came of it.

    Where the log cannot be written, such a call is refused: what must not happen unwritten does not happen.
    """
    return {name: _audited(name, handler, audit) for name, handler in handlers.items()}


def _audited(name: str, handler: Handler, audit: Audit) -> Handler:
    if name == "write":
        return _write(handler, audit)
    if name == "reload":
        return _reload(handler, audit)
    if name in _PLAIN:
        return handler
    kind = _BEFORE.get(name, "local-command")

    async def call(request: Mapping[str, Any]) -> AsyncIterator[Any]:
        what = str(request.get("channel") or request.get("device") or name)
        if name == "ask":
            if not request.get("errand"):  # what it can be asked: nobody is
                async for said in handler(request):
                    yield said
                return
            words = request.get("arguments")
            rest = [str(word) for word in words] if isinstance(words, list) else []
            what = " ".join([what, str(request.get("errand")), *rest])
        fields = {"call": name}
        await audit.note(
            Entry(kind=kind, who=who(request), what=what, result="ok", fields=dict(fields))
        )
        async for said in handler(request):
            yield said

    return call


def _write(handler: Handler, audit: Audit) -> Handler:
    async def call(request: Mapping[str, Any]) -> AsyncIterator[Any]:
        if request.get("confirmed") is not True:  # nothing moves
            async for said in handler(request):
                yield said
            return
        what = f"{request.get('device')}/{request.get('point')} = {request.get('value')}"
        person = who(request)
        await audit.note(Entry(kind="local-write", who=person, what=what, result="ok"))
        result, code = "failed", "HG-9114"
        try:
            async for said in handler(request):
                if isinstance(said, Mapping) and said.get("written"):
                    result, code = ("ok", "") if said.get("kept") else ("failed", "HG-9146")
                yield said
        except HeadgateError as error:
            code = error.code
            raise
        finally:
            # The output has moved, or not: a disk that refuses now must not hide that from the caller.
            _tell(
                audit, Entry(kind="local-written", who=person, what=what, result=result, code=code)
            )

    return call


def _reload(handler: Handler, audit: Audit) -> Handler:
    async def call(request: Mapping[str, Any]) -> AsyncIterator[Any]:
        # Of the file itself `config` and `config-refused` tell.
        _tell(audit, Entry(kind="reload", who=who(request), what="configuration", result="ok"))
        async for said in handler(request):
            yield said

    return call


def _tell(audit: Audit, entry: Entry) -> None:
    tell: Callable[[Entry], None] | None = getattr(audit, "tell", None)
    if tell is not None:
        tell(entry)


def who(request: Mapping[str, Any]) -> str:
    """Who asks, as the kernel says; the local API puts it into each request."""
    return str(request.get("peer", "local"))


class KeySigner:
    """Signs heads of the audit log with the gateway's own key."""

    def __init__(self, provider: CryptoProvider, key: Sm2PrivateKey) -> None:
        self._key = key
        self._name = provider.sm3(key.public.spki)

    @property
    def key(self) -> bytes:
        return self._name

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


class ClockWatch:
    """Tells of a wall clock that was set, from one fix to the next."""

    def __init__(self, tell: Callable[[Entry], None]) -> None:
        self._tell = tell
        self._last: ClockFix | None = None

    def look(self, fix: ClockFix) -> None:
        """The newest fix."""
        last, self._last = self._last, fix
        if last is None or last.boot != fix.boot:
            return
        moved_us = (fix.wall_us - last.wall_us) - (fix.at_us - last.at_us)
        if abs(moved_us) < _JUMP_US and fix.state == last.state:
            return
        fields = {"seconds": round(moved_us / 1e6, 3), "before": last.state, "after": fix.state}
        self._tell(
            Entry(
                kind="time-jump", who="gateway", what="wall clock", result="ok", fields={**fields}
            )
        )


def plugin_entries(registry: Registry) -> Iterator[Entry]:
    """Code of others that was loaded, and any code that was refused."""
    for each in registry.plugins:
        found, state = each.found, each.state
        problem = each.problems[0] if each.problems else None
        fields = {"distribution": found.distribution, "state": state.value}
        if state is PluginState.LOADED and not found.ours:
            yield Entry(
                kind="plugin-loaded", who="gateway", what=found.name, result="ok", fields={**fields}
            )
        elif state in (PluginState.REFUSED, PluginState.FAILED):
            result = "refused" if state is PluginState.REFUSED else "failed"
            code = problem.code if problem else ""
            yield Entry(
                kind="plugin-refused", who="gateway", what=found.name, result=result, code=code,
                fields={**fields},
            )  # fmt: skip


def changed_tables(changes: Changes) -> str:
    """Which tables of a site file a reload found changed."""
    lists = ("channels", "devices", "uplinks", "stages", "controls")
    named = [name for name in lists if getattr(changes, name, False)]
    return ", ".join((*named, *changes.live, *changes.restart)) or "nothing"


def audit_problems(status: AuditStatus, folder: str, language: Language) -> list[str]:
    """What is wrong with the log, as sentences for the status page."""
    fields: dict[str, str | int] = {
        "folder": folder, "reason": status.failing or status.damaged or "a break is on record",
        "days": status.days or 0,
    }  # fmt: skip
    return [
        f"{say(AUDIT_ALARMS[alarm][1], language, **fields)} [{AUDIT_ALARMS[alarm][1]}]"
        for alarm in status.alarms
    ]


def audit_metrics(status: Mapping[str, Any]) -> Iterator[Sample]:
    """The log's part of the status as Prometheus samples."""
    none: dict[str, str] = {}
    audit = status["audit"]
    yield "audit_entries", "Number of the newest entry", "counter", none, audit["seq"]
    yield (
        "audit_signed",
        "Number of the newest entry under a signed head",
        "counter",
        none,
        audit["head_seq"],
    )
    yield "audit_bytes", "Bytes of the audit log", "gauge", none, audit["bytes"]
    yield "audit_unwritten", "Entries that could not be written", "gauge", none, audit["unwritten"]
    yield (
        "audit_suppressed",
        "Entries of a flood, counted only",
        "counter",
        none,
        audit["held_back"],
    )
    yield "audit_breaks", "Breaks since the start", "counter", none, audit["breaks"]
    if audit["days"] is not None:
        yield "audit_days", "Days that fit at this rate", "gauge", none, audit["days"]
    for alarm in AUDIT_ALARMS:
        label = {"trouble": alarm}
        active = float(alarm in audit["alarms"])
        yield "audit_trouble", "1 while it lasts", "gauge", label, active
