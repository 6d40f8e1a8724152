"""What every test gets: nothing may be left behind, and a missing peer is named aloud."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from ctypes.util import find_library
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is not a fault of the code: nothing here is judged by the clock.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A build server answers "did this change break something", the same twice; new examples are looked for
# everywhere else: on every `make test` by hand, in `make crash` and in `make fuzz`.
settings.register_profile("same", settings.get_profile("house"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HEADGATE_EXAMPLES", "house"))

pytest_plugins = ["pytester", "headgate_simulators.pytest"]

# --- nothing is left behind --------------------------------------------------------------------

# A thread or child that was told to stop may need a moment to be gone; one that was not told stays
# longer than any grace, so the length decides nothing but how soon a failure is reported.
GRACE_S = 2.0

# Opened once by the interpreter or a library for its own use, kept for the life of the process.
KEPT_OPEN = ("/dev/null", "/dev/urandom", "/dev/random")


def open_descriptors() -> set[tuple[int, str]]:
    """Number and target of every descriptor this process holds: files, sockets, pipes, epolls."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if target not in KEPT_OPEN and not target.startswith("/proc/"):
            found.add((int(name), target))
    return found


def child_processes() -> set[int]:
    """Process ids of this process's children, the dead but unreaped among them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            continue  # the thread ended while we looked
    return found


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process, a socket or a file open.

    Set up before and torn down after every other fixture of the test, so what a fixture opens it
    must also close. Fixtures of a wider scope are there before and may stay.
    """
    threads, children, descriptors = (
        set(threading.enumerate()),
        child_processes(),
        open_descriptors(),
    )
    yield
    left = []
    for thread in set(threading.enumerate()) - threads:
        thread.join(GRACE_S)
        if thread.is_alive():
            left.append(f"thread {thread.name!r}")
    left += [
        f"child process {pid}: {_command(pid)}" for pid in sorted(child_processes() - children)
    ]
    left += [
        f"descriptor {fd}: {target}" for fd, target in sorted(open_descriptors() - descriptors)
    ]
    if left:
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
async def leaves_no_task() -> AsyncIterator[None]:
    """Fail an async test whose loop still runs a task when test and fixtures are done."""
    before = asyncio.all_tasks()
    yield
    for _ in range(5):  # connection_lost, and tasks that are ending on their own, take a few rounds
        await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
    if left:
        names = "\n  ".join(f"task {task.get_name()!r}: {task.get_coro()}" for task in left)
        pytest.fail(f"the test left behind:\n  {names}", pytrace=False)


@pytest.fixture
def port() -> int:
    """A TCP port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# What the command line's global options put into the environment for their commands.
SAID_TO_COMMANDS = ("HEADGATE_SITE", "HEADGATE_LANG", "HEADGATE_SOCKET")


@pytest.fixture(autouse=True)
def names_no_site() -> Iterator[None]:
    """A test begins without a site, language or socket of its surroundings or of the test before it.

    `headgate --site X` run inside a test puts X into the environment, where the next test's child
    processes would find it.
    """
    before = {name: os.environ.pop(name) for name in SAID_TO_COMMANDS if name in os.environ}
    yield
    for name in SAID_TO_COMMANDS:
        os.environ.pop(name, None)
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="session")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a gateway keeps for one boot lies where pytest clears up."""
    os.environ["RUNTIME_DIRECTORY"] = str(tmp_path_factory.mktemp("run"))
    yield
    del os.environ["RUNTIME_DIRECTORY"]


def _command(pid: int) -> str:
    """What a child runs, or [name] when it has ended or not begun yet."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "gone by now"
    return b" ".join(words).decode(errors="replace").strip() or f"[{name}]"


# --- peers -------------------------------------------------------------------------------------

NODE_MODULES = Path(__file__).parent / "peers" / "node_modules"


def _from_npm(name: str) -> bool:
    return (NODE_MODULES / name).is_dir() and shutil.which("node") is not None


def missing_peers(names: tuple[str, ...]) -> list[str]:
    """Those of the named foreign programs and libraries that this machine does not have."""
    with_sbin = f"{os.environ.get('PATH', '')}:/usr/sbin"
    have = {
        "libmodbus": lambda: find_library("modbus") is not None,
        # Looked for, never imported: its OpenSSL must not meet ours.
        "tongsuopy": lambda: importlib.util.find_spec("tongsuopy") is not None,
        "modbus-serial": lambda: _from_npm("modbus-serial"),
        "node-opcua-server": lambda: _from_npm("node-opcua-server"),
        # Debian keeps servers in a folder that only root has on its path.
        "mosquitto": lambda: shutil.which("mosquitto", path=with_sbin) is not None,
        "ser2net": lambda: shutil.which("ser2net", path=with_sbin) is not None,
    }
    return [
        name
        for name in names
        if not have.get(name, lambda name=name: shutil.which(name) is not None)()
    ]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Watch the tasks of async tests; send tests whose peer is missing where they belong."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(_plain(item.obj)):
            # Before every other fixture of the test, so torn down after them.
            item.fixturenames.insert(
                item.fixturenames.index("leaves_nothing_behind") + 1, "leaves_no_task"
            )


def _plain(function: object) -> object:
    """The test as written, from under what hypothesis wraps around it."""
    hypothesis = getattr(function, "hypothesis", None)
    return getattr(hypothesis, "inner_test", function)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A missing peer fails the test, or skips it where the run was told that peers are optional."""
    for marker in item.iter_markers("peer"):
        if missing := missing_peers(marker.args):
            sentence = f"peer not on this machine: {', '.join(missing)}"
            if os.environ.get("HEADGATE_PEERS") == "optional":
                pytest.skip(sentence)
            pytest.fail(
                f"{sentence}. `make test` installs it; HEADGATE_PEERS=optional skips the test.",
                pytrace=False,
            )
