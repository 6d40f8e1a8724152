"""`headgate audit verify`: whether the log is what was written, alone or against a platform's heads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from headgate.audit.check import Finding, Report
from headgate.audit.sentence import iso, time_of
from headgate.cli.terminal import FAILED, both, reader, tell
from headgate.messages import fix, say

app = typer.Typer()

Site = Annotated[Path | None, typer.Argument(help=both("Site.", "站点。"))]
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help=both("A copy of the log, instead of a site's.", "日志副本目录（代替站点）。"),
    ),
]
Certificates = Annotated[
    list[Path] | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help=both(
            "The gateway's certificate, that signatures are checked by; again for older ones.",
            "网关证书，用于验证签名；旧证书可重复给出。",
        ),
    ),
]
Heads = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=both(
            "What the platform knows: its store (SQLite), or heads as lines of JSON.",
            "平台保存的日志头：SQLite 库或 JSON 行文件。",
        ),
    ),
]


@app.command(
    help=both("Find every edited, removed or added entry.", "检查审计日志是否被修改、删除或插入。")
)
def verify(
    site: Site = None,
    folder: Folder = None,
    certificate: Certificates = None,
    heads: Heads = None,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
) -> None:
    """Say what is wrong, entry by entry, and exit with 1; or that everything is what was written."""
    from headgate.cli.audit.source import heads_of, source

    log, own = source(site, folder)
    keys = log.keys([*(certificate or ()), *own])
    report = log.check(keys, ())
    if heads is not None:
        report = log.check(keys, heads_of(log.env, heads, report.gateway))
    if form == "json":
        typer.echo(json.dumps(as_json(report), indent=2, ensure_ascii=False))
    else:
        _tell(report, compared=heads is not None)
    if not report.sound:
        raise typer.Exit(FAILED)


def as_json(report: Report) -> dict[str, object]:
    """A report for programs, and for the proof of an export."""
    first, last = report.first, report.last
    return {
        "sound": report.sound, "gateway": report.gateway, "log": report.log,
        "entries": report.entries,
        "first": None if first is None else {"seq": first.seq, "wall": iso(first.wall)},
        "last": None if last is None else {"seq": last.seq, "wall": iso(last.wall)},
        "heads": report.heads, "heads_of_unknown_keys": report.unknown_keys,
        "heads_compared": report.compared,
        "findings": [
            {**msgspec.to_builtins(each), "text": sentence(each)} for each in report.findings
        ],
    }  # fmt: skip


def sentence(finding: Finding) -> str:
    """What was found, in the reader's language."""
    return say(finding.code, reader(), **finding.fields, at=iso(finding.wall_us))


def _tell(report: Report, *, compared: bool) -> None:
    for finding in report.findings:
        typer.echo(f"{sentence(finding)} [{finding.code}]")
        if advice := fix(finding.code, reader(), **finding.fields, at=iso(finding.wall_us)):
            typer.echo(f"    {advice}")
    if report.unknown_keys:
        tell("HG-9322", count=report.unknown_keys, heads=report.heads)
    if not compared:
        tell("HG-9326")
    first, last = report.first, report.last
    tell(
        "HG-9321" if report.sound else "HG-9325",
        gateway=report.gateway, entries=report.entries, findings=len(report.findings),
        first=time_of(first) if first else "-", last=time_of(last) if last else "-",
        heads=report.heads - report.unknown_keys, compared=report.compared,
    )  # fmt: skip
