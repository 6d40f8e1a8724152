"""`headgate stations`: who is on the line of each port that stations dial, who is not, who is a stranger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.terminal import both, reader

app = typer.Typer(rich_markup_mode=None)

_WORDS = {
    "on-line": ("on line", "在线"),
    "off-line": ("not on line", "离线"),
    "strangers": ("not in the site file", "站点文件中没有"),
    "for": ("for", "已连接"),
    "heard": ("heard", "最近报文"),
    "ago": ("ago", "前"),
    "times": ("times, last", "次，最近"),
    "no-ports": ("No port that stations dial.", "没有供测站拨入的端口。"),
}


def word(key: str) -> str:
    """A small word in the reader's language."""
    english, chinese = _WORDS[key]
    return chinese if reader() == "zh" else english


@app.command(help=both("Stations that dial in.", "查看拨入的测站。"))
def stations(
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Every port: stations on line with their address, those that are not, strangers by their number."""
    ports = list(call(socket_of(site), "stations"))
    if form == "json":
        typer.echo(json.dumps(ports, ensure_ascii=False))
    else:
        typer.echo("\n".join(page(port) for port in ports) or word("no-ports"))


def page(port: dict[str, Any]) -> str:
    """One port as text."""
    lines = [f"{port['channel']}  {port['state']}  {port['url']}"]
    lines.append(f"  {word('on-line')}: {len(port['on_line'])}")
    lines += [
        f"    {each['station']:<12} {each['peer']:<24} {word('for')} {_span(each['since_s'])}, "
        f"{word('heard')} {_span(each['heard_s'])} {word('ago')}"
        for each in sorted(port["on_line"], key=lambda each: each["station"])
    ]
    lines.append(f"  {word('off-line')}: {len(port['off_line'])}")
    lines += [f"    {address}" for address in sorted(port["off_line"])]
    if port["strangers"]:
        lines.append(f"  {word('strangers')}: {len(port['strangers'])}")
        lines += [
            f"    {_plain(each['station']):<12} {each['peer']:<24} {each['times']} "
            f"{word('times')} {_span(each['ago_s'])} {word('ago')}"
            for each in port["strangers"]
        ]
    return "\n".join(lines)


def _plain(said: str) -> str:
    """What a stranger calls itself, without anything that would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def _span(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
