"""The core reaches the world through `Env` only, and the lint that says so can see."""

from __future__ import annotations

from pathlib import Path

import pytest

import env_lint

ROOT = Path(__file__).parents[2]


def test_the_core_reaches_the_world_through_env_only() -> None:
    found = env_lint.check_tree(ROOT / env_lint.CORE)
    assert not found, "\n".join(str(finding) for finding in found)


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import time\ntime.time()", "time.time"),
        ("import time as t\nt.monotonic()", "time.monotonic"),
        ("from time import monotonic as now\nnow()", "time.monotonic"),
        ("def f():\n    import time\n    return time.sleep", "time.sleep"),
        ("from datetime import datetime, UTC\ndatetime.now(UTC)", "datetime.datetime.now"),
        ("import datetime as dt\ndt.datetime.utcnow()", "datetime.datetime.utcnow"),
        ("import random\nrandom.random()", "random.random"),
        ("import secrets\nsecrets.token_bytes(8)", "secrets.token_bytes"),
        ("import os\nos.urandom(8)", "os.urandom"),
        ("from os import urandom\nurandom(8)", "os.urandom"),
        ("import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("import threading\nthreading.Thread(target=f)", "threading.Thread"),
        (
            "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1)",
            "concurrent.futures.ThreadPoolExecutor",
        ),
        ("import subprocess\nsubprocess.run([])", "subprocess.run"),
        ("import socket\nsocket.socket()", "socket.socket"),
        ("open('x')", "builtins.open"),
        ("import os\nos.environ['HOME']", "os.environ"),
        ("import os.path\nos.path.exists('x')", "os.path.exists"),
        ("import sqlite3\nsqlite3.connect('x')", "sqlite3.connect"),
        ("import asyncio\nasyncio.open_connection('h', 1)", "asyncio.open_connection"),
        ("import asyncio\nasyncio.create_subprocess_exec('x')", "asyncio.create_subprocess_exec"),
        ("from pathlib import Path\nPath('x').read_text()", ".read_text()"),
        ("def f(folder):\n    (folder / 'x').write_bytes(b'')", ".write_bytes()"),
        ("def f(path):\n    with path.open('rb') as file: ...", ".open()"),
        ("def f(loop):\n    loop.create_connection(f, 'h', 1)", ".create_connection()"),
        ("def f(path):\n    path.mkdir(parents=True)", ".mkdir()"),
        ("def f(path):\n    path.unlink()", ".unlink()"),
    ],
)  # fmt: skip
def test_a_planted_way_around_env_is_found(source: str, used: str) -> None:
    found = env_lint.check_source(source, "runtime/planted.py")
    assert [finding.used for finding in found] == [used]
    assert found[0].line == len(source.splitlines())


@pytest.mark.parametrize(
    "source",
    [
        "async def f(env):\n    await env.net.connect(f, 'h', 1)",
        "class C:\n    def f(self):\n        return self._env.files.read(self.path)",
        "async def f(channel):\n    await channel.open()",
        "import sqlite3\ntry: ...\nexcept sqlite3.OperationalError: ...",
        "import socket\ntry: ...\nexcept socket.gaierror: ...",
        "import os\ndef f(path: os.PathLike[str]) -> str:\n    return os.path.join(path, 'x')",
        "from datetime import datetime, UTC\ndatetime.fromtimestamp(0, UTC)",
        "import asyncio\nasync def f():\n    async with asyncio.timeout(1): ...",
        "def f(time):\n    return time.time()",
    ],
)
def test_what_is_pure_or_goes_through_env_is_left_alone(source: str) -> None:
    assert env_lint.check_source(source, "runtime/planted.py") == []


def test_an_exception_holds_for_its_file_only() -> None:
    source = "from importlib.resources import files as packaged\npackaged('headgate').read_text()"
    assert env_lint.check_source(source, "messages/__init__.py") == []
    assert len(env_lint.check_source(source, "spool/segment.py")) == 1


def test_every_exception_is_explained() -> None:
    assert all(len(why.split()) > 3 for _, _, why in env_lint.ALLOWED)


def test_a_finding_says_where_and_what_to_use_instead() -> None:
    (finding,) = env_lint.check_source("import time\n\n\nnow = time.time()", "runtime/wheel.py")
    assert str(finding) == "runtime/wheel.py:4: time.time: use env.clock"
