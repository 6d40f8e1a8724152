"""The audit log of a running gateway: durable before `note` returns, and telling of its own losses."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.audit import AuditLog, Entry
from headgate.audit.line import NOTHING, Found, scan
from headgate.crypto.provider import default_provider
from headgate.testing.env import ManualClock, fake_env, run

PROVIDER = default_provider()


def entry(kind: str = "started", **fields: object) -> Entry:
    return Entry(kind=kind, who="gateway", what="hg", result="ok", fields=fields)  # type: ignore[arg-type]


def opened(folder: Path, **more: object) -> AuditLog:
    env = more.pop("env", None) or fake_env(ManualClock())
    return AuditLog(env, folder, "hg-1", "0.1", PROVIDER.sm3, quota_bytes=1 << 24, **more)  # type: ignore[arg-type]


def lines(folder: Path) -> list[Found]:
    found = []
    for path in sorted(folder.glob("*.log")):
        for each in scan(path.read_bytes()):
            assert isinstance(each, Found), each
            found.append(each)
    return found


def test_each_entry_hangs_on_the_one_before(tmp_path: Path) -> None:
    async def main() -> None:
        log = opened(tmp_path / "audit")
        await log.note(entry())
        await log.note(entry("stopping"))
        log.close()

    run(main)
    found = lines(tmp_path / "audit")
    assert [f.line.kind for f in found] == ["log-opened", "started", "stopping"]
    assert [f.line.seq for f in found] == [1, 2, 3]
    assert found[0].line.previous == NOTHING
    for before, after in zip(found, found[1:], strict=False):
        assert after.line.previous == PROVIDER.sm3(before.text).hex()
