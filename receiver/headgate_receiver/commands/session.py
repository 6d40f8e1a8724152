"""What every call of `headgate command` needs: files opened, words read, sentences said, errors told."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from headgate.env import system_env
from headgate.errors import ConfigError, HeadgateError, Problem
from headgate.messages import language, render_error, say
from headgate_receiver.commands.telling import (
    DONE,
    FAILED,
    NOT_KNOWN,
    REFUSED,
    USAGE,
    ending,
    line,
    plain,
)

if TYPE_CHECKING:
    from headgate.envelope.command import CommandValue, Content
    from headgate_receiver.commands.commander import Commands
    from headgate_receiver.commands.desk_file import OperatorDesk
    from headgate_receiver.commands.journal import Journal
    from headgate_receiver.commands.results import PointFacts, SqliteResults
    from headgate_receiver.commands.standing import Standing

ENV = system_env()


class Session:
    """One call of the command: the operator's file and what it opened."""

    def __init__(self, desk: OperatorDesk, form: str) -> None:
        self.desk = desk
        self.form = form
        self.lang = language(ENV.variable)
        self.journal: Journal = desk.journal()

    def say(self, code: str, **fields: object) -> None:
        """A sentence for a person."""
        typer.echo(say(code, self.lang, **fields), err=self.form == "json")

    def show(self, standing: Standing) -> None:
        """A line for each change."""
        if self.form == "json":
            typer.echo(json.dumps(plain(standing), ensure_ascii=False))
        else:
            typer.echo(line(standing, self.lang))

    def end(self, standing: Standing) -> int:
        """How it ended, and the exit status."""
        code, sentence = ending(standing, self.lang)
        typer.echo(sentence, err=self.form == "json" or code != DONE)
        return code

    def agreed(self, yes: bool, sentence: str) -> bool:
        """Whether a person said yes."""
        if yes:
            return True
        # Without a terminal nobody can say yes.
        if not sys.stdin.isatty():
            typer.echo(sentence, err=True)
            return False
        return typer.confirm(sentence, err=True)

    def run(self, work: Callable[[Commands, SqliteResults | None], Awaitable[int]]) -> int:
        """Do something with commands, connected."""
        results = self.desk.store()
        commands = self.desk.commands(self.journal, results)

        async def connected() -> int:
            async with commands:
                return await work(commands, results)

        return asyncio.run(connected())


@contextmanager
def opened(operator: Path | None, form: str = "text") -> Iterator[Session]:
    """Errors become sentences and exit statuses here."""
    from headgate.crypto.provider import LIBCRYPTO_VARIABLE, default_provider
    from headgate_receiver.commands.desk_file import USUAL, OperatorDesk
    from headgate_receiver.commands.errors import CommandRefused, InDoubt

    desk = None
    # The journal is for this account and its group alone.
    os.umask(0o027)
    try:
        provider = default_provider(ENV.variable(LIBCRYPTO_VARIABLE))
        desk = OperatorDesk(ENV, provider, operator or Path(USUAL))
        yield Session(desk, form)
    except HeadgateError as error:
        typer.echo(render_error(error, language(ENV.variable)), err=True)
        code = FAILED
        if isinstance(error, CommandRefused):
            code = REFUSED
        elif isinstance(error, InDoubt):
            code = NOT_KNOWN
        elif isinstance(error, ConfigError):
            code = USAGE
        raise typer.Exit(code) from None
    finally:
        if desk is not None:
            desk.close()


async def watched(
    session: Session,
    commands: Commands,
    command: bytes,
    wait_s: float,
    *,
    to_the_end: bool = False,
) -> int:
    """Show a command's changes until it is known how it ended, or for so long; then say it."""
    try:
        async with asyncio.timeout(wait_s):
            async for standing in commands.watch(command):
                session.show(standing)
                if standing.settled and not (to_the_end and standing.done):
                    break
    except TimeoutError:
        pass
    return session.end(commands.standing(command))


def drafted(
    session: Session, words: list[str], unit: str | None, lease: str, window: str, release: bool
) -> Content:
    """The content that these words mean: drafted now, or before under an id."""
    from headgate_receiver.commands.wish import Wish, content_of

    journal = session.journal
    if len(words) == 1:
        return journal.content(journal.find(words[0]))
    if len(words) != (3 if release else 4):
        raise ConfigError([Problem("GATEWAY DEVICE POINT VALUE", "HG-7107", {})])
    gateway, device, point = words[:3]
    store = session.desk.store()
    facts = store.point(gateway, device, point) if store is not None else None
    told = facts.unit if facts is not None else None
    said = unit if unit is not None else told
    if release:
        wish = Wish.release(gateway, device, point, said or "1")
    else:
        wanted = value_given(words[3], facts.type if facts is not None else None)
        wish = Wish(gateway, device, point, wanted, said or "1", seconds_of("--lease", lease))
    now_us = ENV.clock.wall_us()
    content = content_of(wish, ENV.random.token(16), now_us, seconds_of("--window", window))
    issuer = session.desk.keys().certificates[0].subject_cn or "-"
    journal.draft(content, issuer, now_us)
    return content


def facts_of(results: SqliteResults | None, content: Content) -> PointFacts | None:
    """What the store knows of the point, where there is a store."""
    return results.point(content.gateway, content.device, content.point) if results else None


def approvals(files: list[Path] | None) -> list[bytes]:
    """The approval messages in files. Raises CommandError, ConfigError."""
    from headgate_receiver.commands.approvals import read_approval

    return [read_approval(text_of(file)) for file in files or ()]


def text_of(path: Path) -> str:
    """A file of text. Raises ConfigError."""
    try:
        return ENV.files.read(path, 0, 64 * 1024).decode("utf-8", "replace")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(path), "HG-5031", {"reason": reason})]) from None


def value_given(text: str, type_: str | None) -> CommandValue:
    """What a person typed. Raises ConfigError."""
    from headgate_receiver.commands.wish import value_of

    try:
        return value_of(text, type_)
    except ValueError:
        raise ConfigError(
            [Problem("VALUE", "HG-7108", {"text": text, "type": type_ or "-"})]
        ) from None


def seconds_of(where: str, text: str) -> int:
    """A length of time in whole seconds. Raises ConfigError."""
    from headgate_receiver.duration import seconds

    try:
        return round(seconds(text))
    except HeadgateError as error:
        raise ConfigError([Problem(where, error.code, {"written": text})]) from None
