"""`headgate trace CHANNEL`: the bytes of a line as they go, and a file of them that is a case at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from headgate.cli.client import call, socket_of
from headgate.cli.decode import as_text, codec_of, driver_of
from headgate.cli.on_wire import shown
from headgate.cli.terminal import both, tell
from headgate.env import system_env
from headgate.errors import HeadgateError
from headgate.sdk import StreamCodec

app = typer.Typer(rich_markup_mode=None)


@app.command(help=both("Show the bytes of a line.", "查看线路上的报文。"))
def trace(
    channel: Annotated[str, typer.Argument(help=both("Channel id.", "通道编号。"))],
    save: Annotated[
        Path | None,
        typer.Option(help=both("Also write them here.", "同时保存到文件。"), show_default=False),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--decode",
            metavar="PROTOCOL",
            help=both("Say what they mean.", "同时解读报文。"),
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help=both("Stop after this long.", "持续时长（秒）。"), min=0)
    ] = None,
    site: Annotated[Path | None, typer.Option("--from", help=both("Site.", "站点。"))] = None,
) -> None:
    """Until Ctrl-C, or until the time is over. Nothing is asked for it: it shows what goes by itself."""
    frames: list[dict[str, Any]] = []
    head: dict[str, Any] = {}
    meaning = Meaning(protocol, site) if protocol else None
    try:
        with _ended_by_a_signal():
            for said in call(socket_of(site), "trace", channel=channel, seconds=seconds):
                if "hex" in said:
                    frames.append(said)
                    typer.echo(_line(said, head))
                    for line in meaning.of(said) if meaning else ():
                        typer.echo(line)
                elif "url" in said:
                    head = said
                elif said.get("dropped"):
                    typer.echo(f"# {said['dropped']} not shown", err=True)
    except KeyboardInterrupt:
        pass
    finally:
        # However it ended: a gateway that stops and a pager that is left do not take the bytes along.
        if save is not None and head:
            _save(save, head, frames)
    if save is not None and head:
        tell("HG-9154", frames=len(frames), path=save)


class Meaning:
    """What the bytes of a line mean. Each caller is a stream of its own, and so is what is said to it."""

    def __init__(self, protocol: str, site: Path | None = None) -> None:
        self._driver = driver_of(protocol, site=site)
        self._codecs: dict[tuple[str, str], StreamCodec[Any]] = {}

    def of(self, frame: Mapping[str, Any]) -> Iterator[str]:
        """Frames and faults that are complete now, indented."""
        # A caller is its address; the name behind it is known a little later.
        caller = str(frame.get("who", "")).partition(" ")[0]
        place = caller, frame["way"]
        codec = self._codecs.get(place)
        if codec is None:
            codec = self._codecs[place] = codec_of(self._driver)
        for event in codec.feed(bytes.fromhex(frame["hex"])):
            yield from (f"    {line}" for line in as_text(self._driver, event, ""))


@contextmanager
def _ended_by_a_signal() -> Iterator[None]:
    """`timeout 60 headgate trace ...` and a service that stops end a trace as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _save(path: Path, head: dict[str, Any], frames: list[dict[str, Any]]) -> None:
    try:
        system_env().files.replace(path, "\n".join(saved(head, frames)).encode() + b"\n")
    except OSError as error:
        fields = {"path": str(path), "reason": error.strerror or str(error)}
        raise HeadgateError("not written", code="HG-9004", **fields) from error


def _line(frame: dict[str, Any], head: dict[str, Any]) -> str:
    wall_s = (head["wall_us"] + frame["at_us"] - head["now_us"]) / 1e6
    clock = time.strftime("%H:%M:%S", time.localtime(wall_s))
    arrow = ">" if frame["way"] == "sent" else "<"
    who = f"{frame['who']} " if "who" in frame else ""
    return f"{clock}.{int(wall_s * 1000) % 1000:03d} {who}{arrow} {shown(frame['hex'])}"


def saved(head: dict[str, Any], frames: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of a trace file: `> request`, `< answer`, in turns, comments after `#`.

    Pieces of one answer are joined. Where several requests were in flight, an answer stands behind the
    one that begins as it does. What nobody had asked for is a comment, but on a line where nobody asks.
    Who dials in is asked by nobody: there each piece is a line, with who it was.
    """
    began = datetime.fromtimestamp(head["wall_us"] / 1e6, UTC)
    yield f"# headgate trace of {head['channel']}, {head['url'].partition('?')[0]}"
    yield f"# {began:%Y-%m-%d %H:%M:%S} UTC; seconds since then stand behind each frame"
    if any("who" in frame for frame in frames):
        for frame in frames:
            arrow = ">" if frame["way"] == "sent" else "<"
            at_s = (frame["at_us"] - head["now_us"]) / 1e6
            yield f"{arrow} {frame['hex']}  # {at_s:.3f} {frame.get('who', '')}".rstrip()
        return
    turns: list[tuple[str, str, str]] = []  # request, when, answer; a stray answer has no request
    for frame in frames:
        hexed, at = frame["hex"], f"# {(frame['at_us'] - head['now_us']) / 1e6:.3f}"
        if frame["way"] == "sent":
            turns.append((hexed, at, ""))
            continue
        place = _answers(turns, hexed)
        if place is None:
            turns.append(("", at, hexed))
        else:
            request, sent_at, before = turns[place]
            turns[place] = (request, sent_at, f"{before} {hexed}".strip())
    talks = not any(request for request, _, _ in turns)
    for request, at, answer in turns:
        if request:
            yield f"> {request}  {at}"
        if answer:
            yield f"< {answer}" if request else f"{'' if talks else '# '}< {answer}  {at}"


def _answers(turns: list[tuple[str, str, str]], hexed: str) -> int | None:
    """Which request these bytes answer: the last open one that begins alike, or the last of all."""
    recent = range(len(turns) - 1, max(-1, len(turns) - 65), -1)
    for place in recent:
        request, _, answer = turns[place]
        if request and not answer and request[:5] == hexed[:5]:
            return place
    last = len(turns) - 1
    return last if turns and turns[last][0] else None
