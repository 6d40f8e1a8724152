"""A port that stations dial: TCP or UDP, IPv4 and IPv6, bounded in everything a stranger can take.

    sl651+listen://[::]:5651             TCP; [::] and * stand for both families
    sl651+listen+udp://0.0.0.0:5651      datagrams; each sender is a call of its own

The port is open to whoever reaches it. Until a caller has said a name that the site knows it may cost little:
some bytes, some seconds, one of a bounded number of places, and one line in the log for many refusals.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from headgate.channels.calls import Call, TcpCall
from headgate.channels.datagrams import Datagrams
from headgate.channels.places import Limits, Places, counted_as
from headgate.channels.words import Words
from headgate.env import Env
from headgate.messages import say
from headgate.sdk import Channel, Device, Listener

log = logging.getLogger(__name__)

__all__ = ["Limits", "ListeningPort", "Stranger"]

BOTH = ("*", "::", "")


class Stranger(msgspec.Struct, frozen=True):
    """A station that the site does not name: who it says it is, from where, how often, when last."""

    station: str
    peer: str
    times: int
    at_us: int


_LOOK_S = 1.0
#: Callers that wait for the driver to answer them.
_UNANSWERED = 4096
#: Strangers that are remembered: those who called last.
_MOST_STRANGERS = 256


class ListeningPort(Listener):
    """One port. `open`, then `accept`; `close` ends every call."""

    def __init__(self, env: Env, channel_id: str, url: str, limits: Limits | None = None) -> None:
        self.id, self.url = channel_id, url
        self.limits = limits or Limits()
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "*", parts.port or 0
        self._udp = parts.scheme.endswith("+udp")
        self._env = env
        self._servers: list[asyncio.AbstractServer | asyncio.DatagramTransport] = []
        self._calls: dict[Call, str] = {}
        self._places: Places[Call] = Places(self.limits)
        self._answering: asyncio.Queue[Call] = asyncio.Queue(_UNANSWERED)
        self._look: asyncio.TimerHandle | None = None
        #: What was refused and why, what came.
        self.tally: Counter[str] = Counter()
        self._strangers: dict[str, Stranger] = {}
        self.on_two_sources: Callable[[Device, Channel, Channel], None] = lambda d, a, b: None
        #: Takes frames for a second centre; nobody wants them unless the site says so.
        self.on_relay: Callable[[str, bytes, bool], None] | None = None
        #: The alarms that a device has raised itself and not cleared.
        self.on_standing: Callable[[Device], Collection[str]] = lambda device: ()
        self._words = Words()
        #: What traces watch: way ("rx", "tx"), peer, bytes.
        self.taps: list[Callable[[str, str, bytes], None]] = []

    # ------------------------------------------------------------ life

    async def open(self) -> None:
        """Stand at the port. Raises OSError: it cannot be had."""
        hosts = self._hosts()
        try:
            for host in hosts:
                try:
                    await self._listen(host)
                except OSError:
                    if host == hosts[-1] and not self._servers:
                        raise
                    continue  # a box without IPv6 has the other family
                if self._udp:
                    break  # a datagram socket of :: hears both
        except BaseException:
            self._shut()
            raise
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_round)

    def _hosts(self) -> tuple[str, ...]:
        if self._host not in BOTH:
            return (self._host,)
        v4, v6 = "0.0.0.0", "::"  # noqa: S104 - a port for stations is for everybody who reaches it
        return (v6, v4) if self._udp else (v4, v6)

    async def _listen(self, host: str) -> None:
        port = self.number or self._port
        if self._udp:
            transport, _ = await self._env.net.listen_udp(lambda: Datagrams(self), host, port)
            self._servers.append(transport)
        else:
            made = lambda: TcpCall(self._came)  # noqa: E731
            self._servers.append(await self._env.net.listen(made, host, port))

    @property
    def number(self) -> int | None:
        """The port that is really listened on, where the URL says 0."""
        for server in self._servers:
            if isinstance(server, asyncio.DatagramTransport) or hasattr(server, "get_extra_info"):
                return int(server.get_extra_info("sockname")[1])
            sockets: Any = getattr(server, "sockets", ())
            return int(sockets[0].getsockname()[1]) if sockets else None
        return None

    async def close(self) -> None:
        """End every call and leave the port."""
        if self._look is not None:
            self._look.cancel()
        self._shut()
        for call in list(self._calls):
            call.hang_up()

    def _shut(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def accept(self) -> AsyncIterator[Channel]:
        """Every call that comes, until cancelled."""
        while True:
            call = await self._answering.get()
            if call.open:
                yield call

    # ------------------------------------------------------------ who comes and goes

    @property
    def calls(self) -> list[Call]:
        """Everybody who is on the line now."""
        return list(self._calls)

    def call_of(self, station: str) -> Call | None:
        """The call that a station is on: the newest that bears its name; None while it is on none."""
        here = (call for call in reversed(self._calls) if call.open and station in call.names)
        return next(here, None)

    def stations(self) -> dict[str, Call]:
        """Every station that is on a call, and on which."""
        return {station: call for call in self._calls for station in call.names}

    def _came(self, line: TcpCall) -> Call | None:
        return self.take(line.host, line.peer, line)

    def _named(self, call: Call) -> None:
        if (host := self._calls.get(call)) is not None:
            self._places.named(host, call)

    def _gone(self, call: Call) -> None:
        if (host := self._calls.pop(call, None)) is not None:
            self._places.leave(host, call)

    def take(self, host: str, peer: str, wire: Any) -> Call | None:
        """A new caller; None when there is no place for it."""
        host = counted_as(host)
        why = self._places.refusal(host, asyncio.get_running_loop().time())
        if why is not None or self._answering.full():
            self.refuse(why or "busy", peer, b"")
            return None
        if (oldest := self._places.crowded(host)) is not None:
            self.refuse("strangers", oldest.peer, b"")
            oldest.hang_up()
        call = Call(self.id, self.url, peer, wire, self._env.clock.boottime_us, self.limits)
        if self.taps:
            self._tap(call)
        call.on_named, call.on_end, call.wall = self._named, self._gone, self.wall_us
        call.on_babble = self._babbles
        self._calls[call] = host
        self._places.take(host, call)
        self.tally["calls"] += 1
        self._answering.put_nowait(call)
        return call

    def _babbles(self, call: Call, data: bytes) -> None:
        """Somebody talks and talks, and says no name that the site knows."""
        self.refuse("unnamed", call.peer, data)
        call.hang_up()

    def _look_round(self) -> None:
        """Callers who do not say who they are, or nothing at all any more."""
        now_us = self._env.clock.boottime_us()
        for call in list(self._calls):
            if not call.name and now_us - call.began_us > self.limits.introduce_s * 1e6:
                self.refuse("unnamed", call.peer, b"")
                call.hang_up()
            elif now_us - call.heard_us > self.limits.idle_s * 1e6:
                self.tally["idle"] += 1
                call.hang_up()
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_round)

    def watch(self, tap: Callable[[str, str, bytes], None]) -> None:
        """Show every byte of every call to `tap`: way ("rx", "tx"), who it is or from where, bytes."""
        self.taps.append(tap)
        for call in self._calls:
            self._tap(call)

    def unwatch(self, tap: Callable[[str, str, bytes], None]) -> None:
        """Show `tap` no more."""
        self.taps.remove(tap)
        if not self.taps:
            for call in self._calls:
                call.tap = lambda way, data: None

    def _tap(self, call: Call) -> None:
        def show(way: str, data: bytes) -> None:
            for tap in self.taps:
                tap(way, f"{call.peer} {call.name}".rstrip(), data)

        call.tap = show

    # ------------------------------------------------------------ what drivers ask and tell

    def wall_us(self) -> int | None:
        """Now, while the clock is trusted."""
        state, _ = self._env.clock.wall_state()
        return None if state == "unsynced" else self._env.clock.wall_us()

    def refuse(self, why: str, peer: str, data: bytes, **more: str) -> None:
        """Count somebody who was turned away, and say so now and then."""
        self.tally[f"refused-{why}"] += 1
        self._say("HG-3600", why, peer=peer, why=why, said=data[:32].hex(" "), **more)

    def stranger(self, station: str, channel: Channel) -> None:
        """A station that no device of the site has."""
        self.tally["refused-stranger"] += 1
        before = self._strangers.pop(station, None)
        times = 1 if before is None else before.times + 1
        now_us = self._env.clock.boottime_us()
        self._strangers[station] = Stranger(station[:64], channel.peer, times, now_us)
        # The newest stay: who makes up numbers must not hide the station that was just put up.
        while len(self._strangers) > _MOST_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._say("HG-3601", f"stranger {station}", station=station, peer=channel.peer)

    @property
    def strangers(self) -> list[Stranger]:
        """Who called under a name that the site does not know, newest first; the newest 256."""
        return list(reversed(self._strangers.values()))

    def two_sources(self, device: Device, before: Channel, now: Channel) -> None:
        """Two calls in the name of one device."""
        self.tally["two-sources"] += 1
        self._say(
            "HG-3602", f"two {device.id}", device=device.id, peer=now.peer, before=before.peer
        )
        self.on_two_sources(device, before, now)

    @property
    def relays(self) -> bool:
        """Whether the site names a second centre."""
        return self.on_relay is not None

    def relay(self, station: str, frame: bytes, *, answered: bool) -> None:
        """A right frame of a station, for a second centre."""
        if self.on_relay is not None:
            self.on_relay(station, frame, answered)

    def standing(self, device: Device) -> Collection[str]:
        """What a device has raised and not cleared, also before a restart."""
        return self.on_standing(device)

    def broke(self, channel: Channel, error: Exception) -> None:
        """A driver failed on a call."""
        self.tally["broken-calls"] += 1
        log.error("call failed", exc_info=error, extra={"channel": self.id, "peer": channel.peer})

    def faulty(self, channel: Channel, what: str, data: bytes) -> None:
        """Bytes that were no frame."""
        self.tally[f"bad-{what}"] += 1
        said = data[:32].hex(" ")
        self._say("HG-3603", f"bad {what}", peer=channel.peer, what=what, said=said)

    def _say(self, code: str, about: str, **fields: str) -> None:
        times = self._words.due(about, asyncio.get_running_loop().time())
        if times:
            text = say(code, "en", channel=self.id, times=times, **fields)
            log.warning(text, extra={"code": code, "channel": self.id, "times": times, **fields})
