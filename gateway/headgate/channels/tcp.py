"""One outgoing TCP (or TLS) connection as a channel: many requests, one protocol object, one timer.

A request costs one future. There is no task and no timeout object per request: deadlines stand beside
the futures, and one timer per channel wakes at the earliest of them.

A late answer must never become the value of another request. Where the framing's keys are unique (a
transaction id), it is recognised and counted as stale. Where they are not (RTU bytes through a serial
server), a request that failed leaves the line *in doubt*: nothing is sent until either the late bytes
have come and the line has been quiet for `quiet_s`, or one more whole timeout has passed in silence.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Hashable
from typing import cast

from headgate.channels.base import ChannelSettings, ChannelState, Direction, ManagedChannel
from headgate.env import Env
from headgate.errors import ChannelClosed, ChannelTimeout
from headgate.sdk import Frame, Framing, LineSettings

log = logging.getLogger(__name__)

#: More than any framing of ours leaves unfinished; a vendor's framing that keeps more is cut here.
BUFFER_LIMIT = 64 * 1024
#: Frames of a talking device kept for a slow reader; older ones are dropped and counted as stale.
TALK_LIMIT = 1024
#: What a device says before anybody reads a new connection is kept for the reader: so much of it, and not
#: for long, because who reads it takes it for said just now.
EARLY_LIMIT, EARLY_S = 4096, 2.0


class TcpChannel(ManagedChannel):
    """A TCP connection that keeps itself open from `open` until `close`."""

    #: Whether the line is TLS, by certificates in files.
    _secure = False

    def __init__(self, env: Env, settings: ChannelSettings, host: str, port: int) -> None:
        super().__init__()
        self.id = settings.id
        self.url = settings.url
        self.depth = settings.depth
        self._env = env
        self._settings = settings
        self._host = host
        self._port = port
        self._now_us = env.clock.boottime_us
        self._tls = settings.tls
        self._line: _Line | None = None
        self._last: _Line | None = None  # also when it is being dropped
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._talk: _Talk | None = None
        # Of the connection now open.
        self._pending: dict[Hashable, tuple[asyncio.Future[bytes], float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._buffer = bytearray()
        self._framing: Framing | None = None
        #: Bytes that came before anybody asked or read, and since when; None once somebody did.
        self._early: bytearray | None = None
        self._early_since = 0.0
        self._unanswered = 0
        self._quiet_at = 0.0  # not 0: in doubt, and quiet when the loop's clock is there
        self._doubt_until = 0.0

    # ------------------------------------------------------------ what a driver does

    def now_us(self) -> int:
        return self._now_us()

    def wall_us(self) -> int | None:
        state, _ = self._env.clock.wall_state()
        return None if state == "unsynced" else self._env.clock.wall_us()

    async def exchange(
        self,
        request: bytes,
        framing: Framing,
        *,
        key: Hashable = None,
        timeout_s: float | None = None,
        settings: LineSettings | None = None,
    ) -> bytes:
        if self._quiet_at:
            await self._drain()
        line = self._line
        if line is None:
            raise self._closed()
        if self._early is not None:
            self._drop_early()
        pending = self._pending
        if key in pending:
            raise ValueError(f"channel {self.id}: an answer with key {key!r} is awaited already")
        timeout = timeout_s or self._settings.timeout_s
        loop = line.loop
        future: asyncio.Future[bytes] = loop.create_future()
        deadline = loop.time() + timeout
        pending[key] = (future, deadline)
        if self._timer is None or deadline < self._timer_at:
            self._wake_at(loop, deadline)
        self._framing = framing
        self._send(line, request)
        counters = self.counters
        counters.requests += 1
        try:
            answer = await future
        except TimeoutError:
            counters.timeouts += 1
            self._doubt(framing, loop, timeout)
            raise ChannelTimeout(
                f"channel {self.id}: no answer within {timeout:g} s",
                channel=self.id,
                url=self.url,
                timeout_s=timeout,
            ) from None
        except asyncio.CancelledError:
            if pending.pop(key, None) is not None:
                self._doubt(framing, loop, timeout)
            raise
        counters.answers += 1
        return answer

    async def send(self, data: bytes) -> None:
        if self._quiet_at:
            await self._drain()
        if self._line is None:
            raise self._closed()
        self._send(self._line, data)

    async def frames(self, framing: Framing) -> AsyncIterator[Frame]:
        if self._line is None:
            raise self._closed()
        if self._talk is not None:
            raise ValueError(f"channel {self.id}: somebody reads its frames already")
        self._talk = talk = _Talk()
        self._framing = framing
        line, early = self._line, self._early
        if early and line.loop.time() - self._early_since <= EARLY_S:
            self._early = None
            self._take(line, framing, bytes(early))
        else:
            self._drop_early()
        try:
            while (frame := await talk.next()) is not None:
                yield frame
        finally:
            self._talk = None

    # ------------------------------------------------------------ what the runtime does

    def open(self) -> None:
        if self._task is not None:
            raise ValueError(f"channel {self.id} is open already")
        self._settled.clear()
        self._enter(ChannelState.OPENING)
        self._task = asyncio.get_running_loop().create_task(
            self._keep_open(), name=f"channel {self.id}"
        )

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if (line := self._last) is not None:
            line.transport.abort()
            await line.lost.wait()
        self._settled.set()
        self._enter(ChannelState.CLOSED)

    async def settled(self) -> None:
        await self._settled.wait()

    def reopen(self, reason: str) -> None:
        """Drop the connection and open a new one; pending requests fail with ChannelClosed."""
        line, self._line = self._line, None
        if line is not None:
            line.transport.abort()
            self._fall(reason)

    # ------------------------------------------------------------ the connection

    async def _keep_open(self) -> None:
        """Connect, wait until lost, back off, for ever."""
        settings = self._settings
        wait = settings.retry_first_s
        while True:
            try:
                async with asyncio.timeout(settings.connect_timeout_s):
                    line = await self._dial()
            except (OSError, TimeoutError) as error:
                self.counters.connect_failures += 1
                reason = str(error) or f"no connection within {settings.connect_timeout_s:g} s"
                self._enter(ChannelState.DOWN, reason)
                self._settled.set()
            else:
                self._settled.set()
                await line.lost.wait()
                if line.spoke:
                    # It did answer: the line is good, and the next attempt need not be patient.
                    wait = settings.retry_first_s
            await asyncio.sleep(wait * self._env.random.uniform(0.5, 1.5))
            wait = min(wait * 2, settings.retry_cap_s)

    async def _dial(self) -> _Line:
        """One attempt to open the line. Raises OSError. Other kinds of lines differ in this alone."""
        tls = self._tls
        if tls is None and self._secure and (files := self._settings.tls_files) is not None:
            # Only now: a certificate that is missing keeps this one line down, not the gateway.
            tls = self._tls = files.context()
        _, line = await self._env.net.connect(
            lambda: _Line(self),
            self._host,
            self._port,
            tls=tls,
            server_name=self._settings.server_name,
        )
        return line

    def _made(self, line: _Line) -> None:
        if self._task is None:
            line.transport.abort()
            return
        _defend_against_half_open(line.transport, self._settings.unacknowledged_s)
        self._line = self._last = line
        self._buffer.clear()
        self._early = bytearray()
        self._quiet_at = 0.0
        self._unanswered = 0
        self.counters.connects += 1
        self._enter(ChannelState.UP)

    def _lost(self, line: _Line, error: Exception | None) -> None:
        if self._line is line:
            self._line = None
            self._fall(str(error) if error else "closed by the other side")

    def _fall(self, reason: str) -> None:
        """The connection is no more: everybody who waits is told at once."""
        self._buffer.clear()
        self._quiet_at = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, {}
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(self._closed(reason))
        if self._talk is not None:
            self._talk.end()
        self._enter(ChannelState.DOWN, reason)

    def _closed(self, reason: str | None = None) -> ChannelClosed:
        why = reason or self.reason or self.state.value
        return ChannelClosed(
            f"channel {self.id}: the line is not open: {why}",
            channel=self.id,
            url=self.url,
            reason=why,
        )

    # ------------------------------------------------------------ bytes

    def _send(self, line: _Line, data: bytes) -> None:
        line.transport.write(data)
        self.counters.bytes_sent += len(data)
        if self._taps:
            self._show("sent", data)

    def _received(self, line: _Line, data: bytes) -> None:
        counters = self.counters
        counters.bytes_received += len(data)
        self._unanswered = 0
        if self._taps:
            self._show("received", data)
        framing = self._framing
        if self._quiet_at:
            # The late answer is here: from now on a short silence is enough.
            counters.dropped_bytes += len(data)
            self._quiet_at = line.loop.time() + self._settings.quiet_s
            return
        if self._early is not None and self._talk is None:
            self._keep_early(line, data)
            return
        if framing is None or not (self._pending or self._talk or _unique(framing)):
            counters.dropped_bytes += len(data)
            return
        self._take(line, framing, data)

    def _take(self, line: _Line, framing: Framing, data: bytes) -> None:
        """Frames of what came, each to who waits for it."""
        counters = self.counters
        buffer = self._buffer
        buffer += data
        while (frame := framing.next(buffer)) is not None:
            line.spoke = True
            waiting = self._pending.pop(frame.key, None)
            if waiting is not None and not waiting[0].done():
                waiting[0].set_result(frame.payload)
            elif self._talk is not None:
                counters.stale += self._talk.put(frame)
            else:
                counters.stale += 1
        if len(buffer) > BUFFER_LIMIT:
            counters.dropped_bytes += len(buffer)
            buffer.clear()

    def _keep_early(self, line: _Line, data: bytes) -> None:
        """Nobody has asked or read since the line came up: a reader may be on its way."""
        early, now = self._early, line.loop.time()
        assert early is not None
        if early and now - self._early_since > EARLY_S:
            self.counters.dropped_bytes += len(early)
            early.clear()
        if not early:
            self._early_since = now
        early += data
        if (over := len(early) - EARLY_LIMIT) > 0:
            self.counters.dropped_bytes += over
            del early[:over]

    def _drop_early(self) -> None:
        """What came before the first request answers nobody."""
        early, self._early = self._early, None
        self.counters.dropped_bytes += len(early or b"")

    def _show(self, direction: Direction, data: bytes) -> None:
        at_us = self._now_us()
        for tap in self._taps:
            tap(direction, data, at_us)

    # ------------------------------------------------------------ deadlines and doubt

    def _wake_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = loop.call_at(when, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail what is overdue; sleep until the next deadline, if there is one."""
        self._timer = None
        # A timer may fire a little early: uvloop counts in milliseconds.
        now = loop.time() + 0.001
        overdue = [key for key, (_, deadline) in self._pending.items() if deadline <= now]
        for key in overdue:
            future, _ = self._pending.pop(key)
            if not future.done():
                future.set_exception(TimeoutError())
                self._unanswered += 1
        if self._pending:
            self._wake_at(loop, min(deadline for _, deadline in self._pending.values()))
        elif overdue:
            # Half a frame that nobody waits for would be glued to the next answer.
            self.counters.dropped_bytes += len(self._buffer)
            self._buffer.clear()
        if self._unanswered >= self._settings.silent_limit:
            # The connection lives and nobody answers on it: a hung server, or a NAT that forgot us.
            log.info("line silent, opening anew", extra={"channel": self.id})
            self.reopen(f"nothing came back for {self._unanswered} requests")

    def _doubt(self, framing: Framing, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        if self._line is None or _unique(framing):
            return
        now = loop.time()
        if not self._quiet_at:
            self._doubt_until = now + timeout + self._settings.drain_limit_s
        self._quiet_at = max(self._quiet_at, now + timeout)
        self._buffer.clear()

    async def _drain(self) -> None:
        """Return when what may still come has come, or the line was opened anew."""
        loop = asyncio.get_running_loop()
        while self._quiet_at:
            now = loop.time()
            if now >= self._quiet_at:
                self._quiet_at = 0.0
            elif now >= self._doubt_until:
                self._quiet_at = 0.0
                self.reopen("it does not stop talking")
                raise self._closed()
            else:
                await asyncio.sleep(min(self._quiet_at, self._doubt_until) - now)


class TlsChannel(TcpChannel):
    """The same over TLS. Source: MODBUS/TCP Security V2.1 (port 802, both sides show certificates)."""

    _secure = True


class _Line(asyncio.Protocol):
    """One connection of a channel."""

    transport: asyncio.Transport

    def __init__(self, channel: TcpChannel) -> None:
        self.channel = channel
        self.loop = asyncio.get_running_loop()
        #: Set when the connection is gone.
        self.lost = asyncio.Event()
        #: Whether a whole frame ever came over it.
        self.spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses: nothing to assert by.
        self.transport = cast(asyncio.Transport, transport)
        self.channel._made(self)

    def data_received(self, data: bytes) -> None:
        self.channel._received(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.channel._lost(self, exc)
        self.lost.set()


class _Talk:
    """Frames of a device that talks by itself, on their way to one reader."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def put(self, frame: Frame) -> int:
        """Keep a frame; how many older ones had to go for it."""
        dropped = len(self._frames) >= TALK_LIMIT
        if dropped:
            self._frames.popleft()
        self._frames.append(frame)
        self._news.set()
        return int(dropped)

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def next(self) -> Frame | None:
        while not self._frames:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        return self._frames.popleft()


def _unique(framing: Framing) -> bool:
    """Whether a frame's key names one request for good (`unique_keys`, False when not said)."""
    return bool(getattr(framing, "unique_keys", False))


def _defend_against_half_open(transport: asyncio.Transport, unacknowledged_s: float) -> None:
    """Let the kernel find out when the peer is gone without a word (power cut, cable, NAT)."""
    line = transport.get_extra_info("socket")
    if line is None:
        return
    options = [
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", int(unacknowledged_s * 1000)),
    ]
    for level, name, value in options:
        try:
            line.setsockopt(level, getattr(socket, name), value)
        except (AttributeError, OSError):  # not on this system, or not a TCP socket
            continue
