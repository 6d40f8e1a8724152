"""`headgate verify`: what was stored against what the devices really said."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import timedelta, timezone, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from headgate.errors import HeadgateError
from headgate.messages import Language, language, render_error
from headgate_receiver.duration import seconds

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="Compare what was stored with what the devices said. 核对入库数据与设备真值。",
)
_FAILED, _USAGE = 1, 2
_SHANGHAI = "Asia/Shanghai"


class Format(StrEnum):
    """How the verdict is said."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


@app.command()
def verify(
    truth: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help="What the devices said; may be repeated. 设备真值文件，可重复。"
        ),
    ],
    stored: Annotated[
        str,
        typer.Option(
            metavar="sqlite:FILE|jsonl:FILE", help="What the receiver stored. 接收端存储。"
        ),
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="How to say it. 输出格式。")
    ] = Format.TEXT,
    late: Annotated[
        str, typer.Option(metavar="DURATION", help="Later than this is late. 迟到门限。")
    ] = "5s",
    timezone_: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Whose days. 按哪个时区的自然日统计。")
    ] = _SHANGHAI,
    gateway: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this gateway only. 只核对该网关。")
    ] = None,
) -> None:
    """核对入库数据与设备真值。 Compare what was stored with what the devices said.

    Exit status: 0 nothing is missing, doubled, changed, unexpected or unaccounted for; 1 something is;
    2 it was asked for wrongly.
    """
    from headgate_receiver.verify.judge import judge
    from headgate_receiver.verify.report import as_json, as_junit, as_text
    from headgate_receiver.verify.stored import open_stored
    from headgate_receiver.verify.truth import read_truth

    lang = language(os.environ.get)
    try:
        zone, late_s = _zone(timezone_), seconds(late)
        said = read_truth(*truth)
        with closing(open_stored(stored, gateway)) as store:
            verdict = judge(said, store, late_s=late_s, zone=zone)
    except HeadgateError as error:
        _wrong(error, lang)
        raise typer.Exit(_USAGE) from None
    if format_ is Format.JSON:
        typer.echo(as_json(verdict))
    elif format_ is Format.JUNIT:
        typer.echo(as_junit(verdict, zone))
    else:
        typer.echo(as_text(verdict, lang, zone))
    raise typer.Exit(0 if verdict.good else _FAILED)


def _wrong(error: HeadgateError, lang: Language) -> None:
    typer.echo(render_error(error, lang), err=True)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        if (
            name == _SHANGHAI
        ):  # a small box may have no time zone data; China has one zone, no summer
            return timezone(timedelta(hours=8), _SHANGHAI)
        raise HeadgateError(f"no time zone {name}", code="HG-7502", zone=name) from None
