"""`headgate uplink test`: the way to a platform, step by step, and the first step that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headgate.cli.terminal import FAILED, both, reader, site_path, tell
from headgate.errors import ConfigError, HeadgateError, Problem
from headgate.sdk import ProbeStep

if TYPE_CHECKING:
    from headgate.config import Site, Uplink
    from headgate.env import Env

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

_STEPS: dict[str, tuple[str, str]] = {
    "name": ("name resolution", "域名解析"),
    "tcp": ("TCP connection", "TCP 连接"),
    "tls": ("TLS", "TLS"),
    "certificate": ("certificate", "证书"),
    "login": ("login", "登录"),
    "subscribe": ("receipts may be read", "可读取回执"),
    "publish": ("records may be sent", "可发送记录"),
    "receiver": ("a receiver listens", "平台接收端在线"),
    "receipt": ("receipts come", "收到回执"),
}
_MARKS = {True: "ok", False: "FAILED", None: "-"}


@app.callback()
def uplink() -> None:
    """上行链路。 Ways to platforms."""


@app.command(
    "test", help=both("Try the way to a platform, step by step.", "逐步测试到平台的链路。")
)
def probe(
    uplink_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help=both("One uplink; all when absent.", "上行编号，不写则全部。")
        ),
    ] = None,
) -> None:
    """Exit status 1 when a step failed. Works with the gateway running and stopped."""
    from headgate import config
    from headgate.env import system_env
    from headgate.runtime.installed import plugins_of
    from headgate.runtime.outlets import context_of

    env = system_env()
    site = config.load(env, site_path())
    entries = [each for each in site.uplink if each.enabled and uplink_id in (None, each.id)]
    if not entries:
        names = ", ".join(each.id for each in site.uplink) or "-"
        raise HeadgateError("no such uplink", code="HG-5053", uplink=uplink_id or "-", known=names)
    kinds = plugins_of(env, site)[0].uplinks
    running = _states(site)
    _hold_pair(env, site, entries)
    failed = False
    for entry in entries:
        typer.echo(f"{entry.id} ({entry.type}) {entry.url}")
        kind = kinds.get(entry.type)
        if kind is None:
            raise ConfigError([Problem(f"uplink {entry.id}", "HG-9125", {"type": entry.type})])
        steps = asyncio.run(kind(context_of(env, site, entry, bytes(8))).probe())
        failed |= not _say(steps, entry.ack, running, entry.id)
    if failed:
        raise typer.Exit(FAILED)


def _hold_pair(env: Env, site: Site, entries: Sequence[Uplink]) -> None:
    """For SM links that show what enrolment brought: the box's own certificate. Nothing is made."""
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate.link.own import hold
    from headgate.runtime.identity import load_identity
    from headgate.runtime.linkpair import link_pair

    wanted = any(each.link == "rfc8998" and each.client_certificate is None for each in entries)
    if not wanted or env.files.size(site.state_folder / "identity.key") is None:
        return
    identity = load_identity(env, site, default_provider(env.variable(LIBCRYPTO_VARIABLE)))
    hold(site.gateway.id, lambda: link_pair(identity))


def _say(
    steps: Sequence[ProbeStep], ack: str, running: Mapping[str, str] | None, uplink_id: str
) -> bool:
    """Print the steps; whether the way is good."""
    for step in steps:
        _line(step.name, step.passed, step.detail if step.passed else "")
        if not step.passed:
            tell(step.code, **step.fields)
            return False
    if not steps:
        tell("HG-5054")
        return True
    if "receiver" in {step.name for step in steps} or "publish" in {step.name for step in steps}:
        return ack != "platform" or _receipts(running, uplink_id)
    return True


def _receipts(running: Mapping[str, str] | None, uplink_id: str) -> bool:
    """The last step is the running gateway's to know: a receipt answers a record, and only it has some."""
    state = None if running is None else running.get(uplink_id)
    if state is None:
        _line("receipt", None, "")
        tell("HG-5052")
        return True
    good = state == "online"
    _line("receipt", good, state)
    if state == "no receipts":
        tell("HG-5024")
    elif not good:
        tell("HG-5055", state=state)
    return good


def _line(name: str, passed: bool | None, detail: str) -> None:
    english, chinese = _STEPS.get(name, (name, name))
    word = chinese if reader() == "zh" else english
    typer.echo(f"  {_MARKS[passed]:<7}{word}{f'  {detail}' if detail else ''}")


def _states(site: Any) -> Mapping[str, str] | None:
    """The running gateway's word on its uplinks; None when none runs."""
    from headgate.cli.client import call

    try:
        return dict(_pairs(next(call(site.api_socket, "status"))))
    except (HeadgateError, StopIteration):
        return None


def _pairs(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for said in status.get("uplinks", ()):
        yield said["id"], said["state"]
