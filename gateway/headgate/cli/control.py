"""`headgate control`: what may be commanded here, what is forced, who is locked out, who signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.terminal import both, reader, site_path, tell
from headgate.messages import explain, say

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True,
    help=both("Commands: controls, leases, lock, signatures.", "远方控制：控制项、租期、锁定、签名。"),
)  # fmt: skip

SiteOption = Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))]

_WORDS: dict[str, tuple[str, str]] = {
    "forced": ("forced to {value} by {who}, {left_s:.0f} s left, then {on_lease_end}",
               "被 {who} 强制为 {value}，剩余 {left_s:.0f} 秒，之后 {on_lease_end}"),
    "ending": ("its lease is over, and its end is not written yet", "租期已过，收尾写入尚未完成"),
    "free": ("free", "未强制"),
    "people": ("{people} people", "需 {people} 人"),
    "none": ("no point may be commanded: the site has no [[control]]",
             "没有可控测点：站点中没有 [[control]]"),
    "locked": ("LOCKED by {who}: {reason}", "已被 {who} 锁定：{reason}"),
    "not-in-force": ("NOT IN FORCE: {reason}", "未生效：{reason}"),
    "last": ("last commands", "最近命令"),
}  # fmt: skip


@app.command(
    "list", help=both("Controls, what is forced, last commands.", "控制项、强制状态与最近命令。")
)
def show(
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: SiteOption = None,
) -> None:
    """Ask the running gateway."""
    said = next(call(socket_of(site), "controls"))
    if form == "json":
        typer.echo(json.dumps(said, ensure_ascii=False))
        return
    if not said["in_force"]:
        typer.echo(_word("not-in-force", reason=said["reason"]))
    if said["locked"]:
        typer.echo(_word("locked", **said["locked"]))
    if not said["controls"]:
        typer.echo(_word("none"))
    leases = {(lease["device"], lease["point"]): lease for lease in said["leases"]}
    for control in said["controls"]:
        lease = leases.get((control["device"], control["point"]))
        typer.echo(f"{control['device']}/{control['point']}  {_limits(control)}  {_forced(lease)}")
    if said["commands"]:
        typer.echo(f"\n{_word('last')}")
    for each in said["commands"][-10:]:
        what = f"{each['device']}/{each['point']} {each['operation']} {each['value']}"
        code = f"  [{each['code']}] {_why(each)}" if each["code"] else ""
        typer.echo(f"  {each['state']:<11} {what}  {each['who']}{code}")


def _why(command: Mapping[str, Any]) -> str:
    """Why a command ended as it did, in the reader's language; as it was written down where that is all."""
    entry, fields = explain(command["code"]), command.get("fields", {})
    if entry is None or not entry.placeholders(reader()) <= set(fields):
        return str(command["text"])
    return say(command["code"], reader(), **fields)


@app.command(help=both("Take no remote commands.", "锁定远方控制。"))
def lock(
    reason: Annotated[str, typer.Argument(help=both("Why, for the others.", "原因，供他人查看。"))],
    site: SiteOption = None,
) -> None:
    """Holds over restarts, until `unlock`."""
    next(call(socket_of(site), "control-lock", reason=reason))
    tell("HG-6570", reason=reason)


@app.command(help=both("Take remote commands again.", "解除锁定。"))
def unlock(site: SiteOption = None) -> None:
    """Whoever locked it should be the one to do this."""
    next(call(socket_of(site), "control-unlock"))
    tell("HG-6571")


@app.command(help=both("End what is forced now.", "立即释放强制值。"))
def release(
    device: Annotated[str, typer.Argument(help=both("Device id.", "设备编号。"))],
    point: Annotated[str, typer.Argument(help=both("Point name.", "测点名。"))],
    site: SiteOption = None,
) -> None:
    """As at the end of its lease: by the control's on_lease_end."""
    next(call(socket_of(site), "control-release", device=device, point=point))
    tell("HG-6572", device=device, point=point)


@app.command(help=both("Sign the controls, as a technician.", "以技术人员身份签署控制项。"))
def sign(
    key: Annotated[Path, typer.Option(help=both("Your private key (PEM).", "您的私钥（PEM）。"))],
    certificate: Annotated[
        Path, typer.Option(help=both("Your certificate (PEM).", "您的证书（PEM）。"))
    ],
    site: SiteOption = None,
) -> None:
    """Add a signature of the controls as they are to the site's file; older ones that no longer fit go."""
    from headgate import config
    from headgate.crypto.provider import default_provider
    from headgate.crypto.x509 import Role, load_certificates
    from headgate.env import system_env
    from headgate.errors import HeadgateError, SecurityError
    from headgate.runtime.commands import signed

    env, provider = system_env(), default_provider()
    loaded = config.load(env, site_path(site))
    try:
        chain = load_certificates(certificate.read_bytes())
        private = provider.sm2_load_private(key.read_bytes())
    except (OSError, SecurityError) as error:
        raise HeadgateError(str(error), code="HG-6574", reason=str(error)) from None
    if chain[0].role is not Role.TECHNICIAN or chain[0].spki != private.public.spki:
        reason = f"{chain[0].subject_cn}: {chain[0].subject_ou}"
        raise HeadgateError("no technician's key", code="HG-6574", reason=reason)
    path = loaded.path(loaded.controls.signatures)
    # Whether the roots vouch for the others is for the gateway to say; those of an earlier state go.
    kept = [
        each
        for each in signed.read_signatures(env.files, path)
        if each.who != chain[0].subject_cn and signed.is_of(provider, loaded, each)
    ]
    kept.append(signed.sign(provider, loaded, private, chain))
    env.files.replace(path, signed.write_signatures(kept))
    tell(
        "HG-6573", who=chain[0].subject_cn, gateway=loaded.gateway.id, count=len(kept),
        wanted=signed.PEOPLE,
    )  # fmt: skip


def _limits(control: dict[str, Any]) -> str:
    parts = ["/".join(control["operations"])]
    if control["min"] is not None or control["max"] is not None:
        parts.append(f"{control['min']}..{control['max']} {control['unit']}")
    if control["people"] > 1:
        parts.append(_word("people", **control))
    return ", ".join(parts)


def _forced(lease: dict[str, Any] | None) -> str:
    if lease is None:
        return _word("free")
    return _word("ending" if lease["ending"] or lease["left_s"] <= 0 else "forced", **lease)


def _word(name: str, **fields: Any) -> str:
    return _WORDS[name][reader() == "zh"].format(**fields)
