"""The gateway's state as `headgate status` and Prometheus see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

import headgate
from headgate.config import Site
from headgate.crypto.provider import ProviderInfo
from headgate.env import Env
from headgate.model import ClockFix
from headgate.runtime.identity import Identity
from headgate.runtime.metrics import Sample
from headgate.runtime.writer import WriterStatus
from headgate.spool import SpoolStatus

_LINE_COUNTERS = ("requests", "answers", "timeouts", "stale", "connects")


def status_of(
    env: Env,
    site: Site,
    epoch: bytes,
    started_us: int,
    identity: Identity,
    provider: ProviderInfo,
    fix: ClockFix,
    writer: WriterStatus,
    spool: SpoolStatus,
) -> dict[str, Any]:
    """The parts of the status that concern the gateway itself. Never holds a secret."""
    return {
        "gateway": site.gateway.id,
        "name": site.gateway.name,
        "version": headgate.__version__,
        "epoch": epoch.hex(),
        "uptime_s": (env.clock.boottime_us() - started_us) / 1e6,
        "clock": {"state": fix.state, "error_us": fix.error_us, "wall_us": env.clock.wall_us()},
        "identity": {
            "enrolled": identity.enrolled,
            "local_wrap": identity.kek is not None,
            "receipts": bool(identity.receipt_keys),
            "platforms": [each.subject_cn for each in identity.recipients],
            "signs_records": identity.signs_records,
            "sm2": provider.sm2,
            "symmetric": provider.symmetric,
        },
        "writer": msgspec.to_builtins(writer),
        "spool": msgspec.to_builtins(spool),
    }


def metrics_of(status: Mapping[str, Any]) -> Iterator[Sample]:
    """The status as Prometheus samples."""
    none: dict[str, str] = {}
    spool, writer = status["spool"], status["writer"]
    yield "up_seconds", "Time since start", "gauge", none, status["uptime_s"]
    yield (
        "clock_synced",
        "1 when the wall clock is trusted",
        "gauge",
        none,
        float(status["clock"]["state"] == "synced"),
    )
    yield "spool_bytes", "Bytes of records in the spool", "gauge", none, spool["bytes"]
    yield "spool_quota_bytes", "Room the spool may take", "gauge", none, spool["quota"]
    yield "spool_free_bytes", "Free bytes on its file system", "gauge", none, spool["free"]
    yield "spool_written_bytes", "Bytes written since start", "counter", none, spool["written"]
    yield "spool_payload_bytes", "Sealed bytes among them", "counter", none, spool["payload"]
    yield "writer_commits", "Commits", "counter", none, writer["commits"]
    yield "writer_failures", "Commits that failed", "counter", none, writer["failures"]
    yield "writer_waiting_bytes", "Not durable yet", "gauge", none, writer["waiting_bytes"]
    for uplink in status["uplinks"]:
        label = {"uplink": uplink["id"]}
        box = uplink["outbox"] or {}
        yield (
            "uplink_online",
            "1 when delivering",
            "gauge",
            label,
            float(uplink["state"] == "online"),
        )
        yield "uplink_waiting_records", "Records not settled", "gauge", label, box.get("records", 0)
        yield "uplink_waiting_bytes", "Bytes not settled", "gauge", label, box.get("bytes", 0)
    for channel in status["channels"]:
        label = {"channel": channel["channel"]}
        yield (
            "channel_up",
            "1 when the line is open",
            "gauge",
            label,
            float(channel["state"] == "up"),
        )
        for name in _LINE_COUNTERS:
            yield f"channel_{name}", f"Channel {name}", "counter", label, channel["counters"][name]
        for name, count in channel["tally"].items():
            what = {**label, "what": name}
            yield "channel_tally", "What its driver counts besides", "gauge", what, count
    for device in status["devices"]:
        label = {"device": device["device"], "channel": device["channel"]}
        yield (
            "device_up",
            "1 when the last look was good",
            "gauge",
            label,
            float(device["state"] == "ok"),
        )
        for name in ("looks", "good", "failed", "overruns", "skipped"):
            yield f"device_{name}", f"Device {name}", "counter", label, device[name]
        if device["latency_us"] is not None:
            yield "device_latency_seconds", "Last look", "gauge", label, device["latency_us"] / 1e6
