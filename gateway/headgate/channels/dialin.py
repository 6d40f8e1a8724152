"""Lines that dial in: a DTU on a mobile network connects to us, says who it is, and is then polled.

One port serves many DTUs; each is a channel of its own in the site file, known by its registration
packet. The port is open to whoever reaches it, so until a caller has said a registration that the
site names it may cost little: few bytes, little time, a bounded number of callers, and one line in
the log for many refusals.

A DTU whose network dropped dials again long before our end of the old connection dies. So the newest
connection with its registration wins, and the old one is closed.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

from headgate.channels.base import ChannelSettings, ChannelState
from headgate.channels.bus import BusChannel
from headgate.channels.tcp import _Line
from headgate.env import Env
from headgate.sdk import LineSettings

log = logging.getLogger(__name__)

#: A registration packet is never longer.
MAX_REGISTRATION = 256
#: How long a caller may take to say who it is.
REGISTER_WITHIN_S = 15.0
#: A registration is over when nothing followed for this long: it has no end mark of its own.
REGISTRATION_QUIET_S = 0.15
#: Callers that have not said who they are, at once.
MAX_STRANGERS = 64
#: Refusals are logged at most this often; the next line says how many there were meanwhile.
LOG_EVERY_S = 10.0
#: What a DTU may add to a registration or heartbeat: line ends, blanks, a closing NUL.
PADDING = b"\r\n\0 \t"


def packets_of(url: str) -> tuple[bytes, bytes]:
    """(registration, heartbeat) of a URL; the heartbeat may be empty.

    Raises:
        ValueError: no registration, or one of them is none.
    """
    query = parse_qs(urlsplit(url).query)
    registration, heartbeat = (query.get(key, [""])[0] for key in ("registration", "heartbeat"))
    if not registration:
        raise ValueError("no registration: ?registration=TEXT or ?registration=hex:0A0B")
    return packet_of(registration), packet_of(heartbeat) if heartbeat else b""


def packet_of(text: str) -> bytes:
    """A registration or heartbeat as written in the URL: text, or `hex:0A0B`.

    Raises:
        ValueError: nothing, not hex, or too long.
    """
    data = bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
    if not data or len(data) > MAX_REGISTRATION:
        raise ValueError(f"1 to {MAX_REGISTRATION} bytes")
    return data


class DialInChannel(BusChannel):
    """The line to one DTU: up while it is connected to us."""

    def __init__(
        self, env: Env, settings: ChannelSettings, host: str, port: int, line: LineSettings
    ) -> None:
        super().__init__(env, settings, host, port, line)
        self.registration, self.heartbeat = packets_of(settings.url)

    async def _keep_open(self) -> None:
        """Stand at the port until closed; a port that cannot be had is tried again."""
        port = DialInPort.of(self._env, self._host, self._port)
        wait = self._settings.retry_first_s
        while True:
            try:
                await port.join(self)
            except OSError as error:
                self.counters.connect_failures += 1
                self._enter(ChannelState.DOWN, str(error))
                self._settled.set()
                await asyncio.sleep(wait * self._env.random.uniform(0.5, 1.5))
                wait = min(wait * 2, self._settings.retry_cap_s)
                continue
            try:
                self._enter(ChannelState.DOWN, "it has not dialled in yet")
                self._settled.set()
                await asyncio.get_running_loop().create_future()
            finally:
                port.leave(self)

    @property
    def listening_on(self) -> int | None:
        """The port that is really listened on, where the URL says 0."""
        return DialInPort.of(self._env, self._host, self._port).number

    def adopt(self, transport: asyncio.Transport) -> None:
        """This connection is the line from now on; one that was there is closed."""
        if self._line is not None:
            log.info("DTU dialled in again", extra={"channel": self.id})
            self.reopen("replaced by a newer connection")
        line = _Line(self)
        line.transport = transport
        transport.set_protocol(line)
        self._made(line)

    def _received(self, line: _Line, data: bytes) -> None:
        if self._is_chatter(data):
            # The DTU is there, whatever the device behind it does.
            self.counters.bytes_received += len(data)
            self._unanswered = 0
            return
        # Glued before an answer it is noise that framings step over; glued behind one it is left
        # over, and gone before the next request.
        super()._received(line, data)

    def _is_chatter(self, data: bytes) -> bool:
        """Whether these bytes are the DTU's own: heartbeats, or its registration once more."""
        if not data.strip(PADDING) and len(data) > 1:
            return False  # zeros may well be data
        for packet in (self.heartbeat, self.registration):
            if packet and not data.replace(packet, b"").strip(PADDING) and packet in data:
                return True
        return False


