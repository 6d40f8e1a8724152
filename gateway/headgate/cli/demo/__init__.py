"""`headgate demo`: the whole road on this machine, before one's eyes, with a verdict at the end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from headgate.cli.terminal import both, reader
from headgate.errors import HeadgateError

app = typer.Typer(rich_markup_mode=None)
#: Exit status of a program that was interrupted.
INTERRUPTED = 130


@app.command(
    help=both(
        "Gauges, manholes, stations, pumps, tags; gateway, broker, receiver; the broker goes; a verdict.",
        "水位计、井盖、遥测站、泵站与蓝牙标签；网关、MQTT 服务器与接收端；中途断开服务器；最后核对。",
    )
)
def demo(
    seconds: Annotated[
        float, typer.Option(min=6, max=86_400, help=both("How long.", "运行多少秒。"))
    ] = 40,
    plain: Annotated[
        bool, typer.Option("--plain", help=both("A line a second.", "每秒一行文本。"))
    ] = False,
    broker: Annotated[
        Literal["mosquitto", "amqtt"] | None,
        typer.Option(
            help=both("Which broker; the first that is there.", "使用哪种 MQTT 服务器。"),
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=both("Keep everything there.", "保留全部文件的目录。")),
    ] = None,
) -> None:
    """Run the demo. Exit status: that of `headgate verify`; 130 when interrupted."""
    lang = reader()
    folder = _folder(keep)
    try:
        status, words = asyncio.run(_run(folder, seconds, broker, plain or not sys.stdout.isatty()))
        typer.echo(words.rstrip())
    except (asyncio.CancelledError, KeyboardInterrupt):
        status = INTERRUPTED
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if keep is not None:
        from headgate.messages import say

        typer.echo(say("HG-9526", lang, folder=folder))
    raise typer.Exit(status)


async def _run(
    folder: Path, seconds: float, broker: Literal["mosquitto", "amqtt"] | None, plain: bool
) -> tuple[int, str]:
    from headgate.cli.demo.page import open_page
    from headgate.cli.demo.play import play

    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    page = open_page(reader(), plain=plain)
    try:
        return await play(folder, seconds, reader(), page, broker)
    finally:
        page.close()


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="headgate-demo-"))
    folder = keep.absolute()
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
    if not folder.is_dir() or any(folder.iterdir()):
        raise HeadgateError(f"{folder} is not empty", code="HG-9512", folder=folder)
    return folder
