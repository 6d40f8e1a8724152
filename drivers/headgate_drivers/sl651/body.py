"""Bodies in HEX/BCD coding (clauses 6.6.3 and 6.6.4): no separators, an identifier says the length.

identifier 1 | definition 1: length << 3, decimals | data
"""

from __future__ import annotations

from headgate_drivers.sl651 import control, values
from headgate_drivers.sl651.fields import DATA, WITH_CLASS, Shape, shape
from headgate_drivers.sl651.items import (
    LAST_LEVEL_SLOTS,
    RAIN_SLOTS,
    Asked,
    Batch,
    Element,
    Item,
    Message,
    Observed,
    Picture,
    Raw,
    Rest,
    Series,
    Slots,
    Span,
    Station,
    Status,
    Step,
    Text,
)
from headgate_drivers.sl651.parameters import WHOLE_LENGTH, is_numeric

OBSERVED, STATION, TEXT, PICTURE, BATCH, OWN = 0xF0, 0xF1, 0xF2, 0xF3, 0xFD, 0xFF
STEP, STATUS = 0x04, 0x45
_TO_THE_END: dict[int, type[Text | Picture | Batch]] = {TEXT: Text, PICTURE: Picture, BATCH: Batch}
_MARKS = (b"\xf0\xf0", b"\xf1\xf1")


class _Short(Exception):
    """The body ends before what it announces."""


