"""`headgate enroll status`: what this box has, what is missing, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.enroll.desk import ask
from headgate.cli.terminal import both, reader, tell

app = typer.Typer(rich_markup_mode=None)

_KEEPERS = {
    "file": (
        "keys sealed under a file in the state folder: protects a copied key file, not a stolen box",
        "私钥由状态目录中的密钥文件加密：可防密钥文件外泄，不防整机被盗",
    ),
    "secret": (
        "keys sealed under a secret that the site file names: as safe as the place it lies in",
        "私钥由站点文件指定的密钥加密：安全性取决于其存放位置",
    ),
    "systemd": (
        "keys sealed under a systemd credential: a disk taken out of a box with TPM yields nothing",
        "私钥由 systemd 凭据加密：带 TPM 的设备硬盘被取走也无法解开",
    ),
    "module": (
        "keys in a module and never outside it",
        "私钥在密码模块内，不出模块",
    ),
}


@app.command(
    "status", help=both("What is there, what is missing, what is next.", "已有、缺少与下一步。")
)
def status(
    site: Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))] = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """Say it, the most pressing first."""
    said = ask(site, "enroll-status")
    if form == "json":
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
        return
    page(said)


def page(said: dict[str, Any]) -> None:
    """The status as text."""
    chinese = reader() == "zh"
    typer.echo(f"{said['gateway']}: {_KEEPERS[said['keeper']][chinese]} {said['module']}".rstrip())
    for each in said["certificates"]:
        days = "" if each["days"] is None else f"  {each['days']:.0f} d"
        typer.echo(
            f"  {each['role']:<30} {each['name']:<24} {each['begins'][:10]} - {each['ends'][:10]}{days}"
        )
    for problem in said["problems"]:
        tell(problem["code"], **problem["fields"])
    if not said["clock_trusted"]:
        tell("HG-6186")
    if not said["problems"]:
        tell("HG-6185")
