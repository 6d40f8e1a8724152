"""A port of a serial server that lets itself be set: baud rate and parity per transaction, over TCP.

What the server answers to a setting is what is in force there; a server that keeps another one, or
says nothing, has not done it, and a request sent all the same would be a question at the wrong speed.

What a server tells of modem lines and line errors (NOTIFY) is not asked for and not read.
"""

from __future__ import annotations

import asyncio
from typing import cast

from headgate.channels.bus import BusChannel
from headgate.channels.tcp import _Line
from headgate.channels.telnet import (
    BINARY,
    BOTH_BUFFERS,
    COM_PORT,
    DO,
    DONT,
    SUPPRESS_GO_AHEAD,
    WILL,
    WONT,
    Answer,
    Option,
    Setting,
    Telnet,
    command,
    escaped,
    option,
    settings_of,
)
from headgate.errors import ChannelError
from headgate.sdk import LineSettings

#: CONTROL: neither XON/XOFF, which would eat bytes of binary frames, nor RTS/CTS.
NO_FLOW_CONTROL = 1
#: Options that both sides may have; every other one is declined.
WELCOME = (BINARY, SUPPRESS_GO_AHEAD)


class Rfc2217Channel(BusChannel):
    """A serial line behind a server that speaks RFC 2217."""

    _server: _Server | None = None

    async def _dial(self) -> _Line:
        _, server = await self._env.net.connect(
            lambda: _Server(_Line(self)), self._host, self._port
        )
        try:
            await server.agreed
            await server.set(self._base)
            server.send(command(Setting.PURGE, BOTH_BUFFERS))
            line = server.up()
        except BaseException:
            server.transport.abort()
            raise
        self._server = server
        self._now, self._unsure = self._base, False
        return line

    async def _set(self, line: LineSettings) -> None:
        server = self._server
        if self._line is None or server is None:
            raise self._closed()
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await server.set(line)
        except (OSError, TimeoutError) as error:
            if self._line is None:
                raise self._closed() from error
            why = str(error) or "the serial server does not confirm it"
            raise ChannelError(
                f"channel {self.id}: the port cannot be set to {line}: {why}",
                code="HG-3012",
                channel=self.id,
                line=str(line),
                reason=why,
            ) from error

    async def _drain(self) -> None:
        if self._quiet_at and self._line is not None and self._server is not None:
            # What the server still holds back need not be waited for.
            self._server.send(command(Setting.PURGE, BOTH_BUFFERS))
        await super()._drain()

    def _wire_s(self, size: int) -> float:
        return self._now.seconds(size)


class _Server(asyncio.Protocol):
    """One connection: telnet towards the server, plain bytes towards the channel's line."""

    transport: asyncio.Transport

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._is_up = False
        self._telnet = Telnet()
        self._on = set[Option]()
        #: Done when the server lets its port be set; OSError when it does not.
        self.agreed: asyncio.Future[None] = line.loop.create_future()
        self._wanted: dict[int, int] = {}
        self._confirmed: asyncio.Future[None] | None = None

    async def set(self, line: LineSettings) -> None:
        """Return when the port is so. Raises OSError: it is otherwise, or the connection is lost."""
        self._wanted = settings_of(line)
        self._confirmed = confirmed = self._line.loop.create_future()
        said = b"".join(command(Setting(key), value) for key, value in self._wanted.items())
        self.send(said + command(Setting.CONTROL, NO_FLOW_CONTROL))
        try:
            await confirmed
        finally:
            self._confirmed = None

    def up(self) -> _Line:
        """From now on the data of the port are the line's. Raises OSError: it was lost meanwhile."""
        if self.transport.is_closing():
            raise OSError("the serial server closed the connection")
        self._is_up = True
        self._line.connection_made(_Escaping(self.transport))
        return self._line

    def send(self, data: bytes) -> None:
        """Telnet as it is."""
        self.transport.write(data)

    # ------------------------------------------------------------ what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        offers = [Option(WILL, COM_PORT)]
        offers += [Option(verb, which) for which in WELCOME for verb in (WILL, DO)]
        self._on.update(offers)
        self.send(b"".join(option(*offer) for offer in offers))

    def data_received(self, data: bytes) -> None:
        plain, said = self._telnet.feed(data)
        for one in said:
            if isinstance(one, Answer):
                self._answered(one)
            else:
                self._negotiate(one)
        if plain and self._is_up:
            self._line.data_received(plain)

    def connection_lost(self, exc: Exception | None) -> None:
        why = OSError(str(exc) if exc else "the serial server closed the connection")
        for waiting in (self.agreed, self._confirmed):
            if waiting is not None and not waiting.done():
                waiting.set_exception(why)
                waiting.exception()  # where nobody waits, nobody need be told
        if self._is_up:
            self._line.connection_lost(exc)

    # ------------------------------------------------------------ what the server says

    def _negotiate(self, said: Option) -> None:
        verb, which = said
        waiting = None if self.agreed.done() else self.agreed
        if which == COM_PORT and verb in (DO, DONT) and waiting is not None:
            if verb == DO:
                waiting.set_result(None)
            else:
                waiting.set_exception(OSError("the server does not speak RFC 2217 on this port"))
        elif which == BINARY and verb in (DONT, WONT) and waiting is not None:
            waiting.set_exception(OSError("the server refuses binary transmission"))
        elif verb in (DO, WILL):
            answer = WILL if verb == DO else DO
            if which not in WELCOME:
                answer = WONT if verb == DO else DONT
            # Said once: who confirms a confirmation never comes to an end (RFC 854).
            if Option(answer, which) not in self._on:
                self._on.add(Option(answer, which))
                self.send(option(answer, which))

    def _answered(self, said: Answer) -> None:
        waiting = self._confirmed
        wanted = self._wanted.get(said.command)
        if waiting is None or waiting.done() or wanted is None:
            return
        if said.value != wanted:
            name = Setting(said.command).name.lower().replace("_", " ")
            waiting.set_exception(
                OSError(f"the serial server keeps {name} {said.value}, {wanted} was asked for")
            )
            return
        del self._wanted[said.command]
        if not self._wanted:
            waiting.set_result(None)


class _Escaping(asyncio.Transport):
    """The connection as the channel writes to it: IAC doubled."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(escaped(bytes(data)))

    def abort(self) -> None:
        self._transport.abort()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._transport.get_extra_info(name, default)
