"""Bodies in ASCII coding (clause 6.6.2): the identifier, a space, the data, a space.

Serial number and time stand first, without spaces. Numbers are decimal, M where there is none; what
is bytes is written in hex characters, but for text and pictures, which are as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headgate_drivers.sl651 import control, values
from headgate_drivers.sl651.elements import BY_ASCII, SLOTS
from headgate_drivers.sl651.fields import DATA, WITH_CLASS, Shape, shape
from headgate_drivers.sl651.items import (
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
)  # fmt: skip
from headgate_drivers.sl651.parameters import is_numeric

STATUS = 0x45
#: Some write the state's identifier as its hex, as parameters are, instead of ZT.
_STATUS_IN_HEX = "45"
_STEP = re.compile(r"DR([DHN])(\d\d)")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_ONE_SLOT = {2: re.compile(r"[0-9A-Fa-f]{2}"), 4: re.compile(r"[0-9A-Fa-f]{4}")}
_TO_THE_END: dict[str, type[Text | Picture | Batch]] = {"RGZS": Text, "PIC": Picture, "DATA": Batch}


class _Words:
    """A body being read word by word; the bytes behind a word can be had too."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def next(self) -> str:
        """The next word; empty at the end."""
        while self.data[self.at : self.at + 1] == b" ":
            self.at += 1
        end = self.data.find(b" ", self.at)
        end = len(self.data) if end < 0 else end
        word = self.data[self.at : end].decode("latin-1")
        self.at = min(len(self.data), end + 1)
        return word

    def ahead(self) -> str:
        """The next word, left where it is."""
        at = self.at
        word = self.next()
        self.at = at
        return word

    def slots(self, code: int) -> str:
        """An hour of slots: one word, or a word for each slot."""
        said = self.next()
        size = 2 if code == RAIN_SLOTS else 4
        more = _ONE_SLOT[size]
        while len(said) % size == 0 and len(said) < 12 * size and more.fullmatch(self.ahead()):
            said += self.next()
        return said

    def rest(self) -> bytes:
        """All that is left, without the space that ends every body."""
        rest, self.at = self.data[self.at :], len(self.data)
        return rest[:-1] if rest.endswith(b" ") else rest


def read(function: int, body: bytes, *, up: bool) -> Message:
    """What a body says; whatever is wrong with it stands in `flaws`."""
    head = body[:16].decode("latin-1")
    if len(head) < 16 or _HEX.fullmatch(head[:4]) is None:
        return Message(0, "", (), ("no serial number and time",))
    flaws = [] if values.moment(head[4:]) else [f"no time: {head[4:]}"]
    items: list[Item] = []
    _read(function, _Words(body[16:]), items, flaws, up=up)
    return Message(int(head[:4], 16), head[4:], tuple(items), tuple(flaws))


def _read(function: int, words: _Words, items: list[Item], flaws: list[str], *, up: bool) -> None:
    form = shape(function, up=up)
    if form is Shape.REST:
        rest = words.rest()
        if rest:
            items.append(Rest(rest))
        return
    if form is Shape.ASKED_PERIOD and words.ahead():
        span = Span(words.next(), words.next())
        flaws += [f"no time: {d}" for d in (span.start, span.end) if values.moment(d) is None]
        items.append(span)
        form = Shape.ASKED_ELEMENTS
    if form in DATA:
        if words.ahead() == "ST":
            items.append(_station(words, flaws, classed=False))
        if words.ahead():
            found = _datum(form, words.rest())
            (flaws if isinstance(found, str) else items).append(found)  # type: ignore[arg-type]
        return
    while word := words.ahead():
        before = words.at
        if form is Shape.SERIES and items and isinstance(items[-1], Step):
            items.extend(_series(words, flaws))
        if words.at == before:
            words.next()
            item = _item(word, words, form, flaws, classed=function in WITH_CLASS)
            if item is not None:
                items.append(item)


def _station(words: _Words, flaws: list[str], *, classed: bool) -> Station:
    words.next()
    address = words.next()
    if len(address) != 10 or _HEX.fullmatch(address) is None:
        flaws.append(f"no address: {address[:20]}")
    kind = words.ahead()
    if classed and len(kind) == 1:
        words.next()
        return Station(address, ord(kind))
    return Station(address)


