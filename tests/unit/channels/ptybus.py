"""A serial line without a wire: a pseudo-terminal whose far end is the test, and two of them joined."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class PtyPort:
    """A port at `path`; what is written to it reaches `heard`, what `say` is given comes out of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: Callable[[bytes], None] = lambda data: None
        self.log = bytearray()
        self._master = self._slave = -1

    def plug(self) -> None:
        """Be there, under the same path as before."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._ready)

    def pull(self) -> None:
        """Be gone, as when the plug of an adapter is pulled."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1
            self.path.unlink(missing_ok=True)

    def say(self, data: bytes) -> None:
        if self._master >= 0:
            os.write(self._master, data)

    @property
    def attributes(self) -> list[int]:
        """What termios says of the port: [4] is its speed."""
        import termios

        return termios.tcgetattr(self._slave)

    def _ready(self) -> None:
        data = os.read(self._master, 4096)
        self.log += data
        self.heard(data)


@contextmanager
def pty_port(folder: Path, name: str = "port") -> Iterator[PtyPort]:
    """A plugged port, pulled afterwards. Needs a running loop."""
    port = PtyPort(folder / name)
    port.plug()
    try:
        yield port
    finally:
        port.pull()


@contextmanager
def pty_pair(folder: Path) -> Iterator[tuple[PtyPort, PtyPort]]:
    """Two ports, each hearing what is said at the other: for a program at one end."""
    with pty_port(folder, "ours") as ours, pty_port(folder, "theirs") as theirs:
        ours.heard = theirs.say
        theirs.heard = ours.say
        yield ours, theirs
