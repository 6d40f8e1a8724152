"""What the data of a frame say (2007, clause 7): values of an answer, requests, refusals. Pure.

A password is never among the fields: it stands in the data of a write and nowhere else.
"""

from __future__ import annotations

import msgspec

from headgate_drivers.dlt645 import values
from headgate_drivers.dlt645.identifiers import items
from headgate_drivers.dlt645.items import Item

#: Functions without the bits of the direction (2007: clause 7, and its supplement: 1C, 1D, 03).
READ, FOLLOW, ADDRESS, WRITE, SET_ADDRESS = 0x11, 0x12, 0x13, 0x14, 0x15
CLOCK, FREEZE, BAUD, PASSWORD, DEMAND_CLEAR = 0x08, 0x16, 0x17, 0x18, 0x19
METER_CLEAR, EVENT_CLEAR, SWITCH, OUTPUT, AUTHENTICATE = 0x1A, 0x1B, 0x1C, 0x1D, 0x03
READ_1997, FOLLOW_1997, AGAIN_1997, WRITE_1997 = 0x01, 0x02, 0x03, 0x04

#: Bits of a refusal, lowest first (2007: annex C, ERR).
ERRORS = (
    "other error", "no such data", "password wrong / not authorised", "baud rate cannot change",
    "too many seasons", "too many day periods", "too many tariffs",
)  # fmt: skip
ERRORS_1997 = (
    "illegal data", "no such identifier", "password wrong", "", "too many seasons",
    "too many day periods", "too many tariffs",
)  # fmt: skip
#: What 1C may ask for (supplement of 2007).
COMMANDS = {
    0x1A: "trip", 0x1B: "permit close", 0x1C: "close", 0x2A: "alarm", 0x2B: "end alarm",
    0x3A: "keep power", 0x3B: "end keeping power",
}  # fmt: skip
_REPLY, _REFUSED, _MORE, _FUNCTION = 0x80, 0x40, 0x20, 0x1F
_EDITION_1997 = (0x01, 0x02, 0x03, 0x04)
#: Classes of "passwords" behind which stands what a security chip has sealed.
_SEALED = (0x98, 0x99)
_SEPARATOR = b"\xaa"


class Field(msgspec.Struct, frozen=True):
    """One value by name. None is no value: digits that are none, or nothing recorded yet."""

    name: str
    value: float | int | str | None
    unit: str | None = None


class Message(msgspec.Struct, frozen=True):
    """The data of a frame.

    Attributes:
        identifier: as the standard prints it: eight digits (2007), four (1997), or none.
        content: what stands behind the identifier, without a follow-up's number.
        sequence: the number of a follow-up frame.
        error: the word of a refusal; `says` has it in words.
        flaws: what is not right.
    """

    identifier: str = ""
    fields: tuple[Field, ...] = ()
    content: bytes = b""
    sequence: int | None = None
    error: int | None = None
    says: str = ""
    flaws: tuple[str, ...] = ()


def understand(control: int, data: bytes) -> Message:
    """What this frame says."""
    function = control & _FUNCTION
    if control & _REFUSED:
        return _refusal(function, data)
    if not control & _REPLY:
        return _request(function, data)
    if function in (READ, FOLLOW, READ_1997, FOLLOW_1997) or (
        function == AGAIN_1997 and 0 < len(data) <= 2
    ):
        return _answer(control, data)
    if function in (ADDRESS, SET_ADDRESS) and data:
        return _address(data)
    return Message(content=data)