def _datum(form: Shape, rest: bytes) -> Item | str:
    said = rest.decode("latin-1")
    if form is Shape.VERSION:
        # The count is hex, what it counts is as it is.
        if _HEX.fullmatch(said[:2]) is None:
            return "a version without its length"
        text = rest[2:]
        count = int(said[:2], 16)
        return control.read(form, bytes([count]) + (text[1:] if len(text) == count + 1 else text))
    said = said.replace(" ", "")
    if _HEX.fullmatch(said) is None:
        return f"not in hex: {said[:20]}"
    return control.read(form, bytes.fromhex(said))


def _item(word: str, words: _Words, form: Shape, flaws: list[str], *, classed: bool) -> Item | None:
    step = _STEP.fullmatch(word)
    if step:
        unit, count = step[1], int(step[2])
        return Step(*(count if unit == each else 0 for each in "DHN"))
    if form in (Shape.PARAMETERS, Shape.ASKED_PARAMETERS) and word != "ST":
        return _parameter(word, words, form, flaws)
    if form is Shape.ASKED_ELEMENTS:
        if word in BY_ASCII:
            return Asked(BY_ASCII[word])
        flaws.append(f"an identifier that is none: {word[:20]}")
        return None
    if word == "ST":
        words.at -= 3
        return _station(words, flaws, classed=classed)
    if word in _TO_THE_END:
        return _TO_THE_END[word](words.rest())
    if word == "TT":
        observed = Observed(words.next())
        if observed.at is None:
            flaws.append(f"no time: {observed.digits[:20]}")
        return observed
    code = STATUS if word == _STATUS_IN_HEX else BY_ASCII.get(word)
    if code is None:
        # What stands beside it cannot be told from an identifier: both are left out.
        flaws.append(f"an identifier that is none: {word[:20]}")
        return None
    return _value(code, words.slots(code) if code in SLOTS else words.next(), flaws)


def _value(code: int, said: str, flaws: list[str]) -> Item | None:
    if code in SLOTS or code == STATUS:
        if _HEX.fullmatch(said) is None:
            flaws.append(f"{code:02X} is not in hex: {said[:20]}")
            return None
        raw = bytes.fromhex(said)
        if code in SLOTS:
            return Slots(code, raw, len(raw))
        if len(raw) == 4:
            return Status(int.from_bytes(raw, "big"))
    element = Element(code, said)
    if element.wrong:
        flaws.append(f"{code:02X} is no number: {said[:20]}")
    return element


def _parameter(word: str, words: _Words, form: Shape, flaws: list[str]) -> Item | None:
    if len(word) != 2 or _HEX.fullmatch(word) is None:
        flaws.append(f"an identifier that is none: {word[:20]}")
        return None
    code = int(word, 16)
    if form is Shape.ASKED_PARAMETERS:
        return Asked(code, parameter=True)
    said = words.next()
    if is_numeric(code):
        element = Element(code, said, parameter=True)
        if element.wrong:
            flaws.append(f"{code:02X} is no number: {said[:20]}")
        return element
    if _HEX.fullmatch(said) is None:
        flaws.append(f"{code:02X} is not in hex: {said[:20]}")
        return None
    return Raw(code, bytes.fromhex(said))


def _series(words: _Words, flaws: list[str]) -> Iterator[Item]:
    """Identifiers, then a value of each for every step (table 30)."""
    codes: list[int] = []
    while (word := words.ahead()) in BY_ASCII:
        codes.append(BY_ASCII[word])
        words.next()
        if word in SLOTS.values():
            break
    if not codes:
        return
    said: list[str] = []
    while (word := words.ahead()) and word not in BY_ASCII and word not in ("TT", "ST"):
        said.append(words.next())
    if codes[-1] in SLOTS:
        data = "".join(said)
        if data and _HEX.fullmatch(data) is None:
            flaws.append(f"{codes[-1]:02X} is not in hex: {data[:20]}")
        else:
            each = len(said[0]) // 2 if said else 0
            yield Slots(codes[-1], bytes.fromhex(data), each)
        return
    if len(said) % len(codes):
        flaws.append(f"{len(said)} values of {len(codes)} elements")
    for at, code in enumerate(codes):
        series = Series(code, tuple(said[at :: len(codes)]))
        if series.wrong:
            flaws.append(f"{code:02X} is no number: {str(series.digits)[:60]}")
        yield series
