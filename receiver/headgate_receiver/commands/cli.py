"""`headgate command`: select, operate, watch. What is done is said when it was read back, and not before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headgate_receiver.commands.session import (
    ENV,
    approvals,
    drafted,
    facts_of,
    opened,
    seconds_of,
    text_of,
    value_given,
    watched,
)
from headgate_receiver.commands.telling import DONE, REFUSED, plan

if TYPE_CHECKING:
    from headgate_receiver.commands.commander import Commands
    from headgate_receiver.commands.results import SqliteResults

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    help="Select, operate and watch what a gateway may move. 选择、执行并跟踪远程控制命令。",
)
#: What a selection must still be good for when OPERATE leaves.
_SPARE_MS = 3_000

OperatorOption = Annotated[
    Path | None,
    typer.Option(
        "--operator",
        metavar="FILE",
        envvar="HEADGATE_OPERATOR",
        help="Your key, broker and journal; operator.toml here when absent. 操作员文件。",
    ),
]
Form = Annotated[Literal["text", "json"], typer.Option("--format", help="Output form. 输出格式。")]
Wait = Annotated[
    float, typer.Option("--wait", metavar="S", help="Seconds to wait for the end. 等待结果秒数。")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. 不再询问。")]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="GATEWAY DEVICE POINT VALUE | ID",
        help="What to set (-- before a negative value), or a prepared command. 目标与值，或命令编号。",
    ),
]
Id = Annotated[
    str, typer.Argument(metavar="ID", help="The id, or how it begins. 命令编号（可只写开头）。")
]
Unit = Annotated[
    str | None, typer.Option(help="UCUM; taken from the store when absent. 单位，缺省取自库。")
]
Lease = Annotated[
    str, typer.Option(metavar="TIME", help="How long it may stay so. 强制值保持时间（租期）。")
]
Window = Annotated[
    str, typer.Option(metavar="TIME", help="How long the command is good for. 命令有效时间。")
]
Release = Annotated[
    bool, typer.Option("--release", help="Give the point back; no VALUE. 提前交还，不写值。")
]
Approvals = Annotated[
    list[Path] | None,
    typer.Option(
        "--approval", metavar="FILE", help="Another person's approval. 他人的批准文件，可重复。"
    ),
]


# ---------------------------------------------------------------- asking


@app.command(
    help="Write a command down and a request for others to approve. Nothing is sent. 起草命令。"
)
def prepare(
    words: Words,
    operator: OperatorOption = None,
    unit: Unit = None,
    lease: Lease = "15min",
    window: Window = "10min",
    release: Release = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the request goes. 请求文件。")
    ] = None,
    form: Form = "text",
) -> None:
    """Draft a command; print its id and the request."""
    from headgate_receiver.commands.approvals import write_request

    with opened(operator, form) as session:
        content = drafted(session, words, unit, lease, window, release)
        text = write_request(content)
        if out is not None:
            ENV.files.replace(out, text.encode(), 0o644)
        session.show(session.journal.standing(content.command))
        if out is None:
            typer.echo(text, err=form == "json")


@app.command(
    help="Reserve the device and check everything; it moves nothing. 选择：校验并预占设备。"
)
def select(
    words: Words,
    operator: OperatorOption = None,
    unit: Unit = None,
    lease: Lease = "15min",
    window: Window = "10min",
    release: Release = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A request with the token, for a second person. 含令牌的批准请求。"
        ),
    ] = None,
    form: Form = "text",
) -> None:
    """SELECT."""
    from headgate_receiver.commands.approvals import write_request

    with opened(operator, form) as session:
        content = drafted(session, words, unit, lease, window, release)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            standing = await commands.select(content.command)
            session.show(standing)
            if out is not None:
                request = write_request(content, standing.token)
                ENV.files.replace(out, request.encode(), 0o600)
            seconds = (standing.last.token_ms if standing.last else 0) // 1000
            session.say("HG-7131", seconds=seconds, command=content.command.hex()[:12])
            return DONE if standing.state == "selected" else session.end(standing)

        raise typer.Exit(session.run(work))


@app.command(
    help="Have a selected command carried out, once; wait for the read-back. 执行已选择的命令。"
)
def operate(
    command: Id,
    operator: OperatorOption = None,
    approval: Approvals = None,
    wait: Wait = 60.0,
    form: Form = "text",
) -> None:
    """OPERATE."""
    with opened(operator, form) as session:
        wanted = session.journal.find(command)
        messages = approvals(approval)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            await commands.operate(wanted, messages)
            return await watched(session, commands, wanted, wait)

        raise typer.Exit(session.run(work))


@app.command(
    help="Select, show what will happen, ask, operate, and wait for the read-back. 一步完成。"
)
def do(
    words: Words,
    operator: OperatorOption = None,
    unit: Unit = None,
    lease: Lease = "15min",
    window: Window = "10min",
    release: Release = False,
    approval: Approvals = None,
    wait: Wait = 60.0,
    yes: Yes = False,
    form: Form = "text",
) -> None:
    """SELECT, a person's yes, OPERATE, and the read-back."""
    from headgate_receiver.commands.standing import Stage

    with opened(operator, form) as session:
        content = drafted(session, words, unit, lease, window, release)
        command, messages = content.command, approvals(approval)

        async def work(commands: Commands, results: SqliteResults | None) -> int:
            # The first selection shows whether it would be allowed; nobody should be asked in vain.
            selected = await commands.select(command)
            session.show(selected)
            if selected.stage is not Stage.SELECTED:
                return session.end(selected)
            facts = facts_of(results, content)
            sentence = plan(content, selected.issuer, facts, session.lang)
            asked_us = ENV.clock.boottime_us()
            if not await asyncio.to_thread(session.agreed, yes, sentence):
                await commands.cancel(command)
                session.say("HG-7132")
                return REFUSED
            left_ms = (selected.last.token_ms if selected.last else 0) - (
                ENV.clock.boottime_us() - asked_us
            ) // 1000
            if left_ms < _SPARE_MS:  # the answer took its time; the device is asked for once more
                session.show(await commands.select(command))
            await commands.operate(command, messages)
            return await watched(session, commands, command, wait)

        raise typer.Exit(session.run(work))


