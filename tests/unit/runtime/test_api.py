"""The local API over its real socket: one JSON object a line, a sentence for every mistake."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headgate.errors import ChannelTimeout
from headgate.runtime.api import LocalApi
from headgate.testing.env import fake_env


class Handlers:
    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.waiting = asyncio.Event()

    async def echo(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        yield {"said": request["word"]}

    async def count(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        for number in range(3):
            yield number

    async def fail(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        yield 1
        raise ChannelTimeout("silent", device="d1")

    async def bug(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        raise KeyError("oops")
        yield

    async def watch(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        try:
            self.waiting.set()
            await asyncio.get_running_loop().create_future()
            yield
        finally:
            self.ended.set()


@pytest.fixture
async def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def path(tmp_path: Path, handlers: Handlers) -> AsyncIterator[Path]:
    where = tmp_path / "run" / "api.sock"
    names = ("echo", "count", "fail", "bug", "watch")
    api = LocalApi(fake_env(), where, {name: getattr(handlers, name) for name in names})
    await api.open()
    yield where
    await api.close()
    assert not where.exists()


async def ask(path: Path, *lines: bytes, answers: int) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"".join(line + b"\n" for line in lines))
    got = [json.loads(await reader.readline()) for _ in range(answers)]
    writer.close()
    await writer.wait_closed()
    return got


def call(do: str, **more: Any) -> bytes:
    return json.dumps({"v": 1, "id": 7, "do": do, **more}).encode()


async def test_answers_carry_the_id_and_the_last_says_so(path: Path) -> None:
    assert await ask(path, call("echo", word="雨"), answers=2) == [
        {"id": 7, "data": {"said": "雨"}, "more": True}, {"id": 7, "more": False},
    ]  # fmt: skip
    got = await ask(path, call("count"), call("echo", word="x"), answers=6)
    assert [a.get("data") for a in got] == [0, 1, 2, None, {"said": "x"}, None]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", "HG-9113"), (b"[1]", "HG-9113"), (b'{"v": 2, "id": 1}', "HG-9111"),
        (b'{"v": 1, "do": "nothing"}', "HG-9112"), (call("bug"), "HG-9114"),
    ],
)  # fmt: skip
async def test_every_mistake_is_answered_and_the_connection_goes_on(
    path: Path, line: bytes, code: str
) -> None:
    first, *rest = await ask(path, line, call("echo", word="still"), answers=3)
    assert first["error"]["code"] == code
    assert first["more"] is False
    assert rest[0]["data"] == {"said": "still"}


async def test_an_error_in_the_middle_ends_the_answers_with_its_code_and_fields(
    path: Path,
) -> None:
    data, error = await ask(path, call("fail"), answers=2)
    assert data["data"] == 1
    assert (error["error"]["code"], error["error"]["fields"]) == ("HG-3002", {"device": "d1"})


async def test_a_caller_who_leaves_ends_what_was_done_for_him(
    path: Path, handlers: Handlers
) -> None:
    _, writer = await asyncio.open_unix_connection(str(path))
    writer.write(call("watch") + b"\n")
    await handlers.waiting.wait()
    writer.close()
    await writer.wait_closed()
    await asyncio.wait_for(handlers.ended.wait(), 10)


async def test_a_line_without_an_end_is_not_kept(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x" * 300_000)
    with suppress(ConnectionError):  # hung up in the middle of our sentence, or after it
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_only_owner_and_group_may_open_it(path: Path) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o007 == 0


async def test_a_socket_left_by_a_killed_gateway_is_replaced(path: Path) -> None:
    stale = path.with_name("old.sock")
    stale.write_bytes(b"")
    api = LocalApi(fake_env(), stale, {})
    await api.open()
    (answer,) = await ask(stale, call("x"), answers=1)
    assert answer["error"]["code"] == "HG-9112"
    await api.close()
