"""What a profile's `[frame]` says, as the rule the codec works by; and what is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import msgspec

from headgate.sdk import Device, Problem, ProfileError
from headgate_drivers.serial.checksum import ALGORITHMS, Checksum
from headgate_drivers.serial.codec import LONGEST, Check, Number, Rule

T = TypeVar("T")

#: Keys of `[frame]`, with what each means.
FRAME_KEYS: Mapping[str, str] = {
    "dialect": "nmea0183: start, end, check and separator of NMEA 0183 sentences",
    "start": 'bytes a frame begins with: text, or "hex:FF 86"',
    "end": "bytes a frame ends with",
    "size": "bytes of a whole frame, where that is fixed",
    "length_at": "where the frame tells its length",
    "length_size": "bytes of that number (1)",
    "length_encoding": "binary | hex | ascii | bcd",
    "length_order": "big | little",
    "length_add": "what is added to it for the whole frame's size (0)",
    "longest": f"no frame is longer (256; at most {LONGEST})",
    "check": " | ".join(ALGORITHMS),
    "check_at": "where the check value stands (its size before the end)",
    "check_encoding": "binary | hex",
    "check_order": "big | little",
    "check_from": "first byte it covers (0)",
    "check_to": "first byte it no longer covers (its own place)",
    "check_mark": "bytes right before it, not covered",
    "check_required": "false: a frame without the mark has none",
    "crc_poly": "polynomial, highest bit left out",
    "crc_init": "register at the beginning",
    "crc_reflect_in": "bytes least significant bit first",
    "crc_reflect_out": "register mirrored at the end",
    "crc_xorout": "what the register is XORed with at the end",
    "address_at": "where the unit's address stands",
    "address_size": "bytes of it (1)",
    "address_encoding": "binary | hex | ascii | bcd",
    "address_order": "big | little",
    "address_field": "which of the separated fields is the address",
    "separator": "what stands between fields",
    "request": "what is sent for an answer; {address} and {check} are filled in",
}

#: NMEA 0183: `$`, address, fields, optional `*hh` (XOR of what is between `$` and `*`), CR LF.
_NMEA: Mapping[str, object] = {
    "start": "$", "end": "\n", "separator": ",", "check": "xor8", "check_encoding": "hex",
    "check_from": 1, "check_mark": "*",
}  # fmt: skip

_ENCODINGS = ("binary", "hex", "ascii", "bcd")
_ORDERS = ("big", "little")
_PREFIX = "frame."


class Frame(msgspec.Struct, frozen=True):
    """All that `[frame]` says."""

    rule: Rule
    nmea: bool = False
    separator: bytes = b""
    address: Number | int | None = None
    request: str = ""


#: Stands for the value of a key that is not there.
MISSING = "(none)"


class Misfit(Exception):
    """A key whose value is not possible."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key)
        self.fields: dict[str, str | int | float] = {
            "key": key, "value": str(value)[:60], "allowed": allowed,
        }  # fmt: skip


def frame_of(device: Device) -> Frame:
    """How frames of this device are cut.

    Raises:
        ProfileError: every key of `[frame]` that is wrong.
    """
    where = f'device "{device.id}": frame'
    given = {
        key.removeprefix(_PREFIX): value
        for key, value in device.quirks.items()
        if key.startswith(_PREFIX)
    }
    problems = [_unknown(where, key) for key in given if key not in FRAME_KEYS]
    dialect = given.get("dialect")
    if dialect not in (None, "nmea0183"):
        problems.append(_problem(where, Misfit("dialect", dialect, "nmea0183")))
    keys = _Keys({**(_NMEA if dialect == "nmea0183" else {}), **given}, where, problems)
    frame = _frame(keys, dialect == "nmea0183")
    if problems:
        raise ProfileError(problems)
    return frame


def _frame(keys: _Keys, nmea: bool) -> Frame:
    start, end = keys.raw("start"), keys.raw("end")
    size = keys.number("size", 0, 0, LONGEST)
    length = keys.place("length") if keys.has("length_at") else None
    check = _check(keys) if keys.has("check") else None
    rule = Rule(
        start=start,
        end=end,
        size=size,
        length=length,
        length_add=keys.number("length_add", 0, -LONGEST, LONGEST),
        longest=keys.number("longest", max(256, size), max(1, size), LONGEST),
        check=check,
    )
    if size and length:
        keys.wrong("size", size, "size or length_at, not both")
    elif not (size or length or end):
        keys.wrong("end", MISSING, "end, size or length_at: one of them says where a frame ends")
    elif length and not (start and check):
        keys.wrong(
            "length_at", length.at, "with start and check: noise would be taken for a length"
        )
    elif size and not start and not check:
        keys.wrong("size", size, "with start or check: else nobody knows where a frame begins")
    elif length and length.at < 0:
        keys.wrong("length_at", length.at, "0 or more")
    separator = keys.raw("separator")
    address: Number | int | None = None
    if keys.has("address_field"):
        address = keys.number("address_field", 0, -64, 64)
        if not separator:
            keys.wrong("address_field", address, "with separator")
    elif keys.has("address_at"):
        address = keys.place("address")
    request = keys.text("request")
    if request:
        keys.try_("request", request, lambda: template(request, 1, address, check))
    return Frame(rule, nmea, separator, address, request)


