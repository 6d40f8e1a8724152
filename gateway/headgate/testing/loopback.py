"""A driver at the other end of a wire, as a host process would hold it, within one test.

    async with loopback(MyDriver(), lines={"bus-1": FakeChannel(...)}) as driver:
        await driver.prepare([device])
        block = await driver.read(channel, device, driver.plan(device))

Everything that crosses is length-prefixed msgpack on a socketpair: devices, blocks, deliveries, values,
errors. Lines do not cross: the far side opens its own, as a host does with the descriptor it is passed,
so a framing stays beside the driver that wrote it. A plan does not cross either: it stays where it was
made, and the near side holds a token.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from headgate.model import Identity, Origin, Value
from headgate.sdk import (
    Alarm,
    Block,
    Channel,
    ChannelClosed,
    Delivery,
    Device,
    Driver,
    Listener,
    ListeningDriver,
    PluginError,
    PollingDriver,
    StreamingDriver,
)
from headgate.sdk.wire import WireError, error_from_wire, error_to_wire

T = TypeVar("T")
Line = Channel | Listener
_LONGEST = 8 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One frame. `call` and `cancel` go out, `reply` and `error` come back under the same id.

    Both ends may call: the near side for looks, the far side for `durable`.
    """

    kind: str
    id: int
    what: str = ""
    body: msgspec.Raw = msgspec.Raw(b"\xc0")


class Look(msgspec.Struct, frozen=True, array_like=True):
    """What a call is about. `stream` names an open stream, `line` a channel or listener."""

    line: str = ""
    devices: tuple[Device, ...] = ()
    point: str = ""
    raw: Any = None
    stream: int = 0


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """A delivery as it crosses: its id stands for `durable()`."""

    id: int
    blocks: tuple[Block, ...]
    origin: Origin
    alarms: tuple[Alarm, ...] = ()


Answerer = Callable[[str, Look], Awaitable[Any]]