class DialInPort:
    """One listening port and the channels that wait at it."""

    def __init__(self, env: Env, host: str, port: int) -> None:
        self._env = env
        self._address = host, port
        self._channels: list[DialInChannel] = []
        self._strangers: set[_Caller] = set()
        self._server: asyncio.AbstractServer | None = None
        self._opening = asyncio.Lock()
        self._log_at = 0.0
        #: How many callers were turned away.
        self.refused = 0
        self._untold = 0

    @classmethod
    def of(cls, env: Env, host: str, port: int) -> DialInPort:
        """The port of that address: all channels that name it share it."""
        ports = _PORTS.setdefault(env, {})
        return ports.setdefault((host, port), cls(env, host, port))

    @property
    def number(self) -> int | None:
        """The port number, None while it is not open."""
        if self._server is None:
            return None
        sockets = cast(asyncio.Server, self._server).sockets
        return int(sockets[0].getsockname()[1]) if sockets else None

    async def join(self, channel: DialInChannel) -> None:
        """Wait here for the channel's DTU. Raises OSError: the port cannot be had."""
        async with self._opening:
            if self._server is None:
                host, port = self._address
                self._server = await self._env.net.listen(lambda: _Caller(self), host, port)
            self._channels.append(channel)

    def leave(self, channel: DialInChannel) -> None:
        """Wait no more; the last to leave closes the port."""
        self._channels.remove(channel)
        if not self._channels and self._server is not None:
            self._server.close()
            self._server = None
            for caller in list(self._strangers):
                caller.hang_up()

    def came(self, caller: _Caller) -> bool:
        """Whether one more stranger may stay."""
        if len(self._strangers) >= MAX_STRANGERS:
            self.refuse(caller, "too many callers that have not said who they are")
            return False
        self._strangers.add(caller)
        return True

    def gone(self, caller: _Caller) -> None:
        """A stranger hung up, or is none any more."""
        self._strangers.discard(caller)

    def owner(self, said: bytes) -> DialInChannel | None:
        """The channel whose DTU says this, and nothing but this and heartbeats."""
        for channel in self._channels:
            rest = said.strip(PADDING)
            own = channel.registration.strip(PADDING) or channel.registration
            if not rest.startswith(own):
                continue
            rest = rest.replace(own, b"")
            if channel.heartbeat:
                rest = rest.replace(channel.heartbeat, b"")
            if not rest.strip(PADDING):
                return channel
        return None

    def refuse(self, caller: _Caller, why: str) -> None:
        """Hang up, and say so now and then."""
        self.refused += 1
        self._untold += 1
        caller.hang_up()
        now = asyncio.get_running_loop().time()
        if now >= self._log_at:
            log.warning(
                "caller refused: %s",
                why,
                extra={
                    "code": "HG-3014", "port": "{}:{}".format(*self._address), "peer": caller.peer,
                    "said": caller.said[:32].hex(" "), "refused": self._untold,
                },
            )  # fmt: skip
            self._log_at = now + LOG_EVERY_S
            self._untold = 0


#: The ports of each world, found by those who share them.
_PORTS: WeakKeyDictionary[Env, dict[tuple[str, int], DialInPort]] = WeakKeyDictionary()


class _Caller(asyncio.Protocol):
    """A connection that has not said who it is."""

    def __init__(self, port: DialInPort) -> None:
        self._port = port
        self._timers: list[asyncio.TimerHandle] = []
        self.said = b""
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if name else ""
        if self._port.came(self):
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(
                REGISTER_WITHIN_S, self._port.refuse, self, "it did not say who it is"
            )
            self._quiet: asyncio.TimerHandle | None = None
            self._timers = [self._late]

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self.said += data
        if len(self.said) > 2 * MAX_REGISTRATION:
            self._port.refuse(self, "it talks on and on")
            return
        if self._quiet is not None:
            self._quiet.cancel()
        loop = asyncio.get_running_loop()
        self._quiet = loop.call_later(REGISTRATION_QUIET_S, self._decide)
        self._timers = [self._late, self._quiet]

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()

    def hang_up(self) -> None:
        """Close without a word."""
        self._forget()
        self._transport.abort()

    def _decide(self) -> None:
        channel = self._port.owner(self.said)
        if channel is None:
            self._port.refuse(self, "no channel of the site has this registration")
            return
        self._forget()
        channel.adopt(self._transport)

    def _forget(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._port.gone(self)
