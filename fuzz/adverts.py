"""Bluetooth advertisements: what the radio hands over is whatever stands next to the box."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fuzz.lines import vectors
from fuzz.target import Target
from headgate_drivers.ble.codec import FORMATS, Advert, Format, advert_of
from headgate_drivers.ble.codec.layout import SIZES, Place, value_at

ADDRESS = "A4:C1:38:8D:18:B2"
KEY = bytes(range(16))
#: More fields than an advertisement has bytes there cannot be.
MOST_FIELDS = 255


def _told(name: str, format_: Format, adverts: Iterable[Advert]) -> None:
    for advert in adverts:
        for key in (None, KEY, b"short"):
            for told in format_.frames(advert, key):
                assert len(told.fields) <= MOST_FIELDS, name
                for field in told.fields:
                    assert field.name, name


def _format(name: str) -> Callable[[bytes], None]:
    format_ = FORMATS[name]
    # The head of a service's data is its UUID, of a company's its number: two bytes, lowest first.
    services = [head[1::-1].hex() for kind, head in format_.heads if kind == 0x16]
    companies = [int.from_bytes(head[:2], "little") for kind, head in format_.heads if kind == 0xFF]

    def run(data: bytes) -> None:
        # As its own data, so that every byte is the decoder's; and as the radio would say it.
        own = [Advert(ADDRESS, service=((uuid, data),)) for uuid in services]
        own += [Advert(ADDRESS, company=((number, data),)) for number in companies]
        _told(name, format_, [*own, advert_of(data, ADDRESS, -60)])

    return run


def _advert(data: bytes) -> None:
    advert = advert_of(data, ADDRESS, -60)
    assert len(advert.service) + len(advert.company) <= len(data)
    for name, format_ in FORMATS.items():
        _told(name, format_, [advert])


def _layout(data: bytes) -> None:
    """A profile's own places, in bytes that are too few or anything."""
    if len(data) < 3:
        return
    for kind, own in SIZES.items():
        place = Place(kind, data[0] % 32, own or data[1] % 16, "big" if data[2] & 1 else "little")
        value_at(data[3:], place)


def _seeds() -> list[bytes]:
    found = []
    for vector in vectors("bthome"):
        if "hci" in vector:
            event = bytes.fromhex(vector["hci"])
            found.append(event[14 : 14 + event[13]])
        keys = ("service_data", "manufacturer_data")
        found += [bytes.fromhex(vector[key]) for key in keys if key in vector]
    return found


ADVERTS: dict[str, Target] = {
    "advert": Target(_advert, _seeds, 255),
    "advert-layout": Target(_layout, _seeds, 255),
    **{
        name: Target(_format(name), _seeds, 255)
        for name in ("bthome", "mibeacon", "ibeacon", "eddystone", "ruuvi")
    },
}
