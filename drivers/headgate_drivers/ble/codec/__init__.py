"""What advertisements say, as pure functions of bytes. Hostile bytes become a `Fault`, never an error.

advert     the AD structures of an advertisement
told       fields and faults
bthome (bthome_v1, bthome_objects), mibeacon, beacons, ruuvi, tags   formats that the driver knows by name
layout     everything else, as a profile lays it out
freshness  whether a sealed frame is new
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from headgate_drivers.ble.codec import beacons, bthome, bthome_v1, mibeacon, ruuvi, tags
from headgate_drivers.ble.codec.advert import Advert, address_bytes, advert_of, long, short
from headgate_drivers.ble.codec.told import Fault, Field, Told

__all__ = [
    "FORMATS",
    "Advert",
    "Fault",
    "Field",
    "Format",
    "Told",
    "address_bytes",
    "advert_of",
    "long",
    "short",
]


class Format(NamedTuple):
    """A format known by name.

    Attributes:
        names: the fields it may tell.
        frames: what every frame of it in an advert tells, given the device's key.
        heads: how such a frame begins, as (AD type, bytes): what a passive scan is asked for.
        changes: whether two measurements always differ on the air. A beacon says the same for years.
        counter_bits: width of the counter of sealed frames; 0 when it knows none.
    """

    names: frozenset[str]
    frames: Callable[[Advert, bytes | None], Iterable[Told]]
    heads: tuple[tuple[int, bytes], ...]
    changes: bool = True
    counter_bits: int = 0


_Sealed = Callable[[bytes, bytes, bytes | None], Told]
_Plain = Callable[[bytes], Told]


def _sealed(service: str, decode: _Sealed) -> Callable[[Advert, bytes | None], Iterable[Told]]:
    def frames(advert: Advert, key: bytes | None) -> Iterable[Told]:
        address = address_bytes(advert.address)
        return [decode(data, address, key) for uuid, data in advert.service if uuid == service]

    return frames


def _in_service(service: str, decode: _Plain) -> Callable[[Advert, bytes | None], Iterable[Told]]:
    return lambda advert, _: [decode(data) for uuid, data in advert.service if uuid == service]


def _of_company(
    company: int | None, decode: _Plain
) -> Callable[[Advert, bytes | None], Iterable[Told]]:
    return lambda advert, _: [
        decode(data) for number, data in advert.company if company in (None, number)
    ]


def _bthome_v1(advert: Advert, key: bytes | None) -> Iterable[Told]:
    address = address_bytes(advert.address)
    for uuid, data in advert.service:
        if uuid == bthome_v1.PLAIN_SERVICE:
            yield bthome_v1.plain(data, address, key)
        elif uuid == bthome_v1.SEALED_SERVICE:
            yield bthome_v1.sealed(data, address, key)


def _sig(advert: Advert, _: bytes | None) -> Iterable[Told]:
    told = [tags.sig(uuid, data) for uuid, data in advert.service]
    return [one for one in told if one.fields or one.fault is not Fault.NOT_SUPPORTED]


def _service_head(uuid: str) -> tuple[int, bytes]:
    return 0x16, bytes.fromhex(uuid)[::-1]


def _company_head(company: int, rest: bytes = b"") -> tuple[int, bytes]:
    return 0xFF, company.to_bytes(2, "little") + rest


FORMATS: Mapping[str, Format] = {
    "bthome": Format(
        bthome.NAMES, _sealed(bthome.SERVICE, bthome.decode),
        (_service_head(bthome.SERVICE),), counter_bits=32,
    ),
    "bthome_v1": Format(
        bthome.NAMES, _bthome_v1,
        (_service_head(bthome_v1.PLAIN_SERVICE), _service_head(bthome_v1.SEALED_SERVICE)),
        counter_bits=32,
    ),
    "mibeacon": Format(
        mibeacon.NAMES, _sealed(mibeacon.SERVICE, mibeacon.decode),
        (_service_head(mibeacon.SERVICE),), counter_bits=24,
    ),
    "ibeacon": Format(
        beacons.IBEACON_NAMES, _of_company(beacons.APPLE, beacons.ibeacon),
        (_company_head(beacons.APPLE, b"\x02\x15"),), changes=False,
    ),
    "altbeacon": Format(beacons.IBEACON_NAMES, _of_company(None, beacons.altbeacon), (), changes=False),
    "eddystone": Format(
        beacons.EDDYSTONE_NAMES, _in_service(beacons.EDDYSTONE_SERVICE, beacons.eddystone),
        (_service_head(beacons.EDDYSTONE_SERVICE),), changes=False,
    ),
    "ruuvi": Format(
        ruuvi.NAMES, _of_company(ruuvi.COMPANY, ruuvi.decode), (_company_head(ruuvi.COMPANY),)
    ),
    "atc": Format(
        tags.ATC_NAMES, _in_service(tags.ATC_SERVICE, tags.atc), (_service_head(tags.ATC_SERVICE),)
    ),
    "sig": Format(
        tags.SIG_NAMES, _sig, tuple(_service_head(u) for u in ("2a6e", "2a6f", "2a6d", "2a19"))
    ),
    "ela": Format(
        tags.ELA_NAMES, _of_company(tags.ELA_COMPANY, tags.ela), (_company_head(tags.ELA_COMPANY),)
    ),
    "kkm": Format(
        tags.KKM_NAMES, _in_service(tags.KKM_SERVICE, tags.kkm), (_service_head(tags.KKM_SERVICE),)
    ),
    "holyiot": Format(
        tags.HOLYIOT_NAMES, _in_service(tags.HOLYIOT_SERVICE, tags.holyiot),
        (_service_head(tags.HOLYIOT_SERVICE),),
    ),
    "mikrotik": Format(
        tags.MIKROTIK_NAMES, _of_company(tags.MIKROTIK_COMPANY, tags.mikrotik),
        (_company_head(tags.MIKROTIK_COMPANY),),
    ),
}  # fmt: skip
