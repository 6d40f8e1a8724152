"""A socket that speaks RFC 8998, with the manners of `ssl.SSLSocket` that paho relies on.

The library never sees the descriptor: bytes go through memory, so that timeouts, partial writes, a
peer that sends one byte at a time and a reset in the middle are this module's affair alone, and a
handshake has one deadline however slowly it is fed.
"""

from __future__ import annotations

import socket as sockets
import ssl
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL

from headgate.env import Clock
from headgate.link.refusal import Refused, of_handshake
from headgate.link.terms import Facts

#: One read from the network; a TLS record has 16 KiB.
_CHUNK: Final = 64 * 1024
_RECORD: Final = 16 * 1024


class SmLine:
    """The client's end of one RFC 8998 connection. Owns the socket.

    Args:
        sock: connected.
        connection: pyOpenSSL's, without a socket, in connect state.
        judge: raises Refused when what the handshake came to is not good enough.
        verdict: what checking the peer's certificate said, once it said no.
        clock: measures the handshake.
    """

    def __init__(
        self,
        sock: sockets.socket,
        connection: SSL.Connection,
        judge: Callable[[SSL.Connection], Facts],
        verdict: Callable[[], Refused | None],
        clock: Clock,
    ) -> None:
        self.refused: Refused | None = None
        self._socket = sock
        self._connection = connection
        self._judge = judge
        self._verdict = verdict
        self._now_us = clock.boottime_us
        self._facts: Facts | None = None
        #: Ciphertext on its way out, and how much plaintext of it was not reported as sent.
        self._out: memoryview | bytes = b""
        self._unreported = 0
        #: Plaintext that came and was not asked for yet, and how the stream ended behind it.
        self._ready = bytearray()
        self._ended: Exception | None = None

    # ------------------------------------------------------------ the handshake

    def do_handshake(self) -> None:
        timeout = self._socket.gettimeout()
        ends_us = None if timeout is None else self._now_us() + int(timeout * 1_000_000)
        try:
            while not self._step():
                self._hurry(ends_us)
                self._fill()
            self._facts = self._judge(self._connection)
        except Refused as refusal:
            self.refused = refusal
            raise
        except (ConnectionResetError, BrokenPipeError) as error:
            self.refused = Refused("HG-5072", error.strerror or str(error))
            raise self.refused from None
        finally:
            self._socket.settimeout(timeout)
        if self._socket.family != sockets.AF_UNIX:
            self._socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)

    def _step(self) -> bool:
        """As far as it goes without the network; whether it is done. What must go out went out."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return False
        except SSL.Error as error:
            refusal = self._verdict() or of_handshake(words(error), sm=True)
            # The alert tells the platform's log why; whether it gets there changes nothing.
            self._try_flush()
            raise refusal from None
        self._flush()
        return True

    def _hurry(self, ends_us: int | None) -> None:
        if ends_us is None:
            return
        left_s = (ends_us - self._now_us()) / 1_000_000
        if left_s <= 0:
            raise TimeoutError("the handshake took too long")
        self._socket.settimeout(left_s)

    def facts(self) -> Facts:
        assert self._facts is not None, "no handshake yet"
        return self._facts

    # ------------------------------------------------------------ in

    def recv(self, size: int) -> bytes:
        self._proved()
        while not self._ready:
            self._open()
            if self._ready:
                break
            if self._ended is not None:
                if isinstance(self._ended, Refused):
                    raise self._ended
                return b""
            self._fill()
        given = bytes(self._ready[:size])
        del self._ready[:size]
        return given

    def pending(self) -> int:
        # An end that nobody was told of must be asked for: the network may stay quiet behind it.
        return len(self._ready) or int(self._ended is not None)

    def _open(self) -> None:
        """All whole records that are here: none may wait where neither `pending` nor the kernel tells."""
        while self._ended is None:
            try:
                self._ready += self._connection.recv(_RECORD)
            except SSL.WantReadError:
                break
            except (SSL.ZeroReturnError, SSL.SysCallError) as error:
                # With and without a goodbye: MQTT knows its own end, as with the standard library.
                self._ended = error
            except SSL.Error as error:
                self._ended = self.refused = of_handshake(words(error), sm=True, began=True)
        # A key update wants an answer. It must not wait for the next message of ours.
        self._try_flush()

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            raise ssl.SSLWantReadError("nothing to read yet") from None
        if data:
            self._connection.bio_write(data)
        else:
            self._connection.bio_shutdown()

    # ------------------------------------------------------------ out

    def send(self, data: bytes) -> int:
        self._proved()
        self._flush()
        if self._unreported:
            # These went into the stream when the network was full; the caller comes with them again.
            count, self._unreported = self._unreported, 0
            return count
        if not data:
            return 0
        try:
            count = self._connection.send(memoryview(data)[:_RECORD])
        except SSL.Error as error:
            raise of_handshake(words(error), sm=True, began=True) from None
        self._unreported = count
        self._flush()
        self._unreported = 0
        return count

    def _flush(self) -> None:
        while True:
            if not self._out:
                try:
                    self._out = memoryview(self._connection.bio_read(_CHUNK))
                except SSL.WantReadError:
                    return
            try:
                self._out = self._out[self._socket.send(self._out) :]
            except BlockingIOError:
                raise ssl.SSLWantWriteError("the network takes no more") from None

    def _try_flush(self) -> None:
        try:
            self._flush()
        except OSError:
            return  # full, or gone: the next send or recv meets it

    # ------------------------------------------------------------ the end

    def shutdown(self, how: int) -> None:
        """As of a socket; says goodbye first when that costs no waiting."""
        self._goodbye()
        self._socket.shutdown(how)

    def close(self) -> None:
        self._goodbye()
        self._socket.close()

    def _goodbye(self) -> None:
        if self._socket.fileno() < 0 or self._facts is None:
            return
        try:
            self._connection.shutdown()
        except SSL.Error:
            return
        timeout = self._socket.gettimeout()
        self._socket.setblocking(False)
        self._try_flush()
        self._socket.settimeout(timeout)

    def _proved(self) -> None:
        if self._facts is None:
            # Nothing may be said to a peer that was not judged: whoever calls this skipped a step.
            raise Refused("HG-5070", "no handshake was done, or it was refused")

    def __getattr__(self, name: str) -> Any:
        # fileno, settimeout, setblocking, getpeername, setsockopt
        if name in ("recv_into", "sendall", "recvfrom", "sendto", "makefile", "detach", "sendmsg"):
            raise AttributeError(name)
        return getattr(self._socket, name)


def words(error: SSL.Error) -> str:
    """What the library says: its reasons, without function names."""
    queue = error.args[0] if error.args else ()
    if isinstance(queue, list):
        return "; ".join(str(entry[2] or entry[0]) for entry in queue) or type(error).__name__
    return " ".join(str(part) for part in error.args) or type(error).__name__