class _Bytes:
    """A body being read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise _Short(f"{self.left} bytes where {count} are announced")
        self.at += count
        return self.data[self.at - count : self.at]

    def ahead(self, count: int) -> bytes:
        return self.data[self.at : self.at + count]


def read(function: int, body: bytes, *, up: bool) -> Message:
    """What a body says; whatever is wrong with it stands in `flaws`."""
    if len(body) < 8:
        return Message(0, "", (), ("no serial number and time",))
    serial, sent = int.from_bytes(body[:2], "big"), body[2:8].hex().upper()
    flaws = [] if values.moment(sent) else [f"no time: {sent}"]
    items: list[Item] = []
    try:
        _read(function, _Bytes(body[8:]), items, flaws, up=up)
    except _Short as short:
        flaws.append(str(short))
    return Message(serial, sent, tuple(items), tuple(flaws))


def _read(function: int, data: _Bytes, items: list[Item], flaws: list[str], *, up: bool) -> None:
    form = shape(function, up=up)
    if form is Shape.REST:
        if data.left:
            items.append(Rest(data.take(data.left)))
        return
    if form is Shape.ASKED_PERIOD and data.left:
        span = Span(data.take(4).hex().upper(), data.take(4).hex().upper())
        flaws += [f"no time: {d}" for d in (span.start, span.end) if values.moment(d) is None]
        items.append(span)
        form = Shape.ASKED_ELEMENTS
    classed = function in WITH_CLASS
    if form in DATA or form in (Shape.PARAMETERS, Shape.ASKED_PARAMETERS):
        # F1 is no parameter: only the station can stand first.
        items += [_station(data, classed=classed)] if data.ahead(2) == b"\xf1\xf1" else []
    if form in DATA:
        if data.left:
            found = control.read(form, data.take(data.left))
            (flaws if isinstance(found, str) else items).append(found)  # type: ignore[arg-type]
        return
    while data.left:
        if form in (Shape.ELEMENTS, Shape.SERIES):
            item = _element(data, classed=classed, series=_in_series(form, items))
        else:
            item = _parameter(data, form)
        items.append(item)
        _judge(item, flaws)


def _in_series(form: Shape, items: list[Item]) -> bool:
    return form is Shape.SERIES and bool(items) and isinstance(items[-1], Step)


def _judge(item: Item, flaws: list[str]) -> None:
    if isinstance(item, (Element, Series)) and item.wrong and item.code < OWN << 8:
        # What a user's own elements (FFxx) hold is the maker's: no number, and no mistake of anybody.
        flaws.append(f"{item.code:02X} is no number: {str(item.digits)[:60]}")
    elif isinstance(item, Observed) and item.at is None:
        flaws.append(f"no time: {item.digits}")


def _station(data: _Bytes, *, classed: bool) -> Station:
    address = data.take(7)[2:].hex().upper()
    # Some stations leave their class out, or say it where it has no place: the time tells.
    ahead = data.ahead(3)
    if ahead[1:] == b"\xf0\xf0" or (classed and ahead and ahead[:2] != b"\xf0\xf0"):
        return Station(address, data.take(1)[0])
    return Station(address)


def _code(data: _Bytes) -> int:
    code = data.take(1)[0]
    return code << 8 | data.take(1)[0] if code == OWN else code


def _element(data: _Bytes, *, classed: bool, series: bool) -> Item:
    mark = data.ahead(2)
    if mark == b"\xf1\xf1":
        return _station(data, classed=classed)
    if mark == b"\xf0\xf0":
        return Observed(data.take(7)[2:].hex().upper())
    code, definition = _code(data), data.take(1)[0]
    if code in _TO_THE_END:
        return _TO_THE_END[code](data.take(data.left))
    size, decimals = definition >> 3, definition & 7
    if series and size:
        return _series(data, code, definition)
    raw = data.take(size)
    digits = raw.hex().upper()
    if code == STATUS and size == 4:
        return Status(int.from_bytes(raw, "big"))
    if code == STEP and size == 3 and digits.isdecimal():
        return Step(*(int(digits[at : at + 2]) for at in (0, 2, 4)))
    if RAIN_SLOTS <= code <= LAST_LEVEL_SLOTS:
        return Slots(code, raw, size)
    return Element(code, digits, decimals)


def _series(data: _Bytes, code: int, definition: int) -> Item:
    """Values to the end, or to another station or time; what does not fit is left for others."""
    size, found = definition >> 3, []
    while data.left >= size and data.ahead(2) not in _MARKS:
        if data.left == 4 and data.left % size and data.ahead(2) == b"\x38\x12":
            break  # the battery's voltage, which many stations add
        found.append(data.take(size))
    if RAIN_SLOTS <= code <= LAST_LEVEL_SLOTS:
        return Slots(code, b"".join(found), size)
    if not found:
        return Asked(code, definition)
    return Series(code, tuple(raw.hex().upper() for raw in found), definition & 7)


def _parameter(data: _Bytes, form: Shape) -> Item:
    code, definition = _code(data), data.take(1)[0]
    if form is Shape.ASKED_ELEMENTS:
        if code == STEP and data.left >= 3 and definition >> 3 == 3:
            digits = data.take(3).hex()
            if digits.isdecimal():
                return Step(*(int(digits[at : at + 2]) for at in (0, 2, 4)))
        return Asked(code, definition)
    if form is Shape.ASKED_PARAMETERS:
        return Asked(code, definition, parameter=True)
    size = definition if code == WHOLE_LENGTH else definition >> 3
    raw = data.take(size)
    if is_numeric(code):
        return Element(code, raw.hex().upper(), definition & 7, parameter=True)
    return Raw(code, raw)


def write(message: Message) -> bytes:
    """A body as it goes out: what `read` reads.

    Raises:
        ValueError: something that has no place in this coding.
    """
    head = message.serial.to_bytes(2, "big") + bytes.fromhex(message.sent)
    if len(head) != 8:
        raise ValueError(message.sent)
    return head + b"".join(_written(item) for item in message.items)


def _headed(code: int, size: int, decimals: int = 0) -> bytes:
    if not 0 <= size <= 31 or not 0 <= decimals <= values.MOST_DECIMALS:
        raise ValueError(f"{code:02X}: {size} bytes with {decimals} decimals")
    return _named(code) + bytes([size << 3 | decimals])


def _named(code: int) -> bytes:
    return code.to_bytes(2 if code > OWN else 1, "big")


def _written(item: Item) -> bytes:
    match item:
        case Station():
            kind = b"" if item.kind is None else bytes([item.kind])
            return b"\xf1\xf1" + bytes.fromhex(item.address) + kind
        case Observed():
            return b"\xf0\xf0" + bytes.fromhex(item.digits)
        case Element(decimals=None):
            raise ValueError(f"{item.code:02X} says nothing of its decimals")
        case Element():
            raw = bytes.fromhex(item.digits)
            return _headed(item.code, len(raw), item.decimals or 0) + raw
        case Raw(code=code, data=data) if code == WHOLE_LENGTH:
            return bytes([code, len(data)]) + data
        case Raw():
            return _headed(item.code, len(item.data)) + item.data
        case Slots():
            return _headed(item.code, item.each) + item.data
        case Step():
            return b"\x04\x18" + bytes.fromhex(f"{item.days:02}{item.hours:02}{item.minutes:02}")
        case Series():
            raw = bytes.fromhex("".join(item.digits))
            return _headed(item.code, len(item.digits[0]) // 2, item.decimals or 0) + raw
        case Status():
            return b"\x45\x20" + item.word.to_bytes(4, "big")
        case Text():
            return b"\xf2\xf2" + item.data
        case Picture():
            return b"\xf3\xf3" + item.data
        case Batch():
            return b"\xfd\xf6" + item.data
        case Asked():
            return _named(item.code) + bytes([item.definition])
        case Span():
            return bytes.fromhex(item.start + item.end)
        case Rest():
            return item.data
        case _:
            return control.write(item)
