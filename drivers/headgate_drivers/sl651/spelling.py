"""Bodies in ASCII coding as they go out (clause 6.6.2): what `text` reads.

A word and a space, the last space too; numbers are decimal, what is bytes is in hex characters.
"""

from __future__ import annotations

from headgate_drivers.sl651 import control
from headgate_drivers.sl651.elements import ELEMENTS, SLOTS
from headgate_drivers.sl651.items import (
    Asked,
    Batch,
    Element,
    Events,
    Gates,
    Item,
    Message,
    Observed,
    Picture,
    Quota,
    Raw,
    Rest,
    Series,
    Slots,
    Span,
    Station,
    Status,
    Step,
    Switches,
    Text,
    Version,
)  # fmt: skip

_WORDS = {Text: b"RGZS ", Picture: b"PIC ", Batch: b"DATA "}


def write(message: Message) -> bytes:
    """A body as it goes out: what `read` reads.

    Raises:
        ValueError: something that has no place in this coding.
    """
    if not 0 <= message.serial <= 0xFFFF or len(message.sent) != 12:
        raise ValueError(f"{message.serial} {message.sent}")
    out = [f"{message.serial:04X}{message.sent}".encode("latin-1")]
    series: list[Series] = []
    for item in message.items:
        if isinstance(item, Series):
            series.append(item)
            continue
        out += [_all(series), _written(item)]
        series = []
    return b"".join([*out, _all(series)])


def _all(series: list[Series]) -> bytes:
    names = "".join(f"{_name(each.code)} " for each in series)
    steps = max((len(each.digits) for each in series), default=0)
    values_of = "".join(
        f"{each.digits[step]} "
        for step in range(steps)
        for each in series
        if step < len(each.digits)
    )
    return (names + values_of).encode("latin-1")


def _name(code: int) -> str:
    known = SLOTS.get(code) or (ELEMENTS[code].ascii if code in ELEMENTS else "")
    if not known:
        raise ValueError(f"{code:02X} has no ASCII identifier")
    return known


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _written(item: Item) -> bytes:
    match item:
        case Text() | Picture() | Batch():
            return _WORDS[type(item)] + item.data + b" "
        case Rest():
            return item.data + b" "
        case Version():
            return f"{len(item.data):02X}".encode() + item.data + b" "
        case Station():
            words = ["ST", item.address] + ([] if item.kind is None else [chr(item.kind)])
        case Observed():
            words = ["TT", item.digits]
        case Element(parameter=True):
            words = [f"{item.code:02X}", item.digits]
        case Element():
            words = [_name(item.code), item.digits]
        case Raw():
            words = [f"{item.code:02X}", _hex(item.data)]
        case Slots():
            each = max(1, item.each)
            parts = [_hex(item.data[at : at + each]) for at in range(0, len(item.data), each)]
            words = [_name(item.code), *parts]
        case Step():
            unit = "D" if item.days else "N" if item.minutes else "H"
            words = [f"DR{unit}{item.days or item.minutes or item.hours:02}"]
        case Status():
            words = ["ZT", f"{item.word:08X}"]
        case Asked(parameter=True):
            words = [f"{item.code:02X}"]
        case Asked():
            words = [_name(item.code)]
        case Span():
            words = [item.start, item.end]
        case Switches() | Gates() | Quota() | Events():
            words = [_hex(control.write(item))]
        case _:
            raise ValueError(type(item).__name__)
    return "".join(f"{word} " for word in words).encode("latin-1")
