"""`headgate opcua`: make a server and this gateway trust each other; look at a server's tree."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.terminal import both, site_path
from headgate.env import Env, system_env
from headgate.errors import HeadgateError
from headgate.messages import Language, fix, language, say

if TYPE_CHECKING:
    from headgate.config import Site
    from headgate.sdk import Channel

app = typer.Typer(
    no_args_is_help=True,
    help=both("OPC UA: trust between server and gateway, browse.", "OPC UA：证书互信与节点浏览。"),
)
ChannelId = Annotated[str, typer.Argument(metavar="CHANNEL")]


@app.command()
def trust(
    channel: ChannelId,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="THUMBPRINT",
            help=both("Trust the server with this thumbprint.", "信任具有此指纹的服务器。"),
        ),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            metavar="THUMBPRINT",
            help=both("Trust this certificate no more.", "不再信任此证书。"),
        ),
    ] = None,
) -> None:
    """证书互信。 Show both certificates; accept the server's, or forget one."""
    env, driver, line, site = _line(channel)
    lang = language(env.variable)
    met: Any = asyncio.run(driver.meet(line))
    _own_by(site)
    if met is None:
        _tell("HG-3336", lang, url=line.url, channel=channel)
        return
    shown = met.server
    ours = _fields(met.ours) | {"path": str(met.ours_at)}
    _tell("HG-3330", lang, **ours)
    if forget is not None:
        typer.echo(str(met.trust.forget(forget.replace(":", "").strip())))
        return
    if accept is None:
        code = "HG-3331" if met.accepted else "HG-3332"
        _tell(code, lang, url=line.url, channel=channel, **_fields(shown))
        typer.echo("\n".join(f"    {each}" for each in met.offered))
        raise typer.Exit(0 if met.accepted else 1)
    # The whole thumbprint: who types it has compared it.
    if accept.replace(":", "").replace(" ", "").upper() != shown.thumbprint:
        raise HeadgateError(
            "another certificate", code="HG-3334", url=line.url, channel=channel,
            thumbprint=accept, shown=shown.thumbprint,
        )  # fmt: skip
    path = met.trust.accept(shown)
    _own_by(site)
    _tell("HG-3333", lang, thumbprint=shown.thumbprint, path=str(path))


@app.command()
def browse(
    channel: ChannelId,
    path: Annotated[
        str, typer.Argument(metavar="[PATH]", help=both("From where.", "起始节点路径。"))
    ] = "/",
    depth: Annotated[int, typer.Option(min=1, max=32)] = 8,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="VENDOR/MODEL",
            help=both("Write a profile to start from.", "输出可供修改的 profile。"),
        ),
    ] = None,
) -> None:
    """浏览节点树。 Print a server's tree, or a profile made of it."""
    _, driver, line, site = _line(channel)
    try:
        typer.echo(asyncio.run(driver.browse(line, path, depth, profile)))
    finally:
        _own_by(site)


def _line(channel: str) -> tuple[Env, Any, Channel, Site]:
    """The driver and the channel of a site, without the running gateway: a second session."""
    from headgate import config
    from headgate.runtime.field import own_line
    from headgate.runtime.plugins import load

    env = system_env()
    site = config.load(env, site_path(None))
    driver = load().drivers.get("opcua")
    known = [entry.id for entry in site.channel if entry.url.scheme == "opc.tcp"]
    if channel not in known or driver is None:
        raise HeadgateError(
            f"no OPC UA channel {channel}", code="HG-3335", channel=channel,
            known=", ".join(known) or "-",
        )  # fmt: skip
    return env, driver(), own_line(env, site, site.channels[channel]), site


def _fields(seen: Any) -> dict[str, str]:
    return {
        "name": seen.name or "-",
        "uri": seen.uri or "-",
        "thumbprint": seen.thumbprint,
        "end": f"{seen.not_after:%Y-%m-%d}",
    }


def _own_by(site: Site) -> None:
    """What root makes in the state folder belongs to the gateway's user, as the folder does.

    Above all our key, which nobody else may read.
    """
    folder = Path(site.state_folder)
    owner = folder.stat()
    for each in (folder / "opcua", *(folder / "opcua").rglob("*")):
        with suppress(OSError):
            os.chown(each, owner.st_uid, owner.st_gid)


def _tell(code: str, lang: Language, **fields: str) -> None:
    typer.echo(say(code, lang, **fields))
    typer.echo(f"    {fix(code, lang, **fields)}")
