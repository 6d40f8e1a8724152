"""The watcher that fails a test for what it leaves behind sees each kind, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

LEAKS = """
import asyncio, os, socket, subprocess, threading, pytest

kept = []

def test_leaves_a_thread():
    thread = threading.Thread(target=threading.Event().wait, daemon=True, name="forgotten")
    thread.start()

def test_leaves_a_socket():
    kept.append(socket.socket())

def test_leaves_a_file(tmp_path):
    kept.append(open(tmp_path / "readings.log", "w"))

def test_leaves_a_child():
    kept.append(subprocess.Popen(["sleep", "60"]))

async def test_leaves_a_task():
    kept.append(asyncio.create_task(asyncio.Event().wait(), name="forgotten-task"))

@pytest.fixture
async def careless():
    kept.append(asyncio.create_task(asyncio.Event().wait(), name="forgotten-by-fixture"))
    yield

async def test_has_a_fixture_that_leaves_a_task(careless):
    pass

@pytest.fixture(scope="module")
def shared():
    with socket.socket() as one:
        yield one

def test_uses_a_shared_socket(shared):
    pass

async def test_clean(tmp_path):
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    await asyncio.to_thread((tmp_path / "x").write_text, "x")
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0

def test_end_of_it():
    child = next(x for x in kept if isinstance(x, subprocess.Popen))
    child.kill()
    child.wait()
"""


def test_each_kind_of_leak_is_reported_and_a_clean_test_passes(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        Path(__file__).parents[1].joinpath("conftest.py").read_text(encoding="utf-8")
    )
    pytester.makepyfile(LEAKS)
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nmarkers = peer\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rEf", timeout=50)
    result.assert_outcomes(passed=9, errors=6)
    result.stdout.fnmatch_lines_random(
        [
            "*thread 'forgotten'*",
            "*descriptor *: socket:*",
            "*descriptor *readings.log*",
            "*child process *: *",
            "*task 'forgotten-task'*",
            "*task 'forgotten-by-fixture'*",
        ]
    )
    result.stdout.fnmatch_lines_random(
        [
            f"ERROR *::test_leaves_a_{kind}*"
            for kind in ("thread", "socket", "file", "child", "task")
        ]
    )
    result.stdout.no_fnmatch_line("ERROR *::test_clean*")
    result.stdout.no_fnmatch_line("ERROR *::test_uses_a_shared_socket*")


@pytest.mark.parametrize(("peers", "outcome"), [("optional", {"skipped": 1}), ("", {"errors": 1})])
def test_a_missing_peer_fails_unless_peers_are_optional(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, peers: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("HEADGATE_PEERS", peers)
    pytester.makeconftest(
        Path(__file__).parents[1].joinpath("conftest.py").read_text(encoding="utf-8")
    )
    pytester.makepyfile(
        "import pytest\n@pytest.mark.peer('no-such-program')\ndef test_meets_it(): ..."
    )
    pytester.makeini("[pytest]\nmarkers = peer\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=50)
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines_random("*no-such-program*") if outcome == {"errors": 1} else None
