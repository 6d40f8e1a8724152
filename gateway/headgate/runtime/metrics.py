"""Prometheus metrics on a loopback port: text made from the gateway's state when it is asked for.

No counters on the hot path are kept twice: what the rooms count anyway is read here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import cast

from headgate.env import Env

#: One sample: name without prefix, help, kind, labels, value.
Sample = tuple[str, str, str, dict[str, str], float]
_LONGEST_REQUEST = 8192


def render(samples: Iterable[Sample]) -> bytes:
    """The text exposition format, version 0.0.4."""
    from prometheus_client.core import (  # 60 ms that `headgate read` need not pay
        CollectorRegistry,
        Metric,
    )
    from prometheus_client.exposition import generate_latest

    metrics: dict[str, Metric] = {}
    for name, text, kind, labels, value in samples:
        metric = metrics.get(name)
        if metric is None:
            metric = metrics[name] = Metric(f"headgate_{name}", text, kind)
        suffix = "_total" if kind == "counter" else ""
        metric.add_sample(f"headgate_{name}{suffix}", labels, value)

    class _Source:
        def collect(self) -> Iterable[Metric]:
            return metrics.values()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Source())
    return bytes(generate_latest(registry))


class MetricsServer:
    """Answers GET /metrics, one request per connection, and nothing else."""

    def __init__(self, env: Env, collect: Callable[[], Iterable[Sample]]) -> None:
        self._env = env
        self._collect = collect
        self._server: asyncio.AbstractServer | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        self._server = await self._env.net.listen(lambda: _Request(self._collect), host, port)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        assert isinstance(self._server, asyncio.Server)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


class _Request(asyncio.Protocol):
    def __init__(self, collect: Callable[[], Iterable[Sample]]) -> None:
        self._collect = collect
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses: nothing to assert by.
        self._transport = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(5.0, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if b"\r\n\r\n" not in self._buffer and len(self._buffer) < _LONGEST_REQUEST:
            return
        if self._buffer.startswith((b"GET /metrics ", b"GET /metrics?")):
            self._answer(b"200 OK", render(self._collect()))
        else:
            self._answer(b"404 Not Found", b"metrics are at /metrics\n")

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 "
            + status
            + b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            b"Connection: close\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        self._transport.close()