def read_items(identifier: str, content: bytes) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The values behind an identifier, and what is wrong with them."""
    known = items(identifier, len(content))
    if known is None:
        return (), ()
    fields: list[Field] = []
    flaws: list[str] = []
    at = 0
    for item in known:
        # 1997 puts AA between the groups of a block and behind the last; it is never a digit.
        if len(identifier) == 4 and content[at : at + 1] == _SEPARATOR:
            at += 1
            if at == len(content):
                break
        raw = content[at : at + item.size]
        at += item.size
        if len(raw) < item.size:
            flaws.append(f"{item.name}: {len(raw)} bytes of {item.size}")
            break
        value = _value(item, raw)
        # Nothing recorded yet is all zero in a time, and no fault.
        if value is None and item.kind != "text" and (item.kind == "number" or any(raw)):
            flaws.append(f"{item.name}: {raw[::-1].hex().upper()} is no {item.kind}")
        fields.append(Field(item.name, value, item.unit))
        if item.kind == "day":
            fields.append(Field("weekday", values.number(raw[:1], 0, signed=False)))
    if len(identifier) == 4 and content[at:] == _SEPARATOR:
        at += 1
    if at < len(content):
        flaws.append(f"{len(content) - at} bytes more than {identifier} has")
    return tuple(fields), tuple(flaws)


def _value(item: Item, raw: bytes) -> float | int | str | None:
    match item.kind:
        case "number":
            return values.number(raw, item.decimals, signed=item.signed)
        case "bits":
            return int.from_bytes(raw, "little")
        case "digits":
            return values.digits(raw)
        case "hex":
            return raw[::-1].hex().upper()
        case "text":
            return values.text_of(raw)
        case "day":  # the weekday stands lowest
            return values.moment(raw[1:], "day")
        case "second" if len(raw) == 7:  # the weekday stands between the day and the time
            return values.moment(raw[:3] + raw[4:], "second")
    return values.moment(raw, item.kind)


def _identifier(function: int, data: bytes) -> tuple[str, bytes]:
    size = 2 if function in _EDITION_1997 else 4
    return data[:size][::-1].hex().upper(), data[size:]


def _answer(control: int, data: bytes) -> Message:
    function = control & _FUNCTION
    identifier, content = _identifier(function, data)
    if len(identifier) < (4 if function in _EDITION_1997 else 8):
        return Message(identifier, content=content, flaws=("an answer without an identifier",))
    sequence = None
    if function == FOLLOW:
        if not content:
            return Message(identifier, flaws=("a follow-up without a number",))
        content, sequence = content[:-1], content[-1]
    if control & _MORE or function in (FOLLOW, FOLLOW_1997):
        # A part may end inside an item: what is whole is told, the rest is in `content`.
        fields = () if sequence or function == FOLLOW_1997 else read_items(identifier, content)[0]
        return Message(identifier, fields, content, sequence)
    fields, flaws = read_items(identifier, content)
    return Message(identifier, fields, content, flaws=flaws)


def _address(data: bytes) -> Message:
    if len(data) != 6:
        return Message(content=data, flaws=(f"an address of {len(data)} bytes",))
    text = data[::-1].hex().upper()
    return Message(fields=(Field("meter_address", text),), content=data)


def _refusal(function: int, data: bytes) -> Message:
    if not data:
        return Message(says="no reason told", flaws=("a refusal without a reason",))
    word = int.from_bytes(data[:2], "little") if function == AUTHENTICATE else data[0]
    names = ERRORS_1997 if function in (*_EDITION_1997, 0x0A, 0x0C, 0x0F, 0x10) else ERRORS
    says = [name for bit, name in enumerate(names) if name and word >> bit & 1]
    text = ", ".join(says) or "no reason told"
    return Message(
        fields=(Field("error_word", f"{word:02X}"),), content=data, error=word, says=text
    )


def _request(function: int, data: bytes) -> Message:
    if function in (READ, FOLLOW, READ_1997, FOLLOW_1997):
        identifier, content = _identifier(function, data)
        if len(identifier) < (4 if function in _EDITION_1997 else 8):
            return Message(identifier, flaws=("a request without an identifier",))
        if function == FOLLOW and len(content) == 1:
            return Message(identifier, sequence=content[0])
        return Message(identifier, content=content)
    if function in (WRITE, EVENT_CLEAR, PASSWORD) and len(data) >= 4:
        return _write(function, data)
    if function == WRITE_1997 and len(data) >= 6:
        return Message(data[:2][::-1].hex().upper(), content=data[6:])
    if function == SWITCH:
        return _switch(data)
    if function == CLOCK:
        return _timed("clock", data, "second", 6)
    if function == FREEZE:
        return _freeze(data)
    if function == SET_ADDRESS:
        return _address(data)
    return Message(content=data if function not in (DEMAND_CLEAR, METER_CLEAR) else b"")


def _write(function: int, data: bytes) -> Message:
    if function == EVENT_CLEAR:  # password, operator, identifier
        return Message(data[-4:][::-1].hex().upper())
    identifier = data[:4][::-1].hex().upper()
    if function == PASSWORD or len(data) < 12:
        return Message(identifier)
    who = (
        Field("password_class", f"{data[4]:02X}"),
        Field("operator", data[8:12][::-1].hex().upper()),
    )
    if data[4] in _SEALED:
        return Message(identifier, who, data[12:])
    fields, flaws = read_items(identifier, data[12:])
    return Message(identifier, who + fields, data[12:], flaws=flaws)


def _switch(data: bytes) -> Message:
    if len(data) < 16:
        return Message(flaws=(f"a switch command of {len(data)} bytes",))
    if data[0] in _SEALED:
        operator = data[4:8][::-1].hex().upper()
        who = (Field("password_class", f"{data[0]:02X}"), Field("operator", operator))
        return Message(fields=who, content=data[8:])
    until = values.moment(data[10:16], "second")
    fields = (
        Field("password_class", f"{data[0]:02X}"),
        Field("operator", data[4:8][::-1].hex().upper()),
        Field("command", f"{data[8]:02X}"),
        Field("valid_until", until),
    )
    # Nothing, or all nines, is no end.
    endless = data[10:16] in (b"\x00" * 6, b"\x99" * 6)
    flaws = () if until or endless else ("no time until which it holds",)
    return Message(fields=fields, says=COMMANDS.get(data[8], ""), flaws=flaws)


def _timed(name: str, data: bytes, kind: str, size: int) -> Message:
    at = values.moment(data, kind) if len(data) == size else None
    flaws = () if at else (f"{data[::-1].hex().upper()} is no time",)
    return Message(fields=(Field(name, at),), content=data, flaws=flaws)


def _freeze(data: bytes) -> Message:
    if len(data) != 4:
        return Message(content=data, flaws=(f"a freeze of {len(data)} bytes",))
    # 99 stands for every month, day, hour; all 99: now.
    text = data[::-1].hex().upper()
    flaws = () if text.isdecimal() else (f"{text} is no time",)
    return Message(fields=(Field("freeze_at", text),), content=data, flaws=flaws)
