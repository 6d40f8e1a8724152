"""What a server kept of values (OPC 10000-11): read in bounded pages, every continuation point released."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from headgate_drivers.opcua.access import told_of
from headgate_drivers.opcua.client import ua
from headgate_drivers.opcua.session import Session
from headgate_drivers.opcua.values import unix_us

#: Values of one node, and nodes, in one request: what waits in memory at once.
VALUES_AT_ONCE, NODES_AT_ONCE = 500, 20
#: BadServiceUnsupported, BadNotReadable, BadNotSupported, BadHistoryOperation{Invalid,Unsupported},
#: BadUserAccessDenied, BadNotImplemented, BadAttributeIdInvalid: this node's past is not to be had.
NO_HISTORY = frozenset({0x800B, 0x803A, 0x803D, 0x8071, 0x8072, 0x801F, 0x8040, 0x8035})

#: BadNoContinuationPoints: all of the server's are in use, most likely by us.
_NO_POINTS, _PATIENCE = 0x804B, 3

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Past(NamedTuple):
    """One value of the past: which of the nodes asked for, status code, value, source time (unix us)."""

    which: int
    code: int
    value: object
    source_us: int


class NoHistoryError(Exception):
    """The server keeps nothing of any of these nodes."""


class _Reel:
    """One node's past, page by page: what came and was not handed on yet, oldest first."""

    def __init__(self, index: int, node: Any, first_us: int, end_us: int) -> None:
        self.index = index
        self.node = node
        #: The newest instant that came: nothing up to it is taken again.
        self.reached_us = first_us
        self.end_us = end_us
        self.point: bytes | None = None
        self.done = end_us <= first_us + 1
        self.refused = False
        #: How often the server had no continuation point left for it.
        self.starved = 0
        #: How many pages in a row brought nothing.
        self.empty = 0
        self.values: list[Past] = []

    def take(self, result: Any) -> None:
        code = int(result.StatusCode.value)
        self.point = result.ContinuationPoint or None
        if code >> 16 == _NO_POINTS and self.starved < _PATIENCE:
            self.starved += 1
            return
        self.starved = 0
        if code >> 31:
            self.refused = code >> 16 in NO_HISTORY
            self.done = True
            return
        given = list(getattr(result.HistoryData, "DataValues", None) or ())
        fresh = 0
        for each in given:
            said, value, source = told_of(each)
            source_us = unix_us(source)
            # A server repeats the value at which a page begins, and may give bounds outside.
            if source_us is None or not self.reached_us < source_us < self.end_us:
                continue
            self.reached_us = source_us
            self.values.append(Past(self.index, said, value, source_us))
            fresh += 1
        # A server that goes on and on with empty pages is not waited for.
        self.empty = 0 if fresh else self.empty + 1
        if self.empty > _PATIENCE:
            self.done = True
            return
        # Some give a page's worth and no continuation point: asked again from where that ended.
        self.done = self.point is None and (len(given) < VALUES_AT_ONCE or not fresh)


async def past(
    session: Session, asked: Sequence[tuple[Any, int, int]]
) -> AsyncGenerator[list[Past], None]:
    """Values of nodes between two instants, both left out, in the order of their source times.

    Args:
        asked: (node, after, before), instants by the server's clock in unix microseconds.

    Raises:
        NoHistoryError: none of these nodes has a history.
        ChannelClosed, ChannelTimeout: the line; what was handed on stays good.
    """
    reels = [_Reel(index, *each) for index, each in enumerate(asked)]
    wanted = [reel for reel in reels if not reel.done]
    try:
        while True:
            hungry = [reel for reel in wanted if not reel.done and not reel.values]
            for at in range(0, len(hungry), NODES_AT_ONCE):
                await _page(session, hungry[at : at + NODES_AT_ONCE])
            starved = [reel for reel in hungry if reel.starved and not reel.done]
            for reel in starved:
                # One by one; the others go on from the instant that they have come to.
                await _release(session, [each for each in wanted if each.point])
                await _page(session, [reel])
            if wanted and all(reel.refused for reel in wanted):
                raise NoHistoryError
            # A node whose page is not its last may still have anything after what it brought.
            sure = min((r.reached_us for r in wanted if not r.done), default=None)
            out: list[Past] = []
            for reel in wanted:
                ready = [v for v in reel.values if sure is None or v.source_us <= sure]
                reel.values = reel.values[len(ready) :]
                out += ready
            if out:
                yield sorted(out, key=lambda value: (value.source_us, value.which))
            if all(reel.done and not reel.values for reel in wanted):
                return
    finally:
        await _release(session, [reel for reel in wanted if reel.point])


async def _page(session: Session, reels: Sequence[_Reel]) -> None:
    """The next page of each. Those that go on have a point; the others begin where they have come to."""
    groups: dict[tuple[int, int], list[_Reel]] = {}
    for reel in reels:
        groups.setdefault((0 if reel.point else reel.reached_us, reel.end_us), []).append(reel)
    for (_, end_us), group in groups.items():
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified = False
        details.StartTime = _stamp(min(reel.reached_us for reel in group))
        details.EndTime = _stamp(end_us)
        details.NumValuesPerNode = VALUES_AT_ONCE
        details.ReturnBounds = False
        for reel, result in zip(group, await _ask(session, details, group), strict=True):
            reel.take(result)


async def _ask(
    session: Session, details: Any, reels: Sequence[_Reel], *, release: bool = False
) -> list[Any]:
    parameters = ua.HistoryReadParameters()
    parameters.HistoryReadDetails = details
    parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    parameters.ReleaseContinuationPoints = release
    for reel in reels:
        value = ua.HistoryReadValueId()
        value.NodeId = reel.node
        value.ContinuationPoint = reel.point
        parameters.NodesToRead.append(value)
    with session.working():
        try:
            return list(await session.service.history_read(parameters))
        except ua.UaStatusCodeError as error:
            if int(error.code) >> 16 in NO_HISTORY:
                raise NoHistoryError from error
            raise


async def _release(session: Session, reels: Sequence[_Reel]) -> None:
    """Give back what the server holds for pages that nobody will ask for; it has few such places."""
    if not reels or session.lost.done():
        return
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    try:
        await _ask(session, details, reels, release=True)
    except Exception:  # noqa: BLE001 - the session ends or goes on without; there is nothing left to do
        return
    for reel in reels:
        reel.point = None


def _stamp(unix: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix)
