"""Application data units of GB/T 26875.3 (clause 8), read and written.

type 1 | how many objects 1 | objects
"""

from __future__ import annotations

from headgate_drivers.gb26875 import objects
from headgate_drivers.gb26875.items import Item, Message, Raw
from headgate_drivers.gb26875.layouts import LAYOUTS, size_of


def read(adu: bytes) -> Message | None:
    """What an ADU says; None of none. What does not fit stands in `flaws`, the rest is read."""
    if not adu:
        return None
    if len(adu) < 2:
        return Message(adu[0], 0, (), ("an ADU of one byte",))
    kind, count, data = adu[0], adu[1], adu[2:]
    layout = LAYOUTS.get(kind)
    if layout is None:
        return Message(kind, count, (Raw(data),))
    items: list[Item] = []
    flaws: list[str] = []
    at = 0
    while len(items) < count:
        size = size_of(layout, data, at)
        if size is None or at + size > len(data):
            flaws.append(f"type {kind}: {count} objects are said, {len(items)} are there")
            break
        items.append(objects.read(layout, data[at : at + size]))
        at += size
    if not flaws and at < len(data):
        flaws.append(f"type {kind}: {len(data) - at} bytes behind {count} objects")
    return Message(kind, count, tuple(items), tuple(flaws))


def write(message: Message) -> bytes:
    """The ADU that says this.

    Raises:
        ValueError: an item that has no place in this type, a text that has no room.
    """
    layout = LAYOUTS.get(message.type)
    data = b""
    for each in message.items:
        if layout is None:
            if not isinstance(each, Raw):
                raise ValueError(f"type {message.type} is not known")
            data += each.data
        else:
            data += objects.write(layout, each)
    return bytes([message.type, message.count]) + data
