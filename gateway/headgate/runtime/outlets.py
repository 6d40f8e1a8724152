"""What an uplink is given: its options as a plain mapping, and its outbox over the one spool."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import headgate
from headgate.audit import Entry
from headgate.config import SecretRef, Site, Uplink, resolve_options
from headgate.env import Env
from headgate.envelope.receipt import Receipt, verify_receipt
from headgate.errors import SecurityError
from headgate.model import Item
from headgate.runtime.batch import Committed
from headgate.runtime.identity import Identity
from headgate.runtime.insight import Insight
from headgate.runtime.outbox import SpoolOutbox
from headgate.runtime.outboxes import Outboxes
from headgate.runtime.terms import Commanding, OutboxStatus, Pace
from headgate.sdk import Outbox, UplinkContext
from headgate.spool import Spool, State


class Outlets:
    """The outboxes of a gateway."""

    def __init__(
        self,
        env: Env,
        spool: Spool,
        state: State,
        epoch: bytes,
        identity: Identity,
        insight: Insight,
        say: Callable[[Item], None],
        need_table: Callable[[bytes], object],
        retire: Callable[[Sequence[bytes]], object],
        commanding: Commanding | None = None,
    ) -> None:
        self._env = env
        self._spool = spool
        self._state = state
        self._epoch = epoch
        self._identity = identity
        self._insight = insight
        self._say = say
        self._need_table = need_table
        self._retire = retire
        self._commanding = commanding
        self._outboxes = Outboxes(spool, state, epoch)
        #: Takes entries of the audit log.
        self.tell: Callable[[Entry], None] = lambda entry: None

    def open(self, entry: Uplink, site: Site) -> Outbox:
        """The outbox of one uplink, from where it stood."""
        share = site.state.history_share if entry.history_share is None else entry.history_share
        rate = entry.history_rate or site.state.history_rate
        outbox = SpoolOutbox(
            self._env,
            self._spool,
            self._state,
            entry.id,
            self._epoch,
            insight=self._insight,
            verify_receipt=functools.partial(
                self._proved, functools.partial(self._receipt, entry.receipts_from)
            ),
            say=self._say,
            need_table=self._need_table,
            retire=self._retire,
            passed=self._outboxes.passed,
            pace=Pace(
                history_after_s=site.state.history_after.s,
                history_share=share,
                history_bytes_s=float(rate.bytes),
            ),
            commanding=self._commanding,
        )
        self._outboxes.add(outbox)
        return outbox

    def adopt(self, identity: Identity) -> None:
        """Believe the receipt keys of this identity from now on."""
        self._identity = identity

    def shut(self, uplink: str) -> None:
        """An uplink is configured no more: nothing is kept for it."""
        self._outboxes.remove(uplink)

    def _proved(self, check: Callable[[bytes], Receipt], message: bytes) -> Receipt:
        """A receipt that stands the check; one that does not is an entry of the audit log."""
        try:
            return check(message)
        except SecurityError as error:
            self.tell(
                Entry(
                    kind="receipt-refused", who="unknown", what="a receipt", result="refused",
                    code=error.code, fields={"reason": str(error)},
                )
            )  # fmt: skip
            raise

    def _receipt(self, platform: str | None, message: bytes) -> Receipt:
        """A receipt by a pinned key; of this platform, where the uplink names one.

        Of several platforms each has a receipt key, and may free what is kept for itself alone.
        """
        identity = self._identity
        keys = identity.receipt_keys
        if platform is not None:
            names = (each.subject_cn for each in identity.certified.receipts)
            keys = tuple(key for key, name in zip(keys, names, strict=True) if name == platform)
        if not keys:
            raise SecurityError("a receipt, and no receipt key is pinned", code="HG-6109")
        return verify_receipt(message, keys, identity.gateway)

    def on_commit(self, committed: Committed) -> None:
        """Tell every outbox what has become durable."""
        self._outboxes.on_commit(committed.positions)

    async def drained(self, patience_s: float, uplinks: Collection[str]) -> bool:
        """Wait until these uplinks have nothing left to deliver; False when time ran out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience_s
        while any(s.uplink in uplinks and _records(s) for s in self._outboxes.status()):
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def note(self) -> None:
        """Hand what changed to the state."""
        self._outboxes.note()

    def status(self) -> Mapping[str, Any]:
        """Backlogs by uplink; `records` and `bytes` are the sums over the lanes."""
        said: dict[str, Any] = {}
        for status in self._outboxes.status():
            lanes = (status.alarm, status.live, status.history)
            said[status.uplink] = {
                **msgspec.to_builtins(status),
                "records": _records(status),
                "bytes": sum(lane.bytes for lane in lanes),
                "readings": sum(lane.readings for lane in lanes),
            }
        return said


def _records(status: OutboxStatus) -> int:
    return status.alarm.records + status.live.records + status.history.records


def context_of(env: Env, site: Site, entry: Uplink, epoch: bytes) -> UplinkContext:
    """An uplink's options, with secrets and files fetched. Never logged.

    Raises:
        SecurityError: a secret that is not there.
    """
    base = Path(site.base)
    options: dict[str, Any] = {
        "url": str(entry.url),
        "ack": entry.ack,
        "protocol": entry.protocol,
        # None: the uplink's own choice, for two connections of one name would throw each other out.
        "client_id": entry.client_id,
        "username": entry.username,
        "password": resolve_options(env, entry.password, base),
        "ca_pem": _text(env, site, entry.ca),
        "client_certificate": _file(site, entry.client_certificate),
        "client_key": _key_file(env, site, entry.client_key),
        "server_name": entry.server_name,
        "link": entry.link,
        "trust": entry.trust,
        "tls_minimum": entry.tls_minimum,
        "crl": _file(site, entry.crl),
        "sidecar_user": entry.sidecar_user,
        "keepalive_s": entry.keepalive.s,
        "timeout_s": entry.timeout.s,
        "in_flight": entry.in_flight,
        "reconnect_min_s": entry.reconnect_min.s,
        "reconnect_max_s": entry.reconnect_max.s,
        "topic": entry.topic,
        "unsynced": entry.unsynced,
        "language": site.gateway.language,
        "epoch": epoch.hex(),
        "version": headgate.__version__,
        "up_s": env.clock.boottime_us() / 1e6,
        **resolve_options(env, entry.options, base),
    }
    return UplinkContext(entry.id, site.gateway.id, options)


def _file(site: Site, written: str | None) -> str | None:
    return str(site.path(written)) if written else None


def _text(env: Env, site: Site, written: str | None) -> str | None:
    if written is None:
        return None
    path = site.path(written)
    try:
        return env.files.read(path).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise SecurityError(
            f"{path}: {error}", code="HG-6106", file=str(path), reason=str(error)
        ) from error


def _key_file(env: Env, site: Site, reference: SecretRef | None) -> str | None:
    """Where the TLS key lies. The TLS library reads files only: a systemd credential is one."""
    if reference is None:
        return None
    if reference.kind == "systemd" and (folder := env.variable("CREDENTIALS_DIRECTORY")):
        return str(Path(folder) / reference.name)
    if reference.kind != "file":
        raise SecurityError("a TLS key must be a file", code="HG-6110", reference=str(reference))
    return str(site.path(reference.name))
