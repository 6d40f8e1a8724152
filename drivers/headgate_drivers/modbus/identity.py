"""What a device says of itself: version registers, and function 43/14. Pure but for the asking.

Source: MODBUS Application Protocol V1.1b3, section 6.21.
"""

from __future__ import annotations

from typing import NamedTuple

from headgate.sdk import Identity, ProtocolError
from headgate_drivers.modbus.codec import DEVICE_ID, INTERFACE, check_head

#: Read device id codes: the mandatory objects 0 to 2, and all up to 6.
BASIC, REGULAR = 1, 2
#: Answers in one identification: a device that always says "more follows" must not hold a line.
MOST_PARTS = 8

VENDOR, PRODUCT, REVISION, MODEL = 0, 1, 2, 5


def ask_identity(code: int, first: int) -> bytes:
    """The PDU that asks for identification objects from `first` on."""
    return bytes((INTERFACE, DEVICE_ID, code, first))


class Part(NamedTuple):
    """One answer: objects by number, and the number to go on with (None: that was all)."""

    objects: dict[int, bytes]
    more: int | None


def identity_part(payload: bytes, unit: int) -> Part:
    """One answer taken apart.

    Raises:
        DeviceRefused: an exception; most cheap devices give one.
        ProtocolError: something that is no such answer.
    """
    check_head(payload, unit, INTERFACE, 0, 0)
    if len(payload) < 8 or payload[2] != DEVICE_ID:
        raise ProtocolError(f"unit {unit}: no identification", unit=unit, reason="identification")
    objects: dict[int, bytes] = {}
    at = 8
    for _ in range(payload[7]):
        if at + 2 > len(payload) or at + 2 + payload[at + 1] > len(payload):
            raise ProtocolError(f"unit {unit}: cut short", unit=unit, reason="identification")
        objects[payload[at]] = payload[at + 2 : at + 2 + payload[at + 1]]
        at += 2 + payload[at + 1]
    return Part(objects, payload[6] if payload[5] else None)


def identity_of(objects: dict[int, bytes]) -> Identity:
    """Identification objects as an identity."""

    def text(number: int) -> str:
        return clean(objects.get(number, b""))

    return Identity(
        vendor=text(VENDOR), model=text(MODEL) or text(PRODUCT), firmware=text(REVISION) or None
    )


def version_of(form: str, raw: bytes) -> str | None:
    """The firmware that version registers tell; None where they hold none (all zeros or ones)."""
    if not raw.strip(b"\0") or not raw.strip(b"\xff"):
        return None
    if form == "major.minor bytes":
        return f"{raw[0]}.{raw[1]}"
    if form == "integer":
        return str(int.from_bytes(raw, "big"))
    return clean(raw) or None


def clean(raw: bytes) -> str:
    """Printable text of what a device holds; not more of it than fits a label."""
    said = raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return "".join(c for c in said if c.isprintable())[:64]
