"""A world whose clock, threads and sockets belong to the test: an `Env` that waits for nobody.

    env = fake_env(clock := ManualClock())
    clock.advance(2.0)

`run(main)` goes further: the loop's own timers jump to the next one whenever nothing is ready, so an
hour passes in a moment and no test sleeps.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from headgate.env import Clock, ClockState, Env, Files, Net, SystemFiles, SystemNet

T = TypeVar("T")
#: Where boottime begins: not 0, so that a forgotten time shows.
BOOT_US = 1_000_000_000
#: 2026-07-01 00:00 UTC.
WALL_US = 1_782_864_000 * 1_000_000


class ManualClock:
    """Time that passes when `advance` says so. `state` and `shift_us` bend the wall clock."""

    def __init__(self) -> None:
        self.now_us = BOOT_US
        self.shift_us = WALL_US - BOOT_US
        self.state: tuple[ClockState, int | None] = ("synced", 1000)
        self.boot = bytes(range(16))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_us += round(seconds * 1_000_000)

    def boot_id(self) -> bytes:
        return self.boot

    def boottime_us(self) -> int:
        return self.now_us

    def wall_us(self) -> int:
        return self.now_us + self.shift_us

    def wall_state(self) -> tuple[ClockState, int | None]:
        return self.state


class LoopClock(ManualClock):
    """Boottime is the running loop's time: for `run`."""

    def boottime_us(self) -> int:
        return self.now_us + round(asyncio.get_running_loop().time() * 1_000_000)

    def wall_us(self) -> int:
        return self.boottime_us() + self.shift_us


class SeededRandom:
    """The same numbers in every run."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same in every run is the point

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class RecordedNet(SystemNet):
    """Loopback sockets as they are; datagrams to the service manager are kept instead of sent."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[str, bytes]] = []

    def datagram_unix(self, address: str, data: bytes) -> None:
        self.datagrams.append((address, data))


class InlineExecutor(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asks for the result
            future.set_exception(error)
        return future


class FakeEnv(Env):
    """An `Env` of parts that a test holds in its hands."""

    clock: Clock
    net: Net

    def __init__(
        self,
        clock: Clock,
        files: Files,
        net: Net,
        single: Callable[[str], Executor],
        variables: Mapping[str, str],
        seed: int,
    ) -> None:
        super().__init__(clock, SeededRandom(seed), files, net, single)
        self.variables = dict(variables)

    def variable(self, name: str) -> str | None:
        return self.variables.get(name)


def fake_env(
    clock: Clock | None = None,
    *,
    files: Files | None = None,
    net: Net | None = None,
    single: Callable[[str], Executor] | None = None,
    variables: Mapping[str, str] | None = None,
    seed: int = 7,
) -> FakeEnv:
    """A world under the test's control. Files are real: give paths under the test's own folder.

    Environment variables are those of `variables`, never the machine's; threads are none at all.
    """
    return FakeEnv(
        clock or ManualClock(),
        files or SystemFiles(),
        net or RecordedNet(),
        single or (lambda name: InlineExecutor()),
        variables or {},
        seed,
    )


class _Jump(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever come")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that jumps to its next timer whenever nothing is ready."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` under virtual time. A task that is left behind is a failure."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        assert not left, left
        return result
    finally:
        loop.close()
