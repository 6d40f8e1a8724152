"""What reaches a box from beside it: its own log after somebody was at it, the local API, lists, services."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from fuzz.target import Target, pieces, whole
from headgate.audit.check import Checker
from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder
from headgate.audit.line import LONGEST_LINE, Found, Line, bounded, encode, json_text, scan
from headgate.audit.opening import find_start
from headgate.cli.devices.table import CELL_LIMIT, COLUMNS_LIMIT, ROWS_LIMIT, read_table
from headgate.crypto.provider import default_provider
from headgate.env import Files
from headgate.errors import ConfigError, HeadgateError, SecurityError
from headgate.messages import render_problem
from headgate.runtime.api import LocalApi
from headgate.runtime.enrolment.http import _answer
from headgate.testing.env import fake_env

PROVIDER = default_provider()


# ------------------------------------------------------------ the audit log


@cache
def _log() -> bytes:
    lines, previous = [], "0" * 64
    kinds = ("log-opened", "started", "command-accepted", "log-head", "log-dropped", "log-torn")
    for seq, kind in enumerate(kinds, 1):
        fields = {"log": "ab" * 16, "gateway": "g", "seq": seq - 1, "sm3": previous, "to_seq": seq}
        line = Line(
            seq=seq, at=seq, boot="00" * 16, wall=seq, clock="synced", kind=kind, who="gateway",
            what="x", result="ok", code="", fields={**fields}, previous=previous,
        )  # fmt: skip
        text = json_text(line)
        previous = PROVIDER.sm3(text).hex()
        lines.append(encode(text))
    return b"".join(lines)


class _TwoFiles:
    """A folder with two files of a log."""

    def __init__(self, first: bytes, second: bytes) -> None:
        self._data = {"000000000001.log": first, "000000000002.log": second}

    def list(self, folder: Path) -> list[str]:
        return sorted(self._data)

    def size(self, path: Path) -> int | None:
        return len(self._data[path.name])

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        return self._data[path.name]


def _audit(data: bytes) -> None:
    half = len(data) // 2
    for found in scan(data):
        if isinstance(found, Found):
            assert len(found.text) <= LONGEST_LINE
    checker = Checker(PROVIDER.sm3)
    checker.feed(1, _log())
    checker.feed(2, data)
    report = checker.finish()
    assert report.sound <= (report.entries >= 6)
    assert len(report.findings) <= 8 + 3 * data.count(b"\n")
    files = LogFolder(cast(Files, _TwoFiles(data[:half], data[half:])), Path("audit"))
    start = find_start(files, PROVIDER.sm3, lambda: "00" * 16, 0)
    assert start.next_seq > start.place.seq and start.next_file == 3


def _entry(data: bytes) -> None:
    """Whatever a room writes of what a stranger said: the line is one line, and is read back."""
    text = data.decode("utf-8", "surrogateescape")
    entry = bounded(
        Entry(kind=text, who=text, what=text, result=text, fields={text: text, "n": text})
    )
    line = Line(
        seq=1, at=1, boot="", wall=1, clock="synced", kind=entry.kind, who=entry.who, what=entry.what,
        result=entry.result, code=entry.code, fields=entry.fields, previous="0" * 64,
    )  # fmt: skip
    [found] = scan(encode(json_text(line)))
    assert isinstance(found, Found) and found.line == line


# ------------------------------------------------------------ the local API


async def _echo(request: Mapping[str, Any]) -> AsyncIterator[Any]:
    yield {"device": request.get("device")}


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.wrote = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.wrote += data

    def close(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def _api(data: bytes) -> None:
    from headgate.runtime.api import _Connection

    async def main() -> None:
        api = LocalApi(fake_env(), Path("socket"), {"echo": _echo})
        connection, transport = _Connection(api), _Transport()
        connection.connection_made(transport)
        for piece in pieces(data):
            connection.data_received(piece)
            await asyncio.sleep(0)
        for _ in range(3 * data.count(b"\n") + 6):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.wait([connection._task])
        # Every answer is one line of JSON: nothing that was asked breaks out of it.
        for line in bytes(transport.wrote).splitlines():
            assert set(json.loads(line)) <= {"id", "data", "more", "error"}

    asyncio.run(main())


def _requests() -> Iterable[bytes]:
    yield whole(b'{"v":1,"id":7,"do":"echo","device":"pump"}\n')
    yield whole(b'{"v":1,"id":null,"do":"no such"}\n{"v":2}\n[]\nnull\n')
    yield b"\x01" + b'{"v":1,"do":"echo"}\n' * 3


# ------------------------------------------------------------ an enrolment service


def _http(data: bytes) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader(limit=16 * 1024)
        reader.feed_data(data)
        reader.feed_eof()
        try:
            answer = await _answer(reader)
        except (SecurityError, asyncio.IncompleteReadError):  # the caller says: it hung up
            return
        assert 0 <= answer.status <= 999 and len(answer.body) <= len(data)

    asyncio.run(main())


def _answers() -> Iterable[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    yield b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


# ------------------------------------------------------------ lists of devices


def _list(data: bytes) -> None:
    try:
        table = read_table(data, "list")
    except ConfigError as error:
        for problem in error.problems:
            assert render_problem(problem, "zh")
        return
    except HeadgateError:
        return
    assert len(table.rows) <= ROWS_LIMIT
    for row in (table.headings, *table.rows):
        assert len(row.cells) <= COLUMNS_LIMIT
        assert all(len(cell.text) <= CELL_LIMIT for cell in row.cells)


def _lists() -> Iterable[bytes]:
    yield 'id,通道,地址\r\n泵1,bus,1\r\n"a""b",bus,2\r\n'.encode()
    yield "id;通道\n泵;总线\n".encode("gb18030")
    yield "\ufeffid\tx\n1\t2\n".encode("utf-16")


def _sheets() -> Iterable[bytes]:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["id", "channel"])
    book.active.append(["d1", 5])
    into = io.BytesIO()
    book.save(into)
    yield into.getvalue()


LOCAL: dict[str, Target] = {
    "audit-log": Target(_audit, lambda: [_log(), b""], 8192),
    "audit-entry": Target(_entry, lambda: ["operator:王".encode(), b"\n\xff\x00"], 2048),
    "local-api": Target(_api, _requests),
    "enrolment-http": Target(_http, _answers),
    "device-list": Target(_list, _lists),
    "device-sheet": Target(_list, _sheets, 16_384),
}