def _check(keys: _Keys) -> Check | None:
    name = keys.text("check")
    algorithm = ALGORITHMS.get(name)
    if algorithm is None:
        close = get_close_matches(name, ALGORITHMS, 1, 0.4)
        keys.wrong("check", name, " | ".join((*close, *(a for a in ALGORITHMS if a not in close))))
        return None
    algorithm = _with_parameters(keys, name, algorithm)
    encoding = keys.choice("check_encoding", "binary", ("binary", "hex"))
    size = algorithm.width // 8 * (2 if encoding == "hex" else 1)
    place = Number(
        keys.number("check_at", -size, -LONGEST, LONGEST),
        size,
        encoding,
        keys.choice("check_order", "big", _ORDERS) == "little",
    )
    return Check(
        algorithm,
        place,
        keys.number("check_from", 0, 0, LONGEST),
        keys.number("check_to", 0, -LONGEST, LONGEST) if keys.has("check_to") else None,
        keys.raw("check_mark"),
        keys.truth("check_required", True),
    )


def _with_parameters(keys: _Keys, name: str, algorithm: Checksum) -> Checksum:
    highest = (1 << algorithm.width) - 1
    given = [key for key in FRAME_KEYS if key.startswith("crc_") and keys.has(key)]
    if algorithm.kind != "crc":
        for key in given:
            keys.wrong(key, keys.text_of(key), "only with a crc")
        return algorithm
    if not algorithm.poly and "crc_poly" not in given:
        keys.wrong("crc_poly", MISSING, f"{name} wants one; or name a known crc")
    return msgspec.structs.replace(
        algorithm,
        poly=keys.number("crc_poly", algorithm.poly, 0, highest),
        init=keys.number("crc_init", algorithm.init, 0, highest),
        reflect_in=keys.truth("crc_reflect_in", algorithm.reflect_in),
        reflect_out=keys.truth("crc_reflect_out", algorithm.reflect_out),
        xorout=keys.number("crc_xorout", algorithm.xorout, 0, highest),
    )


# ---------------------------------------------------------------- requests

_FILLED = re.compile(r"\{(address|check)(?::(0?\d{0,2}[dXx]))?\}")


def template(
    text: str, address: int | str, place: Number | int | None, check: Check | None
) -> bytes:
    """A request as it goes out.

    In text `{address}` is written as in the site file, or by a format (`{address:02d}`); in `hex:` as
    the frame's own address is written, one byte when it has none. `{check}` is the frame's check over
    what stands before it.

    Raises:
        ValueError: what is in braces is not known, or the address does not fit.
    """
    plain = not text.startswith("hex:")
    out = b""
    at = 0
    body = text if plain else text[4:]
    for found in _FILLED.finditer(body):
        out += _written(body[at : found.start()], plain)
        if found[1] == "check":
            if check is None:
                raise ValueError("{check} without check")
            begin = min(check.begin, len(out))
            mark = check.mark if not out.endswith(check.mark) else b""
            covered = out.removesuffix(check.mark) if check.mark else out
            out += mark + check.place.write(check.algorithm.of(covered[begin:]))
        elif plain and found[2]:
            out += format(int(address), found[2]).encode()
        elif plain:
            out += str(address).encode()
        else:
            number = place if isinstance(place, Number) else Number(0)
            out += number.write(int(address))
        at = found.end()
    return out + _written(body[at:], plain)


def _written(text: str, plain: bool) -> bytes:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r}: only {{address}} and {{check}} are filled in")
    return text.encode("latin-1") if plain else bytes.fromhex(text)


def raw_bytes(text: str) -> bytes:
    """Bytes as a profile writes them: text, or `hex:FF 86`. Raises ValueError."""
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode("latin-1")


# ---------------------------------------------------------------- keys


class _Keys:
    """The keys of a `[frame]`; what is wrong is told, and a harmless value goes on."""

    def __init__(self, given: Mapping[str, object], where: str, problems: list[Problem]) -> None:
        self._given = given
        self._where = where
        self._problems = problems

    def has(self, key: str) -> bool:
        return key in self._given

    def text_of(self, key: str) -> str:
        return str(self._given.get(key, MISSING))

    def wrong(self, key: str, value: object, allowed: str) -> None:
        self._problems.append(_problem(self._where, Misfit(key, value, allowed)))

    def try_(self, key: str, value: object, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except ValueError as error:  # UnicodeEncodeError among them
            self.wrong(key, value, str(error))
            return None

    def number(self, key: str, usual: int, low: int, high: int) -> int:
        value = self._given.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(key, value, f"{low} .. {high}")
            return usual
        return value

    def truth(self, key: str, usual: bool) -> bool:
        value = self._given.get(key, usual)
        if not isinstance(value, bool):
            self.wrong(key, value, "true | false")
            return usual
        return value

    def text(self, key: str) -> str:
        value = self._given.get(key, "")
        if not isinstance(value, str):
            self.wrong(key, value, '"text"')
            return ""
        return value

    def raw(self, key: str) -> bytes:
        text = self.text(key)
        return self.try_(key, text, lambda: raw_bytes(text)) or b""

    def choice(self, key: str, usual: str, allowed: tuple[str, ...]) -> str:
        value = self._given.get(key, usual)
        if value not in allowed:
            self.wrong(key, value, " | ".join(allowed))
            return usual
        return str(value)

    def place(self, name: str) -> Number:
        return Number(
            self.number(f"{name}_at", 0, -LONGEST, LONGEST),
            self.number(f"{name}_size", 1, 1, 16),
            self.choice(f"{name}_encoding", "binary", _ENCODINGS),
            self.choice(f"{name}_order", "big", _ORDERS) == "little",
        )


def _problem(where: str, misfit: Misfit) -> Problem:
    return Problem(f"{where}.{misfit.fields['key']}", "HG-3400", misfit.fields)


def _unknown(where: str, key: str) -> Problem:
    close = get_close_matches(key, FRAME_KEYS, 1, 0.4)
    fields: dict[str, str | int | float] = {"key": key, "nearest": close[0] if close else "-"}
    return Problem(f"{where}.{key}", "HG-3401", fields)