@app.command(help="Begin a lease anew, for the value that is forced now. 续期。")
def renew(
    command: Id,
    operator: OperatorOption = None,
    lease: Lease = "15min",
    window: Window = "10min",
    approval: Approvals = None,
    wait: Wait = 60.0,
    form: Form = "text",
) -> None:
    """SELECT and RENEW, under a new id."""
    from headgate_receiver.commands.wish import Wish

    with opened(operator, form) as session:
        old = session.journal.content(session.journal.find(command))
        messages = approvals(approval)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            wish = Wish(
                old.gateway,
                old.device,
                old.point,
                old.value,
                old.unit,
                seconds_of("--lease", lease),
            )
            renewal = commands.draft(wish, window_s=seconds_of("--window", window)).command
            session.show(await commands.select(renewal))
            await commands.renew(renewal, messages)
            return await watched(session, commands, renewal, wait)

        raise typer.Exit(session.run(work))


@app.command(help="Give a selection back, or take a command out of the queue. 撤销。")
def cancel(command: Id, operator: OperatorOption = None, form: Form = "text") -> None:
    """CANCEL."""
    with opened(operator, form) as session:
        wanted = session.journal.find(command)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            standing = await commands.cancel(wanted)
            session.show(standing)
            return DONE if standing.state == "cancelled" else session.end(standing)

        raise typer.Exit(session.run(work))


@app.command(
    help="Find out what became of a command that nobody answered; it moves nothing. 查询结果。"
)
def ask(command: Id, operator: OperatorOption = None, form: Form = "text") -> None:
    """A SELECT that only asks."""
    with opened(operator, form) as session:
        wanted = session.journal.find(command)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            standing = await commands.ask(wanted)
            session.show(standing)
            return session.end(standing)

        raise typer.Exit(session.run(work))


# ---------------------------------------------------------------- looking


@app.command(help="Follow a command until it is known how it ended. 跟踪命令直至有结果。")
def watch(
    command: Id,
    operator: OperatorOption = None,
    wait: Wait = 3600.0,
    lease: Annotated[
        bool, typer.Option("--lease", help="Go on until its lease has ended. 直到租期结束。")
    ] = False,
    form: Form = "text",
) -> None:
    """Both sides, as they change."""
    with opened(operator, form) as session:
        wanted = session.journal.find(command)

        async def work(commands: Commands, _: SqliteResults | None) -> int:
            return await watched(session, commands, wanted, wait, to_the_end=lease)

        raise typer.Exit(session.run(work))


@app.command("list", help="The newest commands, both sides. 列出命令。")
def list_(
    operator: OperatorOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many. 条数。")] = 20,
    form: Form = "text",
) -> None:
    """What the journal says, and nothing is asked."""
    with opened(operator, form) as session:
        for standing in session.journal.commands(limit):
            session.show(standing)


@app.command(help="Agree to somebody else's command, after a look at it. 批准他人的命令。")
def approve(
    request: Annotated[Path, typer.Argument(metavar="FILE", help="The request. 请求文件。")],
    operator: OperatorOption = None,
    low: Annotated[str | None, typer.Option(help="Lowest value agreed to. 允许的最小值。")] = None,
    high: Annotated[
        str | None, typer.Option(help="Highest value agreed to. 允许的最大值。")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the approval goes. 批准文件。")
    ] = None,
    yes: Yes = False,
) -> None:
    """Sign the content of a request, not its bytes."""
    from headgate_receiver.commands.approvals import approve as sign
    from headgate_receiver.commands.approvals import read_request, write_approval

    with opened(operator) as session:
        asked = read_request(text_of(request))
        keys = session.desk.keys()
        who = keys.certificates[0].subject_cn or "-"
        facts = facts_of(session.desk.store(), asked.content)
        sentence = plan(asked.content, who, facts, session.lang)
        if not session.agreed(yes, sentence):
            session.say("HG-7132")
            raise typer.Exit(REFUSED)
        bounds = [None if each is None else value_given(each, None) for each in (low, high)]
        message = asyncio.run(
            sign(keys, asked.content, low=bounds[0], high=bounds[1], token=asked.token)
        )
        text = write_approval(message)
        if out is not None:
            ENV.files.replace(out, text.encode(), 0o644)
        else:
            typer.echo(text)
