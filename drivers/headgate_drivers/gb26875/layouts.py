"""Which bytes the objects of each type of GB/T 26875.3 have (clauses 8.2 and 8.3)."""

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
    """How the objects of a type are laid out, and how many of them a unit may hold."""

    whose: Whose
    what: What
    most: int = 1


#: Clause 8.3.1 (upward, types 1 to 28) and 8.3.2 (downward), each with its greatest number of objects.
LAYOUTS: dict[int, Layout] = {
    1: Layout(Whose.SYSTEM, What.STATE_16, 102),
    2: Layout(Whose.COMPONENT, What.STATE_TEXT, 22),
    3: Layout(Whose.COMPONENT, What.ANALOGUE, 63),
    4: Layout(Whose.SYSTEM, What.OPERATION, 102),
    5: Layout(Whose.SYSTEM, What.VERSION),
    6: Layout(Whose.SYSTEM, What.LONG_TEXT, 3),
    7: Layout(Whose.COMPONENT, What.TEXT, 26),
    8: Layout(Whose.SYSTEM, What.TIME),
    21: Layout(Whose.TRANSMITTER, What.STATE_8),
    24: Layout(Whose.TRANSMITTER, What.OPERATION, 127),
    25: Layout(Whose.TRANSMITTER, What.VERSION),
    26: Layout(Whose.TRANSMITTER, What.LONG_TEXT),
    28: Layout(Whose.TRANSMITTER, What.TIME),
    61: Layout(Whose.SYSTEM, What.NOTHING, 102),
    62: Layout(Whose.ASKED, What.NOTHING, 22),
    63: Layout(Whose.ASKED, What.NOTHING, 63),
    64: Layout(Whose.SYSTEM, What.HISTORY),
    65: Layout(Whose.SYSTEM, What.NOTHING),
    66: Layout(Whose.SYSTEM, What.NOTHING, 3),
    67: Layout(Whose.ASKED, What.NOTHING, 26),
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
#: How many operations may be asked for at once (clauses 8.3.2.4 and 8.3.2.10).
MOST_OPERATIONS = 102
#: Types below go up.
DOWNWARD = 61
#: Bytes of a time label (clause 8.2.2).
LABEL = 6
#: What ends with the label of figure 5, which some makers leave out.
LABELLED = frozenset({What.STATE_8, What.STATE_16, What.STATE_TEXT, What.ANALOGUE, What.OPERATION})


def size_of(layout: Layout, data: bytes, at: int) -> int | None:
    """How long the object at this place is; None where that is not there to be read."""
    before = layout.whose.value
    if layout.what is not What.LONG_TEXT:
        return before + _SIZES[layout.what]
    return before + 1 + data[at + before] if at + before < len(data) else None
