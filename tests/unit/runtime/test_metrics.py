"""Metrics in Prometheus's text form, over HTTP on a loopback port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.runtime.metrics import MetricsServer, Sample, render
from headgate.testing.env import fake_env

SAMPLES: list[Sample] = [
    ("spool_bytes", "Bytes on disk", "gauge", {}, 12.5),
    ("commits", "Commits", "counter", {"lane": "live"}, 3.0),
    ("commits", "Commits", "counter", {"lane": 'a"\n\\'}, 4.0),
]


@pytest.fixture
async def server() -> AsyncIterator[MetricsServer]:
    made = MetricsServer(fake_env(), lambda: SAMPLES)
    await made.open("127.0.0.1", 0)
    yield made
    await made.close()


async def get(server: MetricsServer, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    answer = await reader.read()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return answer


def test_a_scraper_reads_back_what_was_counted() -> None:
    families = {f.name: f for f in text_string_to_metric_families(render(SAMPLES).decode())}
    assert set(families) == {"headgate_spool_bytes", "headgate_commits"}
    counted = families["headgate_commits"]
    assert counted.type == "counter"
    assert [(s.labels["lane"], s.value) for s in counted.samples] == [("live", 3), ('a"\n\\', 4)]


async def test_metrics_are_at_metrics_and_nothing_else_is_anywhere(server: MetricsServer) -> None:
    answer = await get(server, b"GET /metr", b"ics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Length: %d" % len(body) in head
    assert body == render(SAMPLES)
    for request in (b"GET / HTTP/1.0\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n"):
        assert (await get(server, request)).startswith(b"HTTP/1.1 404")


async def test_a_request_without_an_end_is_cut_short(server: MetricsServer) -> None:
    assert (await get(server, b"GET /" + b"x" * 9000)).startswith(b"HTTP/1.1 404")
