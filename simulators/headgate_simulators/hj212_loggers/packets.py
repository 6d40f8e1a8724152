"""Packets of HJ 212-2017 (clause 6.3, annex A), written and taken apart."""

from __future__ import annotations

import re

_ANSWER = re.compile(rb"##(\d{4})")


def check(data: bytes) -> int:
    """Annex A: each byte into the low half, eight shifts with A001."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            low = register & 1
            register >>= 1
            if low:
                register ^= 0xA001
    return register


def packet(
    segment: str, *, wrong: bool = False, short: bool = False, end: bytes = b"\r\n"
) -> bytes:
    """A data segment as it goes out; `wrong`: with another check, `short`: with a check without its zeros."""
    data = segment.encode("utf-8")
    said = b"%04X" % (check(data) ^ (0x5A if wrong else 0))
    return b"##%04d%b%b%b" % (len(data), data, (said.lstrip(b"0") or b"0") if short else said, end)


def taken(buffer: bytearray) -> dict[str, str] | None:
    """The next whole packet of a stream, its fields by name; None when more is needed.

    Raises:
        ValueError: this is no platform of HJ 212.
    """
    while buffer[:1] == b"\r" or buffer[:1] == b"\n":
        del buffer[0]
    if len(buffer) < 6:
        return None
    begins = _ANSWER.match(buffer)
    if begins is None:
        raise ValueError(f"no packet: {bytes(buffer[:16])!r}")
    end = 6 + int(begins[1])
    if len(buffer) < end + 6:
        return None
    data, said = bytes(buffer[6:end]), bytes(buffer[end : end + 4])
    del buffer[: end + 6]
    if int(said, 16) != check(data):
        raise ValueError("a packet with a wrong check")
    head, _, cp = data.decode("utf-8").partition("CP=&&")
    fields = dict(each.partition("=")[::2] for each in head.split(";") if each)
    return {**fields, "CP": cp.removesuffix("&&")}
