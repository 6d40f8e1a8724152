"""`headgate enrolment`: a small enrolment service over a CA in a folder, for labs and districts."""

from __future__ import annotations

import asyncio
import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.certs.common import CaFolder, Passphrase, open_ca, provider_of
from headgate.cli.terminal import both, tell
from headgate.config import HostPort
from headgate.env import Env, system_env
from headgate.errors import SecurityError

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help=both("An enrolment service over a CA.", "基于 CA 目录的入网登记服务。"),
)

_GATEWAY = re.compile(r"[a-z0-9-]{1,64}")


@app.command(help=both("A one-time token for a gateway.", "为网关生成一次性令牌。"))
def token(
    ca: CaFolder,
    gateway: Annotated[str, typer.Argument(metavar="ID", help=both("Gateway.", "网关编号。"))],
    days: Annotated[
        int, typer.Option(min=1, max=90, help=both("How long it is good.", "有效天数。"))
    ] = 7,
) -> None:
    """Say it once; only its digest is kept."""
    from headgate.runtime.enrolment.tokens import Tokens

    env = system_env()
    if not _GATEWAY.fullmatch(gateway):
        raise SecurityError(f"gateway id {gateway!r}", code="HG-6012", gateway=gateway)
    hosting, authority = _hosting(env, ca)
    hosting.bundle()  # makes the folder
    now = authority.now()
    given = Tokens(env, provider_of(env), hosting.folder).give(gateway, now, timedelta(days=days))
    until = f"{now + timedelta(days=days):%Y-%m-%d %H:%M} UTC"
    tell("HG-6132", gateway=gateway, token=given, until=until)


@app.command(help=both("The fingerprint for the paper.", "显示用于书面核对的指纹。"))
def show(ca: CaFolder) -> None:
    """Say it in groups of four."""
    hosting, _ = _hosting(system_env(), ca)
    tell("HG-6133", fingerprint=_fingerprint(hosting))


@app.command(help=both("Serve until interrupted.", "运行服务，直到中断。"))
def serve(
    ca: CaFolder,
    name: Annotated[
        list[str],
        typer.Option(
            "--name", help=both("Host name or address of this service.", "本服务的域名或地址。")
        ),
    ],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help=both("Where to listen.", "监听地址。"))
    ] = "0.0.0.0:8443",
    passphrase: Passphrase = None,
) -> None:
    """Certificates for gateways with a token, renewals for those with a certificate."""
    env = system_env()
    try:
        address = HostPort.parse(listen)
    except ValueError as error:
        raise SecurityError(
            f"{listen}: {error}", code="HG-6150", file=listen, reason=str(error)
        ) from None
    asyncio.run(_serve(env, ca, name, address, passphrase))


async def _serve(
    env: Env, ca: Path, names: list[str], listen: HostPort, passphrase: str | None
) -> None:
    import headgate
    from headgate.audit import AuditLog
    from headgate.runtime.enrolment.hosting import Hosting
    from headgate.runtime.enrolment.server import EnrolmentServer
    from headgate.runtime.enrolment.service import Service
    from headgate.runtime.enrolment.tokens import Tokens

    authority, provider = open_ca(env, ca, passphrase), provider_of(env)
    hosting = Hosting(env, ca, authority)
    bundle = hosting.bundle()
    audit = AuditLog(
        env, hosting.folder / "audit", "enrolment", headgate.__version__, provider.sm3,
        quota_bytes=64 << 20,
    )  # fmt: skip
    tokens = Tokens(env, provider, hosting.folder)
    service = Service(env, provider, authority, tokens, audit, bundle, hosting.given)
    server = EnrolmentServer(env, service, hosting.context(names))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        port = await server.open(listen.host, listen.port)
        tell("HG-6133", fingerprint=_fingerprint(hosting))
        tell("HG-6134", url=f"https://{names[0]}:{port}")
        await stop.wait()
    finally:
        await server.close()
        audit.close()


def _hosting(env: Env, ca: Path) -> tuple[Any, Any]:
    from headgate.crypto.authority import CertificateAuthority
    from headgate.runtime.enrolment.hosting import Hosting

    authority = CertificateAuthority(env, ca, provider_of(env))
    return Hosting(env, ca, authority), authority


def _fingerprint(hosting: Any) -> str:
    from headgate.runtime.enrolment.protocol import fingerprint

    digits = fingerprint(provider_of(system_env()), hosting.bundle())
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))
