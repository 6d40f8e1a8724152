"""What `headgate wipe` asks, in which order it does it, and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.terminal import FAILED, both, reader, site_path, tell
from headgate.config import Site
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.messages import say

app = typer.Typer(rich_markup_mode=None)

#: How long a gateway that was told to stop may take.
_STOPPING_S = 60.0


@app.command(
    help=both(
        "Take this gateway out of service: destroy its keys and everything it stored.",
        "网关退役：销毁其密钥与全部存储内容。",
    )
)
def wipe(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    gateway: Annotated[
        str | None,
        typer.Option(metavar="ID", help=both("The gateway's id, instead of asking.", "网关编号。")),
    ] = None,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard-unsent",
            help=both("Also what never arrived.", "未送达的数据也一并销毁。"),
        ),
    ] = False,
    audit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=both("Where the audit log goes before.", "审计日志导出文件。")
        ),
    ] = None,
    fill: Annotated[
        bool,
        typer.Option(
            "--fill", help=both("Fill the free space afterwards.", "随后写满空闲空间再释放。")
        ),
    ] = False,
) -> None:
    """Ask, let the gateway say it upstream, keep the audit log, and destroy: the KEK first."""
    from headgate import config
    from headgate.cli.wipe.destroy import destroy, fill_free_space
    from headgate.env import system_env
    from headgate.runtime.decommission import MARK
    from headgate.runtime.enrolment.kek import CREDENTIAL
    from headgate.runtime.rights import secret_files

    env = system_env()
    loaded = config.load(env, site_path(site))
    folder, name = loaded.state_folder, loaded.gateway.id
    if not env.files.list(folder) or env.files.size(folder / MARK) is not None:
        raise HeadgateError(f"nothing in {folder}", code="HG-9355", folder=str(folder))
    export = audit or Path(f"audit-{name}.jsonl")
    if folder.resolve() in export.resolve().parents:
        raise HeadgateError("into itself", code="HG-9362", file=str(export), folder=str(folder))
    secrets = ", ".join(str(path) for path in secret_files(loaded)) or "-"
    tell("HG-9359", gateway=name, folder=str(folder), secrets=secrets)
    typed = gateway or typer.prompt(say("HG-9350", reader()), err=True)
    if typed.strip() != name:
        tell("HG-9351", gateway=name)
        raise typer.Exit(FAILED)
    lock = _stopped(env, loaded, discard=discard)
    try:
        mark = json.dumps({"gateway": name, "wall_us": env.clock.wall_us()}).encode()
        _keep_audit(folder / "audit", export)
        env.files.replace(folder / MARK, mark, 0o640)
        # Keys lie here, and what seals them does not.
        lying = [env.files.size(folder / each) is not None for each in ("identity.key", "kek")]
        own_key_elsewhere = loaded.identity.kek is None and lying == [True, False]
        emptied = _empty_module(env, loaded)
        done = destroy(loaded)
        if fill:
            fill_free_space(folder)
        env.files.remove(folder / "lock")  # nothing of ours but the mark is left
    finally:
        env.files.unlock(lock)
    for path, reason in done.kept:
        tell("HG-9357", path=str(path), reason=reason)
    tell("HG-9356", gateway=name, files=done.files, bytes=done.overwritten)
    if loaded.identity.kek is not None and loaded.identity.kek.kind == "systemd":
        tell("HG-9363", name=loaded.identity.kek.name)
    elif own_key_elsewhere:
        tell("HG-9363", name=CREDENTIAL)
    tell("HG-9358")
    if done.kept or not emptied:
        raise typer.Exit(FAILED)


def _empty_module(env: Env, site: Site) -> bool:
    """Destroy the keys in a key module; False, and said, when it does not let us."""
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.errors import SecurityError
    from headgate.runtime.enrolment.modules import destroy_keys

    if site.identity.module is None:
        return True
    try:
        count = destroy_keys(env, site, default_provider(env.variable(LIBCRYPTO_VARIABLE)))
    except SecurityError as error:
        tell("HG-6136", module=site.identity.module, reason=str(error))
        return False
    tell("HG-6135", module=site.identity.module, count=count)
    return True


def _stopped(env: Env, site: Site, *, discard: bool) -> int:
    """The lock of the state folder, of a gateway that has said its last word."""
    from headgate.cli.client import call

    lock = env.files.lock(site.state_folder / "lock")
    if lock is not None:
        try:
            _last_entry(env, site, discard=discard)
        except BaseException:
            env.files.unlock(lock)
            raise
        return lock
    said = next(call(site.api_socket, "decommission", gateway=site.gateway.id, discard=discard))
    tell("HG-9364" if said["told"] else "HG-9365")
    deadline = time.monotonic() + _STOPPING_S
    while (lock := env.files.lock(site.state_folder / "lock")) is None:
        if time.monotonic() > deadline:
            raise HeadgateError("still running", code="HG-9360", folder=str(site.state_folder))
        time.sleep(0.1)
    return lock


def _last_entry(env: Env, site: Site, *, discard: bool) -> None:
    """Into the log of a gateway that does not run: nobody is told upstream."""
    import asyncio
    import os

    import headgate
    from headgate.audit import AuditLog, Entry
    from headgate.cli.wipe.unsent import unsent
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.runtime.audited import KeySigner
    from headgate.runtime.identity import load_identity

    waiting = unsent(env, site)
    if waiting.records and not discard:
        records, readings = waiting
        raise HeadgateError("unsent", code="HG-9354", records=records, readings=readings)
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))

    async def write() -> None:
        log = AuditLog(
            env, site.state_folder / "audit", site.gateway.id, headgate.__version__, provider.sm3,
            quota_bytes=site.audit.quota.bytes,
        )  # fmt: skip
        try:
            fields = {"discard": discard, "records": waiting.records, "readings": waiting.readings}
            await log.note(
                Entry(
                    kind="wiped", who=f"uid:{os.getuid()}", what=site.gateway.id, result="ok",
                    fields={**fields},
                )
            )  # fmt: skip
            try:
                key = load_identity(env, site, provider).signing_key
                log.signer = KeySigner(provider, key)
                await log.sign()
            except HeadgateError as error:
                tell("HG-9366", reason=str(error))
        finally:
            log.close()

    asyncio.run(write())
    tell("HG-9365")


def _keep_audit(folder: Path, into: Path) -> None:
    """Export the log; one that is damaged is kept all the same, and says so."""
    from headgate.cli.audit.export import export

    try:
        export(into, folder=folder)
    except typer.Exit:
        pass  # what is wrong with it stands in its proof, and was told
    except HeadgateError as error:
        if error.code != "HG-9330":  # there is none
            raise
