"""`headgate audit show`: the entries as sentences; `headgate audit tail`: the newest, and those that come."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Annotated

import typer

from headgate.audit.line import Found, Line, scan
from headgate.audit.sentence import result_word, time_of
from headgate.audit.sentence import sentence as in_words
from headgate.cli.audit.selected import wanted
from headgate.cli.audit.verify import Folder, Site
from headgate.cli.terminal import both, reader

app = typer.Typer()

Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help=both("From this time on, ISO 8601, UTC.", "起始时间。")),
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help=both("Before this time.", "截止时间。"))
]
Kind = Annotated[
    str | None,
    typer.Option(help=both("Only this kind, or kinds that begin so.", "仅此类（或以此开头）。")),
]
Who = Annotated[str | None, typer.Option(help=both("Only this person or part.", "仅此人或部件。"))]
Last = Annotated[
    int, typer.Option(min=1, max=100_000, help=both("At most the last so many.", "最近的条数。"))
]


@app.command(help=both("Show entries as sentences.", "以文字列出审计记录。"))
def show(
    site: Site = None,
    folder: Folder = None,
    since: Since = None,
    until: Until = None,
    kind: Kind = None,
    who: Who = None,
    last: Last = 200,
    counts: Annotated[
        bool, typer.Option("--counts", help=both("How many of each kind.", "按类别计数。"))
    ] = False,
) -> None:
    """Times are UTC; a `?` behind one says that nobody vouched for the clock, a `~` that it ran by itself."""
    from headgate.cli.audit.source import source

    log, _ = source(site, folder)
    asked = wanted(since, until, kind, who)
    found = (item.line for _, item in log.lines() if asked.has(item.line))
    if counts:
        for name, count in Counter(line.kind for line in found).most_common():
            typer.echo(f"{count:>8}  {name}")
        return
    for line in deque(found, maxlen=last):
        typer.echo(as_text(line))


@app.command(help=both("Show the newest entries, and new ones as they come.", "持续显示最新记录。"))
def tail(site: Site = None, folder: Folder = None, last: Last = 20) -> None:
    """Until Ctrl-C."""
    from headgate.cli.audit.source import source

    log, _ = source(site, folder)
    lines = deque(log.lines(), maxlen=last)
    for _, item in lines:
        typer.echo(as_text(item.line))
    number, offset = (lines[-1][0], lines[-1][1].end) if lines else (0, 0)
    while True:
        time.sleep(0.5)
        for each in [n for n in log.numbers() if n >= number]:
            data = log.files.read(each)
            if each != number:
                number, offset = each, 0
            for came in scan(data[offset:]):
                if isinstance(came, Found):
                    typer.echo(as_text(came.line))
            offset = data.rfind(b"\n") + 1


def as_text(line: Line) -> str:
    """One line of the terminal."""
    language = reader()
    result = result_word(line, language)
    return f"{time_of(line):<25} {line.seq:>7} {result:<7} {in_words(line, language)}"
