"""Notifications as blocks, each value at the instant at which it was true. Pure.

A server says when it saw a value (`SourceTimestamp`) by a clock of its own, which may be years off. So its
stamps are only compared with another of its stamps, the publish time: the *age* of a value is the
difference, and its instant by our clock is that long before the notification came. A value cannot be
older than the publish before it: one that claims to be shows that the source's clock is not the server's,
and is put where it can have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from headgate.sdk import Block, Device, Quality, Status, Value, status_word
from headgate_drivers.opcua.places import Place
from headgate_drivers.opcua.status import NO_NODE, is_gone, judged
from headgate_drivers.opcua.values import raw_of

#: A source may be this much ahead of its server before its clock is called wrong.
SLACK_US = 1_000_000

Told = tuple[Value, Quality, int]


class Notice(NamedTuple):
    """One value as it came: the point's place, status code, value, source time in unix microseconds."""

    place: Place
    code: int
    value: object
    source_us: int | None


class Moment(NamedTuple):
    """When notifications came: our clock, the server's, and the earliest they can have been true."""

    now_us: int
    published_us: int | None
    floor_us: int


def told_of(notice: Notice) -> Told:
    """Raw value, quality and status word of one notice. A value of the wrong type is malformed."""
    quality, word = judged(notice.code)
    raw = raw_of(notice.value, notice.place.kind, notice.place.element)
    if raw is None and quality < Quality.BAD:
        return None, Quality.BAD, status_word(Status.MALFORMED)
    return raw, quality, word


def offset_us(notice: Notice, moment: Moment) -> tuple[int, bool]:
    """(how long after `now_us` the value was true: 0 or less, whether its clock can be believed)."""
    if notice.source_us is None or moment.published_us is None:
        return 0, True
    age_us = moment.published_us - notice.source_us
    earliest_us = moment.floor_us - moment.now_us
    believed = earliest_us - SLACK_US <= -age_us <= SLACK_US
    return min(0, max(-age_us, earliest_us)), believed


def with_the_gone(
    notices: Iterable[Notice], places: Sequence[Place], gone: set[int]
) -> list[Notice]:
    """Notices in the order of source time; a cycle in which a node is not there says so of its point.

    Who is told every sample counts on it that a sample which leaves a point out says something of it:
    while its node is not there, the point is bad in each of them, and not as good as before.

    Args:
        places: all of the device.
        gone: places of points whose node is not there; kept up to date.
    """
    out: list[Notice] = []
    for source_us, group in groupby(sorted(notices, key=_when), key=_when):
        cycle = list(group)
        for notice in cycle:
            (gone.add if is_gone(notice.code) else gone.discard)(notice.place.at)
        out += cycle
        if gone and any(n.place.every_sample and n.place.at not in gone for n in cycle):
            silent = gone - {notice.place.at for notice in cycle}
            out += [
                Notice(places[at], NO_NODE, None, source_us or None)
                for at in sorted(silent)
                if places[at].every_sample
            ]
    return out


def whole(device: Device, notices: Iterable[Notice], now_us: int) -> Block:
    """A look at all points, as they were read just now."""
    told, newest = {}, None
    for notice in notices:
        told[notice.place.name] = told_of(notice)
        if notice.source_us is not None:
            newest = max(newest or 0, notice.source_us)
    return device.partial(now_us, told, device_time_us=newest)


def changes(device: Device, notices: Iterable[Notice], moment: Moment) -> tuple[list[Block], bool]:
    """Blocks of what changed, in the order of source time, and whether that clock can be believed.

    Values with one source time stay together, as the controller's cycle made them. Where several values of
    one point came, each goes into a block of its own.
    """
    blocks: list[Block] = []
    told: dict[str, Told] = {}
    offsets: dict[str, int] = {}
    newest: int | None = None
    honest = True
    for source_us, group in groupby(sorted(notices, key=_when), key=_when):
        cycle = list(group)
        if any(notice.place.name in told for notice in cycle):
            blocks.append(_block(device, moment, told, offsets, newest))
            told, offsets = {}, {}
        for notice in cycle:
            name = notice.place.name
            if name in told:
                blocks.append(_block(device, moment, told, offsets, source_us or None))
                told, offsets = {}, {}
            told[name] = told_of(notice)
            offsets[name], believed = offset_us(notice, moment)
            honest = honest and believed
        newest = source_us or None
    if told:
        blocks.append(_block(device, moment, told, offsets, newest))
    return blocks, honest


def _when(notice: Notice) -> int:
    return notice.source_us or 0


def _block(
    device: Device,
    moment: Moment,
    told: dict[str, Told],
    offsets: dict[str, int],
    newest: int | None,
) -> Block:
    return device.partial(moment.now_us, told, offsets_us=offsets, device_time_us=newest)
