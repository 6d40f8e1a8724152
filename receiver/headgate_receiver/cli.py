"""`headgate receive`: the receiver as a program."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.env import Env, system_env
from headgate.errors import ConfigError, HeadgateError, Problem, SecurityError
from headgate.logs import set_up
from headgate.messages import language, render_error, say
from headgate_receiver.broker import BrokerLink, LinkKind, TlsVersion
from headgate_receiver.duration import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.crypto.provider import CryptoProvider
    from headgate.crypto.x509 import Certificate
    from headgate_receiver.core import Core
    from headgate_receiver.jsonl import JsonLinesSink
    from headgate_receiver.keys import PlatformKeys
    from headgate_receiver.sqlite import SqliteSink

log = logging.getLogger(__name__)

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
)


@app.command(help="Open, check, store and acknowledge what gateways send. 接收、校验、入库并回执。")
def receive(
    keys: Annotated[
        str,
        typer.Option(
            metavar="DIR|unix:SOCKET",
            help="Platform keys as `certs dev` makes them, or their service. 平台密钥目录或密钥服务。",
        ),
    ],
    store: Annotated[str, typer.Option(metavar="STORE", help="sqlite:FILE 或 jsonl:FILE")],
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="mqtt://user@host:1883 或 mqtts://host:8883")
    ] = None,
    carried: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Take in a file of `headgate spool export --format sealed` instead. 导入离线文件。",
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Roots of gateways (PEM), with unix:SOCKET; else ca.crt in DIR. 网关根证书。",
        ),
    ] = None,
    broker_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Authority of the broker's TLS. 服务器 CA。")
    ] = None,
    link: Annotated[
        LinkKind | None,
        typer.Option(
            help="What protects the link; TLS for mqtts:// when absent. 链路保护方式（国密为 rfc8998）。"
        ),
    ] = None,
    client_certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Our certificate for the broker. 本端证书。"),
    ] = None,
    client_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key. 对应私钥。")
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name the broker's certificate must bear, if not the address. 服务器证书名称。",
        ),
    ] = None,
    broker_crl: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Revocation lists for the broker's certificate. 服务器吊销列表。"
        ),
    ] = None,
    trust_system: Annotated[
        bool,
        typer.Option(
            "--trust-system", help="Trust this machine's authorities too. 同时信任系统 CA。"
        ),
    ] = False,
    tls_minimum: Annotated[
        TlsVersion, typer.Option(help="Oldest TLS version taken. 最低 TLS 版本。")
    ] = TlsVersion.NEW,
    sidecar_user: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Account of the sidecar (unix socket). 旁路程序账户。"),
    ] = None,
    identifier: Annotated[
        str, typer.Option(help="MQTT client id, one per receiver. 客户端标识。")
    ] = "headgate-receiver",
    revoked: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Revoked certificates: fingerprints, CRLs of the roots (PEM); SIGHUP: again. 吊销列表。",
        ),
    ] = None,
    new_key: Annotated[
        str | None,
        typer.Option(
            metavar="GATEWAY",
            help="Ask this gateway to seal with a new key, and leave. 要求该网关更换数据密钥。",
        ),
    ] = None,
    resend_after: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="How long a hole may stay before it is asked for. 多久后要求补发。"
        ),
    ] = "10s",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more. 更多日志。")] = False,
) -> None:
    """接收网关数据。 Receive until interrupted.

    A broker password is taken from HEADGATE_BROKER_PASSWORD.
    """
    env = system_env()
    set_up("debug" if verbose else "info", "text")
    # The store keeps the keys of records beside the readings: for this account and its group alone.
    os.umask(0o027)
    try:
        if carried is not None:
            taken = asyncio.run(_take(env, carried, keys, ca, store, revoked))
            typer.echo(say("HG-7062", language(env.variable), **taken))
            return
        if broker is None:
            raise ConfigError([Problem("--broker", "HG-7063", {})])
        terms = BrokerLink(
            kind=link,
            ca=broker_ca,
            system=trust_system,
            certificate=client_certificate,
            key=client_key,
            crl=broker_crl,
            server_name=server_name,
            minimum=tls_minimum,
            sidecar_user=sidecar_user,
        )
        if new_key is not None:
            count = asyncio.run(_ask(env, broker, keys, ca, store, terms, identifier, new_key))
            typer.echo(say("HG-7031", language(env.variable), gateway=new_key, keys=count))
            return
        asyncio.run(
            _run(env, broker, keys, ca, store, terms, identifier, revoked, seconds(resend_after))
        )
    except HeadgateError as error:
        typer.echo(render_error(error, language(env.variable)), err=True)
        raise typer.Exit(2) from None


async def _take(
    env: Env, file: Path, keys: str, ca: Path | None, store: str, revoked: Path | None
) -> dict[str, object]:
    """Store what a file carries; what became of it."""
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate_receiver.carried import take
    from headgate_receiver.core import Core
    from headgate_receiver.revoked import read_revoked

    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    platform, anchors = await open_keys(keys, ca, provider, env)
    try:
        data = env.files.read(file)
    except OSError as error:
        reason = str(error.strerror)
        raise ConfigError([Problem(str(file), "HG-5031", {"reason": reason})]) from None
    sink = open_store(store, env)
    try:
        core = Core(
            provider, sink, platform, anchors,
            lambda: datetime.fromtimestamp(env.clock.wall_us() / 1_000_000, UTC),
            revoked=() if revoked is None else read_revoked(revoked, env.files, anchors, provider),
        )  # fmt: skip
        taken = await take(core, sink, data)
    finally:
        sink.close()
        await _let_go(platform)
    return {"path": file, **taken}


async def _run(
    env: Env,
    broker: str,
    keys: str,
    ca: Path | None,
    store: str,
    link: BrokerLink,
    identifier: str,
    revoked: Path | None,
    resend_after_s: float,
) -> None:
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.mqtt import Settings
    from headgate_receiver.core import Core
    from headgate_receiver.revoked import read_revoked
    from headgate_receiver.service import Receiver

    settings = Settings.from_url(
        broker,
        where="--broker",
        password=env.variable("HEADGATE_BROKER_PASSWORD"),
        # The broker keeps what comes while the receiver restarts.
        identifier=identifier,
        session_s=3600,
    )
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    platform, anchors = await open_keys(keys, ca, provider, env)
    tls = link.context(env, settings)
    sink = open_store(store, env)
    try:
        core = Core(
            provider,
            sink,
            platform,
            anchors,
            lambda: datetime.fromtimestamp(env.clock.wall_us() / 1_000_000, UTC),
            revoked=() if revoked is None else read_revoked(revoked, env.files, anchors, provider),
        )
        receiver = Receiver(
            env, core, sink, platform, settings, tls=tls, resend_after_s=resend_after_s
        )
        task = asyncio.ensure_future(receiver.run())
        loop = asyncio.get_running_loop()
        for wish in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wish, task.cancel)
        if revoked is not None:
            loop.add_signal_handler(
                signal.SIGHUP, _read_again, core, revoked, env, anchors, provider
            )
        with contextlib.suppress(asyncio.CancelledError):
            await task
    finally:
        sink.close()
        await _let_go(platform)


async def _ask(
    env: Env,
    broker: str,
    keys: str,
    ca: Path | None,
    store: str,
    link: BrokerLink,
    identifier: str,
    gateway: str,
) -> int:
    """Ask a gateway for a new key, beside a receiver that runs."""
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.mqtt import Settings, connect
    from headgate_receiver.rotation import ask_new_key

    password = env.variable("HEADGATE_BROKER_PASSWORD")
    # Two connections of one name would throw each other out.
    settings = Settings.from_url(
        broker, where="--broker", password=password, identifier=f"{identifier}-ask"
    )
    provider = default_provider(env.variable(LIBCRYPTO_VARIABLE))
    platform, _ = await open_keys(keys, ca, provider, env)
    sink = open_store(store, env)
    try:
        async with connect(settings, tls=link.context(env, settings)) as line:
            return await ask_new_key(env, sink, platform, line, gateway)
    finally:
        sink.close()
        await _let_go(platform)


async def open_keys(
    keys: str, ca: Path | None, provider: CryptoProvider, env: Env
) -> tuple[PlatformKeys, tuple[Certificate, ...]]:
    """The platform's keys and the roots of gateways, from a folder or from a service.

    Raises:
        ConfigError: a folder that does not hold them, or no roots given.
        KeysUnavailable: no service there.
    """
    from headgate.crypto.x509 import load_certificates
    from headgate_receiver.keys import load_keys

    kind, colon, socket = keys.partition(":")
    if not (colon and kind == "unix"):
        return load_keys(Path(keys), provider, env.files)
    if ca is None:
        raise ConfigError([Problem("--ca", "HG-7029", {})])
    try:
        anchors = load_certificates(env.files.read(ca))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(ca), "HG-7001", {"reason": reason})]) from None
    except SecurityError as error:
        raise ConfigError([Problem(str(ca), "HG-7002", {"reason": str(error)})]) from None
    from headgate_receiver.keyservice.client import RemoteKeys

    return await RemoteKeys.open(env, Path(socket)), anchors


async def _let_go(keys: PlatformKeys) -> None:
    close = getattr(keys, "close", None)
    if close is not None:
        await close()


def _read_again(
    core: Core,
    path: Path,
    env: Env,
    anchors: Sequence[Certificate] = (),
    provider: CryptoProvider | None = None,
) -> None:
    from headgate_receiver.revoked import read_revoked

    try:
        core.revoked = read_revoked(path, env.files, anchors, provider)
    except ConfigError as error:
        # Half an edit must not let anybody in: the list as it was stays in force.
        log.error("revoked certificates stay as they were: %s", error)
    else:
        log.info("revoked certificates read again", extra={"count": len(core.revoked)})


def open_store(store: str, env: Env) -> SqliteSink | JsonLinesSink:
    """The sink that `sqlite:FILE` or `jsonl:FILE` names.

    Raises:
        ConfigError: another kind of store.
        StoreError: the file cannot be used.
    """
    kind, colon, file = store.partition(":")
    if colon and file and kind == "sqlite":
        from headgate_receiver.sqlite import SqliteSink

        return SqliteSink(Path(file), env.files)
    if colon and file and kind == "jsonl":
        from headgate_receiver.jsonl import JsonLinesSink

        return JsonLinesSink(Path(file), env.files)
    raise ConfigError([Problem("--store", "HG-7005", {"text": store})])
