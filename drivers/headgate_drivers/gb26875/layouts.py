"""Which bytes the objects of each type of GB/T 26875.3 have (clause 8)."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

#: Bytes of a component's description.
TEXT = 31


class Whose(Enum):
    """Which bytes an object begins with; the value says how many."""

    TRANSMITTER = 0
    SYSTEM = 2  # type, address
    ASKED = 6  # the same, and a component's address without its type
    COMPONENT = 7  # the same, with its type


class What(Enum):
    """Which bytes come next."""

    STATE_8 = "status 1, time 6"
    STATE_16 = "status 2, time 6"
    STATE_TEXT = "status 2, text 31, time 6"
    ANALOGUE = "kind 1, value 2, time 6"
    OPERATION = "flags 1, operator 1, time 6"
    VERSION = "main 1, minor 1"
    LONG_TEXT = "length 1, text"
    TEXT = "text 31"
    TIME = "time 6"
    NOTHING = ""
    RESERVED = "reserved 1"
    HISTORY = "how many 1, time 6"
    NUMBER = "number 1"


_SIZES = {
    What.STATE_8: 7, What.STATE_16: 8, What.STATE_TEXT: 2 + TEXT + 6, What.ANALOGUE: 9,
    What.OPERATION: 8, What.VERSION: 2, What.TEXT: TEXT, What.TIME: 6, What.NOTHING: 0,
    What.RESERVED: 1, What.HISTORY: 7, What.NUMBER: 1,
}  # fmt: skip


class Layout(NamedTuple):
    """How the objects of a type are laid out."""

    whose: Whose
    what: What


LAYOUTS: dict[int, Layout] = {
    1: Layout(Whose.SYSTEM, What.STATE_16),
    2: Layout(Whose.COMPONENT, What.STATE_TEXT),
    3: Layout(Whose.COMPONENT, What.ANALOGUE),
    4: Layout(Whose.SYSTEM, What.OPERATION),
    5: Layout(Whose.SYSTEM, What.VERSION),
    6: Layout(Whose.SYSTEM, What.LONG_TEXT),
    7: Layout(Whose.COMPONENT, What.TEXT),
    8: Layout(Whose.SYSTEM, What.TIME),
    21: Layout(Whose.TRANSMITTER, What.STATE_8),
    24: Layout(Whose.TRANSMITTER, What.OPERATION),
    25: Layout(Whose.TRANSMITTER, What.VERSION),
    26: Layout(Whose.TRANSMITTER, What.LONG_TEXT),
    28: Layout(Whose.TRANSMITTER, What.TIME),
    61: Layout(Whose.SYSTEM, What.NOTHING),
    62: Layout(Whose.ASKED, What.NOTHING),
    63: Layout(Whose.ASKED, What.NOTHING),
    64: Layout(Whose.SYSTEM, What.HISTORY),
    65: Layout(Whose.SYSTEM, What.NOTHING),
    66: Layout(Whose.SYSTEM, What.NOTHING),
    67: Layout(Whose.ASKED, What.NOTHING),
    68: Layout(Whose.SYSTEM, What.NOTHING),
    81: Layout(Whose.TRANSMITTER, What.RESERVED),
    84: Layout(Whose.TRANSMITTER, What.HISTORY),
    85: Layout(Whose.TRANSMITTER, What.RESERVED),
    86: Layout(Whose.TRANSMITTER, What.RESERVED),
    88: Layout(Whose.TRANSMITTER, What.RESERVED),
    89: Layout(Whose.TRANSMITTER, What.NUMBER),
    90: Layout(Whose.TRANSMITTER, What.TIME),
    91: Layout(Whose.TRANSMITTER, What.NUMBER),
}


def size_of(layout: Layout, data: bytes, at: int) -> int | None:
    """How long the object at this place is; None where that is not there to be read."""
    before = layout.whose.value
    if layout.what is not What.LONG_TEXT:
        return before + _SIZES[layout.what]
    return before + 1 + data[at + before] if at + before < len(data) else None
