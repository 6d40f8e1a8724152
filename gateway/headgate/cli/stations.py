"""`headgate stations`: who is on the line of each port that stations dial, who is not, who is a stranger.

`headgate stations ask STATION ERRAND ...` asks one that is on line something besides its values.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.on_wire import shown
from headgate.cli.states import chinese as chinese_of
from headgate.cli.terminal import FAILED, both, reader, tell
from headgate.messages import say

app = typer.Typer(
    rich_markup_mode=None, help=both("Stations that dial in.", "查看拨入的测站。")
)  # fmt: skip

_WORDS = {
    "on-line": ("on line", "在线"),
    "off-line": ("not on line", "离线"),
    "strangers": ("not in the site file", "站点文件中没有"),
    "for": ("for", "已连接"),
    "heard": ("heard", "最近报文"),
    "ago": ("ago", "前"),
    "times": ("times, last", "次，最近"),
    "nothing-to-ask": ("It can be asked nothing but its values.", "除实时数据外无可召测内容。"),
    "no-ports": ("No port that stations dial.", "没有供测站拨入的端口。"),
}


def word(key: str) -> str:
    """A small word in the reader's language."""
    english, chinese = _WORDS[key]
    return chinese if reader() == "zh" else english


@app.callback(invoke_without_command=True)
def stations(
    context: typer.Context,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Every port: stations on line with their address, those that are not, strangers by their number."""
    if context.invoked_subcommand is not None:
        return
    ports = list(call(socket_of(site), "stations"))
    if form == "json":
        typer.echo(json.dumps(ports, ensure_ascii=False))
    else:
        typer.echo("\n".join(page(port) for port in ports) or word("no-ports"))


@app.command(
    context_settings={"ignore_unknown_options": True},
    help=both("Ask a station that is on line.", "向在线测站召测。"),
)
def ask(
    station: Annotated[str, typer.Argument(help=both("Device id or address.", "设备编号或站址。"))],
    errand: Annotated[
        str, typer.Argument(help=both("What; leave it out to see.", "召测项；留空列出。"))
    ] = "",
    arguments: Annotated[
        list[str] | None, typer.Argument(help=both("Its arguments.", "参数。"))
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=both("Do not ask.", "不再询问。"))
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help=both("Output form.", "输出格式。"))
    ] = "text",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """What it can be asked, or one of these: the bytes both ways and the answer."""
    socket = socket_of(site)
    asked = {"device": station, "errand": errand, "arguments": arguments or []}
    said = next(call(socket, "ask", **asked))
    if said.get("asked") is False:
        # Without a terminal nobody can say yes: then nothing is sent.
        question = say("HG-3659", reader(), **said)
        if not yes and not (sys.stdin.isatty() and typer.confirm(question, err=True)):
            tell("HG-3694")
            raise typer.Exit(FAILED)
        said = next(call(socket, "ask", **asked, confirmed=True))
    if form == "json":
        typer.echo(json.dumps(said, ensure_ascii=False))
    else:
        typer.echo("\n".join(answer(said)))


@app.command(help=both("Strangers, as devices for a site file.", "把陌生测站写成设备条目。"))
def strangers(
    profile: Annotated[
        str, typer.Option(help=both("The profile that fits them.", "适用的配置档。"))
    ] = "",
    channel: Annotated[
        str, typer.Option(help=both("Those of one port only.", "只列一个端口。"))
    ] = "",
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """A `[[device]]` for each number that dialled and is nobody's: look at them before you keep them."""
    ports = [p for p in call(socket_of(site), "stations") if channel in ("", p["channel"])]
    found = list(entries_of(ports, profile or _fitting(ports)))
    if not found:
        tell("HG-3690")
        return
    typer.echo("\n".join(found))
    typer.echo(f"# {say('HG-3691', reader(), count=len(found))}", err=True)


def _fitting(ports: list[dict[str, Any]]) -> dict[str, str]:
    """The first profile, by name, that is for the driver of each port; empty where there is none."""
    from headgate.cli.profiles import every_profile
    from headgate.runtime.plugins import load

    plugins = load()
    named = sorted((profile.id, profile.driver) for profile in every_profile(plugins))
    found = {}
    for port in ports:
        kind = plugins.driver_for(port["url"].partition(":")[0])
        fits = [name for name, driver in named if kind is not None and driver == kind.name]
        found[port["channel"]] = fits[0] if fits else ""
    return found


def entries_of(ports: list[dict[str, Any]], profile: str | Mapping[str, str]) -> Iterator[str]:
    """One table of a site file for each stranger of these ports. `profile`: one for all, or by port."""
    for port in ports:
        for each in port["strangers"]:
            number = _plain(each["station"])
            fields = {
                "id": re.sub(r"[^a-z0-9]+", "-", f"{port['channel']}-{number}".lower()).strip("-"),
                "channel": port["channel"],
                "address": number,
                "profile": profile if isinstance(profile, str) else profile[port["channel"]],
            }
            rows = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
            yield f"[[device]]  # {each['peer']}, {each['times']} x\n{rows}"


def answer(said: dict[str, Any]) -> list[str]:
    """What came of asking, as lines of text."""
    if "errands" in said:
        return [
            f"{f'{name} ' + ' '.join(each.get('arguments', ())):<36} {say(each['about'], reader())}"
            for name, each in said["errands"].items()
        ] or [word("nothing-to-ask")]
    lines = [f"  {'>' if way == 'sent' else '<'} {shown(hexed)}" for way, hexed in said["frames"]]
    for each in said["told"]:
        when = f"{each['at']}  " if each["at"] else ""
        lines.append(f"{when}{each['name']}  {_plain(str(each['value']))} {each['unit']}".rstrip())
    if said.get("errand") == "clock" and said.get("own_clock") is False:
        lines.append(say("HG-3696", reader()))
    return lines


def page(port: dict[str, Any]) -> str:
    """One port as text."""
    state = chinese_of(port["state"]) if reader() == "zh" else port["state"]
    lines = [f"{port['channel']}  {state}  {port['url']}"]
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
        lines.append(f"    {say('HG-3692', reader())}")
    return "\n".join(lines)


def _plain(said: str) -> str:
    """What a stranger calls itself, without anything that would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in said)


def _span(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
