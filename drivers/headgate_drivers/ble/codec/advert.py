"""An advertisement, and how to read one from the bytes on the air.

Source: Bluetooth Core Specification Supplement, part A: AD structures are length, type, value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

#: The end of every 128-bit UUID that stands for a short one.
_BASE = "-0000-1000-8000-00805f9b34fb"
_SERVICE_16, _SERVICE_32, _SERVICE_128, _MANUFACTURER = 0x16, 0x20, 0x21, 0xFF


class Advert(NamedTuple):
    """One advertisement heard. `service` by UUID (`fcd2`, or 36 characters), `company` by its number.

    Both are pairs in order: a tag may say two things under one number. `rssi` is dBm.
    """

    address: str
    rssi: int | None = None
    service: tuple[tuple[str, bytes], ...] = ()
    company: tuple[tuple[int, bytes], ...] = ()


def short(uuid: str) -> str:
    """A UUID as profiles write it: four digits where it is one of the short ones."""
    uuid = uuid.lower()
    if uuid.endswith(_BASE) and uuid.startswith("0000"):
        return uuid[4:8]
    return uuid


def long(uuid: str) -> str:
    """The same UUID in 36 characters."""
    return f"0000{uuid.lower()}{_BASE}" if len(uuid) == 4 else uuid.lower()


def advert_of(data: bytes, address: str, rssi: int | None = None) -> Advert:
    """An advert from its AD structures. What is cut off at the end is left out."""
    service: list[tuple[str, bytes]] = []
    company: list[tuple[int, bytes]] = []
    for kind, value in _structures(data):
        if kind == _MANUFACTURER and len(value) >= 2:
            company.append((int.from_bytes(value[:2], "little"), value[2:]))
        elif kind == _SERVICE_16 and len(value) >= 2:
            service.append((value[1::-1].hex(), value[2:]))
        elif kind == _SERVICE_32 and len(value) >= 4:
            service.append((short(f"{value[3::-1].hex()}{_BASE}"), value[4:]))
        elif kind == _SERVICE_128 and len(value) >= 16:
            digits = value[15::-1].hex()
            cuts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
            service.append((short("-".join(cuts)), value[16:]))
    return Advert(address, rssi, tuple(service), tuple(company))


def _structures(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        size = data[at]
        if size == 0 or at + 1 + size > len(data):
            return  # padding, or cut
        yield data[at + 1], data[at + 2 : at + 1 + size]
        at += 1 + size


def address_bytes(address: str) -> bytes:
    """Six bytes of `A4:C1:38:8D:18:B2`; none for anything else."""
    try:
        found = bytes.fromhex(address.replace(":", ""))
    except ValueError:
        return b""
    return found if len(found) == 6 else b""
