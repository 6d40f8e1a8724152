"""Small audit logs: written by the product, read line by line."""

from __future__ import annotations

from pathlib import Path

from headgate.audit import AuditLog, Entry, Head, Signer
from headgate.audit.line import Found, scan
from headgate.crypto.provider import default_provider
from headgate.runtime.audited import KeySigner
from headgate.testing.env import ManualClock, fake_env, run

PROVIDER = default_provider()
SIGNING = PROVIDER.sm2_generate()
KEY = KeySigner(PROVIDER, SIGNING)
KEYS = {KEY.key.hex(): SIGNING.public.verify}


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


def filled(
    folder: Path, *, starts: int = 2, signer: Signer | None = None, later_s: int = 0
) -> list[Head]:
    """A small log of some starts; its heads."""
    heads: list[Head] = []

    async def main() -> None:
        for start in range(starts):
            clock = ManualClock()
            clock.advance(later_s + start * 7200)
            remembered = heads[-1].seq if heads else 0
            log = opened(folder, env=fake_env(clock), remembered=remembered)
            log.signer, log.on_head = signer or KEY, heads.append
            await log.note(entry())
            await log.note(entry("command-accepted", value=3.5, mode="auto"))
            await log.hourly()
            await log.note(entry("stopping"))
            log.close()

    run(main)
    return heads
