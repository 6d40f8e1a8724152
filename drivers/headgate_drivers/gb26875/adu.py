"""Application data units of GB/T 26875.3 (clauses 7 and 8), read and written.

type 1 | how many objects 1 | objects

Figure 5 lets each object end with a time label, clause 8.3 says which do. Makers differ: objects without
their label and objects with one more are read where the length fits nothing else, and that is a flaw.
"""

from __future__ import annotations

from typing import NamedTuple

from headgate_drivers.gb26875 import objects
from headgate_drivers.gb26875.frames import moment
from headgate_drivers.gb26875.items import Item, Message, Raw
from headgate_drivers.gb26875.layouts import (
    DOWNWARD,
    LABEL,
    LABELLED,
    LAYOUTS,
    Layout,
    size_of,
)


def read(adu: bytes) -> Message | None:
    """What an ADU says; None of none. What does not fit stands in `flaws`, the rest is read."""
    if not adu:
        return None
    if len(adu) < 2:
        return Message(adu[0], 0, (), ("a unit of one byte",))
    kind, count, data = adu[0], adu[1], adu[2:]
    layout = LAYOUTS.get(kind)
    if layout is None:
        return Message(kind, count, (Raw(data),))
    found = _objects(layout, count, data, 0)
    flaws: list[str] = []
    if not found.fits and kind < DOWNWARD and (other := _as_makers(layout, count, data)):
        found, flaw = other
        flaws.append(f"type {kind}: {flaw}")
    if len(found.items) < count:
        flaws.append(f"type {kind}: {count} objects are said, {len(found.items)} are there")
    elif found.left:
        flaws.append(f"type {kind}: {found.left} bytes behind {count} objects")
    if count > layout.most:
        flaws.append(f"type {kind}: {count} objects, at most {layout.most} are allowed")
    return Message(kind, count, found.items, tuple(flaws))


class _Found(NamedTuple):
    items: tuple[Item, ...]
    left: int
    fits: bool


def _objects(layout: Layout, count: int, data: bytes, more: int) -> _Found:
    """So many objects, each of them `more` bytes longer than it should be."""
    items: list[Item] = []
    at = 0
    while len(items) < count:
        size = size_of(layout, data, at)
        if size is None or at + size + more > len(data):
            break
        raw = data[at : at + size] if more >= 0 else data[at : at + size + more] + bytes(-more)
        items.append(objects.read(layout, raw))
        at += size + more
    left = len(data) - at
    return _Found(tuple(items), left, len(items) == count and not left)


def _as_makers(layout: Layout, count: int, data: bytes) -> tuple[_Found, str] | None:
    """The two ways in which makers differ, where they fit exactly and the times say nothing against it."""
    size = size_of(layout, data, 0)
    if not count or size is None:
        return None
    if _is_label(data[size : size + LABEL]):
        found = _objects(layout, count, data, LABEL)
        if found.fits:
            return found, "objects bear one more time"
    if layout.what in LABELLED and not _is_label(data[size - LABEL : size]):
        found = _objects(layout, count, data, -LABEL)
        if found.fits:
            return found, "objects without their times"
    return None


def _is_label(data: bytes) -> bool:
    return len(data) == LABEL and (not any(data) or moment(data) is not None)


def write(message: Message) -> bytes:
    """The ADU that says this.

    Raises:
        ValueError: an item that has no place in this type, too many of them, a text that has no room.
    """
    layout = LAYOUTS.get(message.type)
    data = b""
    if layout is not None and len(message.items) > layout.most:
        raise ValueError(f"type {message.type} holds {layout.most}, not {len(message.items)}")
    for each in message.items:
        if layout is None:
            if not isinstance(each, Raw):
                raise ValueError(f"type {message.type} is not known")
            data += each.data
        else:
            data += objects.write(layout, each)
    return bytes([message.type, message.count]) + data
