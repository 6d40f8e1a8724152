"""A loop whose time is ours: it jumps to the next timer whenever nothing is ready."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from headgate.channels import ChannelState, ManagedChannel
from headgate.env import Clock, Env
from headgate.model import Block, Event, Gap, Plan
from headgate.sdk import ChannelClosed, Device, Framing, LineSettings, PollingDriver

T = TypeVar("T")
BOOT_US = 1_000_000_000


class _Jump(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everybody waits for ever")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def sleep_machine(self, seconds: float) -> None:
        """Busy, or suspended: time passes and nothing runs."""
        self._jump.now += seconds


class VirtualClock:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def boot_id(self) -> bytes:
        return bytes(16)

    def boottime_us(self) -> int:
        return BOOT_US + round(self._loop.time() * 1_000_000)

    def wall_us(self) -> int:
        return self.boottime_us()

    def wall_state(self) -> tuple[Any, int | None]:
        return "unsynced", None


class SeededRandom:
    def __init__(self) -> None:
        self._random = random.Random(7)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def virtual_env(net: Any = None) -> Env:
    clock: Clock = VirtualClock(asyncio.get_running_loop())

    def single(name: str) -> Executor:
        raise NotImplementedError

    return Env(clock, SeededRandom(), None, net, single)  # type: ignore[arg-type]


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run under virtual time; a task that is left behind is a failure."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        assert not left, left
        return result
    finally:
        for task in asyncio.all_tasks(loop):  # only after a failure
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


class FakeChannel(ManagedChannel):
    """A line without bytes, up or down as the test says."""

    def __init__(self, name: str = "c1", depth: int = 1) -> None:
        super().__init__()
        self.id = name
        self.url = f"fake://{name}"
        self.depth = depth
        self.ready = asyncio.Event()

    def open(self) -> None:
        self._enter(ChannelState.OPENING)
        self.set(ChannelState.UP)

    def set(self, state: ChannelState) -> None:
        self._enter(state, "" if state is ChannelState.UP else "pulled")
        self.ready.set()

    async def close(self) -> None:
        self._enter(ChannelState.CLOSED)

    async def settled(self) -> None:
        await self.ready.wait()

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Any = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        for tap in self._taps:
            tap("sent", request, self.now_us())
            tap("received", request[::-1], self.now_us())
        return request[::-1]

    async def send(self, data: bytes) -> None:
        raise ChannelClosed("no bytes here")

    def frames(self, framing: Framing) -> Any:
        raise NotImplementedError

    def now_us(self) -> int:
        return BOOT_US + round(asyncio.get_running_loop().time() * 1_000_000)


Answer = Callable[[Device], Awaitable[Block]]


class FakeDriver(PollingDriver):
    """Answers as the test's function does; remembers who was asked when."""

    name = "fake"

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, float]] = []
        self.in_hand = 0
        self.most_in_hand = 0

    async def read(self, channel: Any, device: Device, plan: Any) -> Block:
        self.asked.append((device.id, asyncio.get_running_loop().time()))
        self.in_hand += 1
        self.most_in_hand = max(self.most_in_hand, self.in_hand)
        try:
            return await self.answer(device)
        finally:
            self.in_hand -= 1


class ListSink:
    """Keeps everything; full when the test says so."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.items: list[Any] = []
        self._room = asyncio.Event()
        self._room.set()

    def fill(self) -> None:
        self._room.clear()

    def empty(self) -> None:
        self._room.set()

    def put(self, block: Block, device: Device) -> bool:
        if not self._room.is_set():
            return False
        self.blocks.append(block)
        return True

    def put_item(self, item: Any) -> None:
        self.items.append(item)

    async def durable(self) -> None:
        return

    async def room(self) -> None:
        await self._room.wait()

    def gaps(self, device: int | None = None) -> list[Gap]:
        return [i for i in self.items if isinstance(i, Gap) and device in (None, i.device)]

    def plans(self, device: int) -> list[Plan]:
        return [i for i in self.items if isinstance(i, Plan) and i.device == device]

    def events(self) -> list[str]:
        return [i.kind for i in self.items if isinstance(i, Event)]


def due_slots(plans: list[Plan]) -> dict[int, int]:
    """Slot -> when it was due, by the rule of `Plan` alone."""
    due: dict[int, int] = {}
    for plan, after in zip(plans, [*plans[1:], None], strict=True):
        if not plan.interval_us:
            continue
        assert after is not None, "a plan that never ended"
        at, slot = plan.start_us, plan.first_slot
        while at < after.start_us:
            assert slot not in due, f"slot {slot} is due twice"
            due[slot] = at
            at += plan.interval_us
            slot += 1
    return due


def check_account(sink: ListSink, device: int) -> dict[int, int]:
    """Every due slot is in one block or one gap, and nothing else is. Gives the due slots."""
    due = due_slots(sink.plans(device))
    seen = [b.slot for b in sink.blocks if b.device == device]
    assert len(seen) == len(set(seen)), "two blocks for one slot"
    assert set(seen) <= set(due)
    missed: set[int] = set()
    looks = 0
    for gap in sink.gaps(device):
        if not gap.looks:
            continue
        assert gap.first_slot is not None
        assert gap.last_slot is not None
        span = set(range(gap.first_slot, gap.last_slot + 1))
        assert gap.looks <= len(span)
        if gap.reason.value != "overrun":
            assert gap.looks == len(span)
            assert not span & set(seen), "a slot in a block and in a gap"
            assert not span & missed, "a slot in two gaps"
            missed |= span
        looks += gap.looks
    overrun = {
        slot
        for gap in sink.gaps(device)
        if gap.reason.value == "overrun"
        for slot in range(gap.first_slot or 0, (gap.last_slot or 0) + 1)
    }
    assert set(due) <= set(seen) | missed | overrun, "a due slot that nobody speaks of"
    assert looks + len(seen) == len(due), (looks, len(seen), len(due))
    return due
