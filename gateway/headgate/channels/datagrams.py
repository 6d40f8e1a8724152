"""Datagrams as calls: each sender is one, and nobody can be told to wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Protocol

from headgate.channels.calls import MOST_WAITING, Call


class Port(Protocol):
    """What takes new callers."""

    tally: Counter[str]

    def take(self, host: str, peer: str, wire: Any) -> Call | None:
        """A new caller; None when there is no place for it."""
        ...


class Sender:
    """One sender of datagrams, as the far end of a call."""

    def __init__(self, transport: asyncio.DatagramTransport, address: Any) -> None:
        self._transport, self._address = transport, address

    def write(self, data: bytes) -> None:
        """Send one datagram."""
        self._transport.sendto(data, self._address)

    def pause(self) -> None:
        """Datagrams cannot be held back: what comes while too much waits is dropped."""

    def resume(self) -> None:
        """As `pause`."""

    def abort(self) -> None:
        """Nothing to end."""


class Datagrams(asyncio.DatagramProtocol):
    """The socket of a port."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._senders: dict[Any, Call] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        call = self._senders.get(addr)
        if call is None or not call.open:
            wire = Sender(self._transport, addr)  # type: ignore[arg-type]
            call = self._port.take(str(addr[0]), f"{addr[0]}:{addr[1]}", wire)
            if call is None:
                return
            self._senders[addr] = call
            over = call.on_end

            def gone(ended: Call) -> None:
                if self._senders.get(addr) is ended:
                    del self._senders[addr]
                over(ended)

            call.on_end = gone
        if call.waiting > MOST_WAITING or call.fast:
            # Nobody can be told to wait: what is not confirmed is sent again.
            self._port.tally["datagrams-dropped"] += 1
            return
        call.received(data)
