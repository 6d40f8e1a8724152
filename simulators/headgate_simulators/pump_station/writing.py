"""The log of writes of an OPC UA server: every Write and every Call that a client sent, and its status.

Taken at the session: nothing of a client can reach a node without passing here. What was refused is
seen, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import ua as library
from asyncua.server.server import Server

from headgate_simulators.writes import WriteLog

#: Its generated types fit no type checker.
ua: Any = library


def record(server: Server, writes: WriteLog, now: Callable[[], float]) -> None:
    """From now on every session of a client tells `writes` what it writes and calls."""
    inner: Any = server.iserver
    create = inner.create_session
    numbers = iter(range(1, 1 << 62))

    def recorded(name: str, *args: Any, external: bool = False, **more: Any) -> Any:
        session = create(name, *args, external=external, **more)
        if external:
            _Recorded(session, str(name), next(numbers), writes, now)
        return session

    inner.create_session = recorded


class _Recorded:
    """One client's session, whose Write and Call are taken down."""

    def __init__(
        self, session: Any, peer: str, number: int, writes: WriteLog, now: Callable[[], float]
    ) -> None:
        self._write, self._call = session.write, session.call
        self._peer, self._number, self._writes, self._now = peer, number, writes, now
        session.write, session.call = self.write, self.call

    async def write(self, params: Any) -> Any:
        """As the session's own, taken down before the answer leaves."""
        results = await self._write(params)
        for wanted, status in zip(params.NodesToWrite, results, strict=True):
            value = wanted.Value.Value.Value if wanted.Value.Value is not None else None
            self._note("write", wanted.NodeId, _plain(value), status)
        return results

    async def call(self, params: Any) -> Any:
        """As `write`."""
        results = await self._call(params)
        for wanted, result in zip(params, results, strict=True):
            values = [_plain(each.Value) for each in wanted.InputArguments]
            self._note("call", wanted.MethodId, values, result.StatusCode)
        return results

    def _note(self, kind: str, node: Any, value: Any, status: Any) -> None:
        device, _, path = str(node.Identifier).partition(".")
        good = not status.value >> 30
        self._writes.note({
            "t": self._now(), "device": device, "function": kind, "node": node.to_string(),
            "name": path.replace(".", "/"), "value": value,
            "outcome": "done" if good else f"refused {status.name}",
            "connection": self._number, "peer": self._peer,
        })  # fmt: skip


def _plain(value: Any) -> Any:
    """As JSON can carry it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