class Peer:
    """One end: calls, and answers calls. Cancelling a call cancels the work at the other end."""

    def __init__(self, sock: socket.socket, answer: Answerer) -> None:
        self._sock = sock
        self._answer = answer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._working: dict[int, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        #: Frames that crossed to this end.
        self.received = 0

    async def open(self) -> None:
        """Start listening to the other end."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._sock)
        self._task = asyncio.create_task(self._read(), name="loopback")

    async def close(self) -> None:
        """Hang up. Who waits is told that the line is closed."""
        self._writer.close()
        tasks = [t for t in (self._task, *self._working.values()) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    async def call(self, what: str, look: Look, kind: type[T] | Any) -> T:
        """Ask the other end; its answer as a `kind`, or its error raised here."""
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._send("call", number, what, look)
            return msgspec.msgpack.decode(await future, type=kind)
        except asyncio.CancelledError:
            # The other end must stop too. Written at once: a cancelled task may not wait for long.
            self._write("cancel", number)
            raise
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > _LONGEST:
                    raise PluginError(f"a frame of {size} bytes")
                data = await self._reader.readexactly(size)
                self.received += 1
                self._take(msgspec.msgpack.decode(data, type=Message))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ChannelClosed("the other end is gone"))
            for task in self._working.values():
                task.cancel()

    def _take(self, message: Message) -> None:
        if message.kind == "call":
            work = asyncio.create_task(self._work(message), name=f"loopback {message.what}")
            self._working[message.id] = work
            work.add_done_callback(lambda done: self._working.pop(message.id, None))
        elif message.kind == "cancel":
            if task := self._working.get(message.id):
                task.cancel()
        elif (future := self._waiting.get(message.id)) and not future.done():
            if message.kind == "reply":
                future.set_result(message.body)
            else:
                wire = msgspec.msgpack.decode(message.body, type=WireError)
                future.set_exception(error_from_wire(wire))

    async def _work(self, message: Message) -> None:
        try:
            result = await self._answer(
                message.what, msgspec.msgpack.decode(message.body, type=Look)
            )
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the other end
            await self._send("error", message.id, "", error_to_wire(error))
        else:
            await self._send("reply", message.id, "", result)

    async def _send(self, kind: str, number: int, what: str = "", body: Any = None) -> None:
        async with self._sending:
            self._write(kind, number, what, body)
            await self._writer.drain()

    def _write(self, kind: str, number: int, what: str = "", body: Any = None) -> None:
        raw = msgspec.Raw(msgspec.msgpack.encode(body))
        data = msgspec.msgpack.encode(Message(kind, number, what, raw))
        self._writer.write(len(data).to_bytes(4, "big") + data)


# ---------------------------------------------------------------- the far side: where the plugin lives


class _Host:
    def __init__(self, driver: Driver, lines: Mapping[str, Line]) -> None:
        self.driver = driver
        self.lines = lines
        self.peer: Peer
        self._plans: dict[str, Any] = {}
        self._streams: dict[int, AsyncIterator[Any]] = {}
        self._ids = itertools.count(1)

    async def answer(self, what: str, look: Look) -> Any:
        driver = self.driver
        if what == "next":
            return await self._next(look.stream)
        if what == "end":
            await self.end(look.stream)
            return None
        if what == "plan":
            assert isinstance(driver, PollingDriver)
            (device,) = look.devices
            self._plans[device.id] = driver.plan(device)
            return None
        line: Any = self.lines[look.line]
        if what == "listen":
            assert isinstance(driver, StreamingDriver)
            return self._begin(driver.listen(line, look.devices))
        if what == "serve":
            assert isinstance(driver, ListeningDriver)
            return self._begin(driver.serve(line, look.devices))
        (device,) = look.devices
        if what == "read":
            assert isinstance(driver, PollingDriver)
            return await driver.read(line, device, self._plans[device.id])
        if what == "identify":
            return await driver.identify(line, device)
        assert what == "write"
        return await driver.write(line, device, look.point, look.raw)

    def _begin(self, stream: AsyncIterator[Any]) -> int:
        number = next(self._ids)
        self._streams[number] = stream
        return number

    async def _next(self, number: int) -> tuple[bool, Any]:
        try:
            item = await anext(self._streams[number])
        except StopAsyncIteration:
            del self._streams[number]
            return False, None
        if not isinstance(item, Delivery):
            return True, item
        key = next(self._ids)
        item.bind(lambda: self.peer.call("durable", Look(stream=key), None))
        return True, Delivered(key, item.blocks, item.origin, item.alarms)

    async def end(self, number: int) -> None:
        stream: Any = self._streams.pop(number, None)
        if stream is not None:
            await stream.aclose()

    async def close(self) -> None:
        for number in list(self._streams):
            await self.end(number)


# ---------------------------------------------------------------- the near side: what the core sees


class _Crossed(Delivery):
    """A delivery that came over the wire: `durable` waits until the core has bound it."""

    def __init__(
        self, blocks: Sequence[Block], origin: Origin, alarms: Sequence[Alarm] = ()
    ) -> None:
        super().__init__(blocks, origin, alarms)
        self._bound = asyncio.Event()

    def bind(self, wait: Callable[[], Awaitable[None]]) -> None:
        super().bind(wait)
        self._bound.set()

    async def durable(self) -> None:
        await self._bound.wait()
        await super().durable()


class _Near:
    peer: Peer

    def __init__(self) -> None:
        self._planned: dict[str, Exception | None] = {}
        self._deliveries: dict[int, _Crossed] = {}

    async def answer(self, what: str, look: Look) -> Any:
        assert what == "durable"
        try:
            await self._deliveries[look.stream].durable()
        finally:
            del self._deliveries[look.stream]

    async def prepare(self, devices: Sequence[Device]) -> None:
        """Have plans made at the far side. What `plan` would raise it raises when it is asked."""
        for device in devices:
            try:
                await self.peer.call("plan", Look(devices=(device,)), None)
                self._planned[device.id] = None
            except Exception as error:  # noqa: BLE001 - kept for `plan`
                self._planned[device.id] = error

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        kind: Any = Identity | None
        look = Look(line=channel.id, devices=(device,))
        identity: Identity | None = await self.peer.call("identify", look, kind)
        return identity

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        look = Look(channel.id, (device,), point, raw)
        value: Value = await self.peer.call("write", look, Any)
        return value

    async def _stream(self, what: str, look: Look, kind: Any) -> AsyncIterator[Any]:
        number: int = await self.peer.call(what, look, int)
        shape: Any = tuple[bool, kind | None]
        ended = False
        try:
            while True:
                try:
                    more, item = await self.peer.call("next", Look(stream=number), shape)
                except Exception:
                    ended = True
                    raise
                if not more:
                    ended = True
                    return
                if isinstance(item, Delivered):
                    crossed = _Crossed(item.blocks, item.origin, item.alarms)
                    self._deliveries[item.id] = crossed
                    yield crossed
                else:
                    yield item
        finally:
            if not ended:
                await self.peer.call("end", Look(stream=number), None)


class RemotePolling(_Near, PollingDriver):
    """A polling driver at the far side. `prepare` comes before `plan`."""

    name = "loopback"

    def plan(self, device: Device) -> str:
        error = self._planned[device.id]
        if error is not None:
            raise error
        return device.id

    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        return await self.peer.call("read", Look(channel.id, (device,)), Block)


class RemoteStreaming(_Near, StreamingDriver):
    """A streaming driver at the far side."""

    name = "loopback"

    def listen(self, channel: Channel, devices: Sequence[Device]) -> AsyncIterator[Block | Alarm]:
        return self._stream("listen", Look(channel.id, tuple(devices)), Block | Alarm)


class RemoteListening(_Near, ListeningDriver):
    """A listening driver at the far side."""

    name = "loopback"

    def serve(self, listener: Listener, devices: Sequence[Device]) -> AsyncIterator[Delivery]:
        return self._stream("serve", Look(listener.id, tuple(devices)), Delivered)


Remote = RemotePolling | RemoteStreaming | RemoteListening


@asynccontextmanager
async def loopback(driver: Driver, lines: Mapping[str, Line]) -> AsyncIterator[Any]:
    """The same driver, at the far end of a wire.

    Args:
        driver: a driver of any shape; only the far side touches it.
        lines: channels and listeners by id, as the far side opens them.
    """
    near: Remote
    if isinstance(driver, PollingDriver):
        near = RemotePolling()
    elif isinstance(driver, StreamingDriver):
        near = RemoteStreaming()
    else:
        near = RemoteListening()
    host = _Host(driver, lines)
    ours, theirs = socket.socketpair()
    near.peer, host.peer = Peer(ours, near.answer), Peer(theirs, host.answer)
    await asyncio.gather(near.peer.open(), host.peer.open())
    try:
        yield near
    finally:
        await near.peer.close()
        await host.peer.close()
        await host.close()
