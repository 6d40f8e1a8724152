"""A server's past, in pages, as servers of different habits give it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("asyncua")

from headgate_drivers.opcua import history
from headgate_drivers.opcua.client import ua
from headgate_drivers.opcua.history import NoHistoryError, past

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Server:
    """Keeps a value a second of each node; `points` continuation points, or none and full pages."""

    def __init__(
        self, seconds: int, points: int = 100, codes: dict[str, int] | None = None
    ) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.held: dict[bytes, int] = {}
        self.asked = self.most = 0
        self._seconds = seconds
        self._points = points
        self._codes = codes or {}

    def working(self) -> Any:
        return nullcontext()

    @property
    def service(self) -> Server:
        return self

    async def history_read(self, parameters: Any) -> list[Any]:
        self.asked += 1
        results = [self._one(parameters, each) for each in parameters.NodesToRead]
        self.most = max(self.most, len(self.held))
        return results

    def _one(self, parameters: Any, asked: Any) -> Any:
        point = asked.ContinuationPoint
        start = self.held.pop(point, None) if point else None
        if parameters.ReleaseContinuationPoints:
            return ua.HistoryReadResult()
        result = ua.HistoryReadResult()
        if code := self._codes.get(asked.NodeId):
            result.StatusCode = ua.StatusCode(code)
            return result
        details = parameters.HistoryReadDetails
        first = round((details.StartTime - EPOCH).total_seconds()) if start is None else start
        last = min(self._seconds, round((details.EndTime - EPOCH).total_seconds()))
        wanted = list(range(first, last + 1))
        page, rest = wanted[: details.NumValuesPerNode], wanted[details.NumValuesPerNode :]
        if rest and self._points:
            if len(self.held) >= self._points:
                result.StatusCode = ua.StatusCode(0x804B0000)
                return result
            name = f"{asked.NodeId} {rest[0]}".encode()
            self.held[name] = rest[0]
            result.ContinuationPoint = name
        values = [
            SimpleNamespace(
                StatusCode=None,
                Value=SimpleNamespace(Value=float(at)),
                SourceTimestamp=EPOCH + timedelta(seconds=at),
            )
            for at in page
        ]
        result.HistoryData = SimpleNamespace(DataValues=values)
        return result


async def read(server: Any, *nodes: str, after: int = 10, before: int = 60) -> list[Any]:
    asked = [(node, after * 1_000_000, before * 1_000_000) for node in nodes]
    out: list[Any] = []
    async with aclosing(past(server, asked)) as pages:
        async for page in pages:
            out += page
    return out


@pytest.mark.parametrize("points", [100, 2, 0])
async def test_every_value_between_the_two_ends_comes_once_in_order(
    monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    """With points to go on, with too few of them, and from a server that gives none."""
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 7)
    server = Server(100, points)
    values = await read(server, "a", "b", "c")
    assert [(v.source_us // 1_000_000, v.which) for v in values] == [
        (second, node) for second in range(11, 60) for node in range(3)
    ]
    assert server.held == {}


async def test_what_is_not_read_to_its_end_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "VALUES_AT_ONCE", 7)
    server: Any = Server(100)
    async with aclosing(past(server, [("a", 0, 90_000_000)])) as pages:
        await anext(pages)
        assert len(server.held) == 1
    assert server.held == {}


async def test_one_node_without_a_past_does_not_stop_the_others() -> None:
    server = Server(100, codes={"b": 0x80720000})
    assert {value.which for value in await read(server, "a", "b")} == {0}


async def test_a_server_without_any_says_so() -> None:
    with pytest.raises(NoHistoryError):
        await read(Server(100, codes={"a": 0x80720000, "b": 0x800B0000}), "a", "b")


async def test_nothing_is_asked_where_nothing_is_missing() -> None:
    server = Server(100)
    assert await read(server, "a", after=10, before=10) == []
    assert server.asked == 0


async def test_a_server_that_gives_empty_pages_without_end_is_left() -> None:
    server: Any = Server(100)

    async def nothing(parameters: Any) -> list[Any]:
        server.asked += 1
        result = ua.HistoryReadResult()
        result.ContinuationPoint = None if parameters.ReleaseContinuationPoints else b"more"
        return [result]

    server.history_read = nothing
    assert await read(server, "a") == []
    assert server.asked < 10
