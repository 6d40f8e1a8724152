"""Functions of SL 651 (annex B), and which body each has up and down (clause 6.6.4)."""

from __future__ import annotations

from enum import Enum, IntEnum


class Function(IntEnum):
    """What a frame is for. 00-2E, 3B-3F and 52-DF are reserved, E0-FF are the user's own."""

    KEEP_ALIVE = 0x2F
    TEST = 0x30
    EVEN_STEPS = 0x31
    TIMED = 0x32
    ADDED = 0x33
    HOURLY = 0x34
    TYPED_IN = 0x35
    PICTURE = 0x36
    ASK_NOW = 0x37
    ASK_PERIOD = 0x38
    ASK_TYPED_IN = 0x39
    ASK_ELEMENTS = 0x3A
    SET_BASIC = 0x40
    READ_BASIC = 0x41
    SET_RUNNING = 0x42
    READ_RUNNING = 0x43
    ASK_PUMP_MOTOR = 0x44
    ASK_VERSION = 0x45
    ASK_STATUS = 0x46
    CLEAR_STORAGE = 0x47
    FACTORY_RESET = 0x48
    SET_PASSWORD = 0x49
    SET_CLOCK = 0x4A
    SET_CARD = 0x4B
    PUMPS = 0x4C
    VALVES = 0x4D
    GATES = 0x4E
    QUOTA = 0x4F
    ASK_EVENTS = 0x50
    ASK_CLOCK = 0x51


class Shape(Enum):
    """How a body goes on behind serial number, time and station."""

    ELEMENTS = "elements"
    SERIES = "series"
    PARAMETERS = "parameters"
    ASKED_ELEMENTS = "asked elements"
    ASKED_PARAMETERS = "asked parameters"
    ASKED_PERIOD = "asked period"
    VERSION = "version"
    SWITCHES = "switches"
    GATES = "gates"
    QUOTA = "quota"
    EVENTS = "events"
    REST = "rest"


#: What only one datum without an identifier stands for, read and written by `control`.
DATA = (Shape.VERSION, Shape.SWITCHES, Shape.GATES, Shape.QUOTA, Shape.EVENTS)

#: Whose station is followed by its class (tables 28 to 55).
WITH_CLASS = frozenset([0x30, 0x31, 0x32, 0x33, 0x34, 0x36, 0x37, 0x38, 0x3A, 0x44])

_BOTH = {
    Function.SET_BASIC: Shape.PARAMETERS,
    Function.SET_RUNNING: Shape.PARAMETERS,
    Function.SET_PASSWORD: Shape.PARAMETERS,
    Function.SET_CARD: Shape.ELEMENTS,
    Function.PUMPS: Shape.SWITCHES,
    Function.VALVES: Shape.SWITCHES,
    Function.GATES: Shape.GATES,
    Function.QUOTA: Shape.QUOTA,
    Function.CLEAR_STORAGE: Shape.ASKED_PARAMETERS,
    Function.FACTORY_RESET: Shape.ASKED_PARAMETERS,
}
_UP = {
    **_BOTH,
    Function.EVEN_STEPS: Shape.SERIES,
    Function.ASK_PERIOD: Shape.SERIES,
    Function.READ_BASIC: Shape.PARAMETERS,
    Function.READ_RUNNING: Shape.PARAMETERS,
    Function.ASK_VERSION: Shape.VERSION,
    Function.ASK_EVENTS: Shape.EVENTS,
}
_DOWN = {
    **_BOTH,
    Function.ASK_PERIOD: Shape.ASKED_PERIOD,
    Function.ASK_ELEMENTS: Shape.ASKED_ELEMENTS,
    Function.READ_BASIC: Shape.ASKED_PARAMETERS,
    Function.READ_RUNNING: Shape.ASKED_PARAMETERS,
}
_KNOWN = frozenset(Function)


def shape(function: int, *, up: bool) -> Shape:
    """The shape of a function's body; `REST` for one that the standard leaves to others."""
    if function not in _KNOWN:
        return Shape.REST
    known = Function(function)
    return _UP.get(known, Shape.ELEMENTS) if up else _DOWN.get(known, Shape.REST)
