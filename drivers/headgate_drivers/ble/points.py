"""What a profile may say of a BLE device and its points, and what is wrong when it says something else."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from headgate.sdk import (
    FORMAT,
    Device,
    DevicePoint,
    Problem,
    ProfileError,
    Quality,
    Status,
    Value,
    status_word,
)
from headgate_drivers.ble.codec import FORMATS, Advert, Told, long, short
from headgate_drivers.ble.codec.layout import SIZES, Place, value_at
from headgate_drivers.ble.codec.told import Scalar
from headgate_drivers.ble.sealing import KEY_SIZE

#: Keys of a point, besides `type`.
POINT_KEYS: Mapping[str, str] = {
    "field": "name of the value in a known format: temperature, battery, major ...; rssi of any",
    "at": "where the value stands in the frame, in bytes from 0, where the profile lays it out itself",
    "length": "bytes it takes, where they are fewer than its type's: 1 for a byte in a uint16",
    "order": "little or big: byte order (little when not said)",
    "bit": "bool: which bit, 0 the least significant; without it, not zero is true",
    "characteristic": "UUID of a GATT characteristic that holds it (format = gatt)",
    "mode": "how a characteristic is followed: notify or read (notify when not said)",
}

#: Keys of [frame] and [quirks] that this driver knows.
QUIRKS: Mapping[str, str] = {
    "frame.format": "formats to listen for, with blanks between: bthome, ibeacon eddystone, layout, gatt",
    "frame.service": "layout: UUID of the service data",
    "frame.company": "layout: company number of the manufacturer data",
    "frame.begins": "layout: how a frame begins, in hex; others of the device are left alone",
    "counter_restart_s": "after so many seconds of silence a lower counter is believed (never)",
}

#: What the driver itself knows of any device.
OWN_FIELDS = frozenset({"rssi", "adverts"})

_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}")
_UUID = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_IBEACON = re.compile(r"([0-9a-f]{32})/(\d{1,5})/(\d{1,5})")
_EDDYSTONE = re.compile(r"[0-9a-f]{20}/[0-9a-f]{12}")

Verdict = tuple[Value, Quality, int]
_NO_VALUE: Verdict = (None, Quality.BAD, status_word(Status.SENTINEL))
_MALFORMED: Verdict = (None, Quality.BAD, status_word(Status.MALFORMED))


class Follow(NamedTuple):
    """One characteristic of a connected sensor: its points, and how it is followed."""

    uuid: str
    notify: bool
    places: tuple[tuple[str, Place], ...]


class Reader(NamedTuple):
    """How one device's frames become values of its points.

    `identity` is what its adverts are known by: an address (`A4:C1:...`) or a beacon's id.
    """

    identity: str
    formats: tuple[str, ...]
    fields: Mapping[str, tuple[str, str]]
    rssi: tuple[str, ...]
    adverts: tuple[str, ...]
    alarms: tuple[str, ...]
    columns: Mapping[str, str]
    service: str
    company: int | None
    begins: bytes
    places: tuple[tuple[str, Place], ...]
    follows: tuple[Follow, ...]
    counter_restart_us: int | None

    @property
    def by_address(self) -> bool:
        """Whether it is known by its address; a beacon with a changing one is not."""
        return _ADDRESS.fullmatch(self.identity) is not None

    @property
    def changes(self) -> bool:
        """Whether two measurements always differ on the air."""
        return all(FORMATS[name].changes for name in self.formats if name in FORMATS)

    @property
    def heads(self) -> tuple[tuple[int, bytes], ...]:
        """How its frames begin, as (AD type, bytes); none where that cannot be said."""
        found = [head for name in self.formats if name in FORMATS for head in FORMATS[name].heads]
        if self.service and len(self.service) == 4:
            found.append((0x16, bytes.fromhex(self.service)[::-1] + self.begins))
        if self.company is not None:
            found.append((0xFF, self.company.to_bytes(2, "little") + self.begins))
        return tuple(found)

    def frames(self, advert: Advert, key: bytes | None) -> Iterable[Told]:
        """What the known formats find in an advert."""
        for name in self.formats:
            if name in FORMATS:
                yield from FORMATS[name].frames(advert, key)

    def values(self, told: Told) -> dict[str, Verdict]:
        """Points of a frame in a known format."""
        out: dict[str, Verdict] = {}
        for field in told.fields:
            for point, column in self._points_of(field.name):
                out[point] = _NO_VALUE if field.value is None else _fitted(column, field.value)
        return out

    def laid_out(self, advert: Advert) -> dict[str, Verdict]:
        """Points that the profile lays out itself, out of the advert's data."""
        parts = [data for uuid, data in advert.service if uuid == self.service]
        parts += [data for number, data in advert.company if number == self.company]
        out: dict[str, Verdict] = {}
        for data in parts:
            if data.startswith(self.begins):
                out.update(self.placed(self.places, data))
        return out

    def placed(self, places: Sequence[tuple[str, Place]], data: bytes) -> dict[str, Verdict]:
        """Points at their places in some bytes."""
        out: dict[str, Verdict] = {}
        for point, place in places:
            value = value_at(data, place)
            out[point] = _MALFORMED if value is None else _fitted(self.columns[point], value)
        return out

    def _points_of(self, name: str) -> list[tuple[str, str]]:
        # The first of several is also known by its bare name.
        bare = name.removesuffix("_1")
        return [
            (point, column)
            for point, (field, column) in self.fields.items()
            if field in (name, bare)
        ]


def _fitted(column: str, value: Scalar) -> Verdict:
    """A value as its column holds it; malformed when it does not."""
    if column == "text":
        return str(value), Quality.GOOD, 0
    if isinstance(value, str) or value is None:
        return _MALFORMED
    fitted: Value
    if column == "bool":
        fitted = bool(value)
    elif column in ("f32", "f64"):
        fitted = float(value)
    elif value != value or value in (float("inf"), float("-inf")) or value != int(value):
        return _MALFORMED
    else:
        fitted = int(value)
    try:
        struct.pack(">" + FORMAT[column], fitted)
    except (struct.error, OverflowError):
        return _MALFORMED
    return fitted, Quality.GOOD, 0


# ---------------------------------------------------------------- reading a profile


def key_of(text: str) -> bytes | None:
    """A bind key of 32 hex digits; None for anything else."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == KEY_SIZE else None


def identity_of(address: str | int) -> str:
    """An address or a beacon's id in the one form that adverts are looked up by; empty for anything else.

    `a4-c1-38-8d-18-b2` is A4:C1:38:8D:18:B2; an iBeacon is `UUID/MAJOR/MINOR`, an Eddystone
    `NAMESPACE/INSTANCE` in hex.
    """
    text = str(address).strip()
    mac = text.upper().replace("-", ":")
    if re.fullmatch(r"[0-9A-F]{12}", mac):
        mac = ":".join(mac[i : i + 2] for i in range(0, 12, 2))
    if _ADDRESS.fullmatch(mac):
        return mac
    beacon = text.lower().replace("-", "")
    if match := _IBEACON.fullmatch(beacon):
        major, minor = int(match[2]), int(match[3])
        return f"{match[1]}/{major}/{minor}" if max(major, minor) <= 0xFFFF else ""
    return beacon if _EDDYSTONE.fullmatch(beacon) else ""


class _Wrong(Exception):
    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(key)
        self.fields: dict[str, str | int | float] = {
            "key": key, "value": "-" if value is None else str(value)[:60], "allowed": allowed,
        }  # fmt: skip


def reader_of(device: Device) -> Reader:
    """The reader of one device.

    Raises:
        ProfileError: everything that is wrong with its address, its frame and its points.
    """
    problems: list[Problem] = []
    where = f'device "{device.id}"'
    identity = identity_of(device.address)
    if not identity:
        problems.append(_problem(where, _Wrong(
            "address", device.address, "A4:C1:38:8D:18:B2 | UUID/MAJOR/MINOR | NAMESPACE/INSTANCE"
        )))  # fmt: skip
    formats: tuple[str, ...] = ()
    try:
        formats = _formats(device)
        service, company, begins = _frame(device, formats)
        restart_us = _restart(device)
        if "gatt" in formats and identity and not _ADDRESS.fullmatch(identity):
            raise _Wrong("address", device.address, "A4:C1:38:8D:18:B2 (format = gatt)")
    except _Wrong as wrong:
        problems.append(_problem(where, wrong))
        service, company, begins, restart_us = "", None, b"", None
    fields: dict[str, tuple[str, str]] = {}
    places: list[tuple[str, Place]] = []
    follows: dict[tuple[str, bool], list[tuple[str, Place]]] = {}
    for point in device.points:
        name = point.point.name
        try:
            if point.source.get("characteristic") is not None:
                uuid, notify = _characteristic(point, formats)
                follows.setdefault((uuid, notify), []).append((name, _place(point, usual_at=0)))
            elif point.source.get("field") is not None:
                fields[name] = (_field(point, formats), point.point.type)
            else:
                if "layout" not in formats:
                    raise _Wrong("field", None, _names(formats))
                places.append((name, _place(point, usual_at=None)))
        except _Wrong as wrong:
            problems.append(_problem(f'{where}: point "{name}"', wrong))
    if problems:
        raise ProfileError(problems)
    return Reader(
        identity=identity,
        formats=formats,
        fields={n: f for n, f in fields.items() if f[0] not in OWN_FIELDS},
        rssi=tuple(n for n, f in fields.items() if f[0] == "rssi"),
        adverts=tuple(n for n, f in fields.items() if f[0] == "adverts"),
        alarms=tuple(
            p.point.name for p in device.points
            if p.point.data_class == "alarm" and p.point.type == "bool"
        ),
        columns={p.point.name: p.point.type for p in device.points},
        service=service,
        company=company,
        begins=begins,
        places=tuple(places),
        follows=tuple(Follow(uuid, told, tuple(at)) for (uuid, told), at in follows.items()),
        counter_restart_us=restart_us,
    )  # fmt: skip


def _problem(where: str, wrong: _Wrong) -> Problem:
    return Problem(where, "HG-3520", wrong.fields)


def _formats(device: Device) -> tuple[str, ...]:
    known = (*FORMATS, "layout", "gatt")
    told = str(device.quirks.get("frame.format", "")).replace(",", " ").split()
    for name in told:
        if name not in known:
            raise _Wrong("frame.format", name, " | ".join(known))
    if not told:
        raise _Wrong("frame.format", None, " | ".join(known))
    return tuple(dict.fromkeys(told))


def _frame(device: Device, formats: Sequence[str]) -> tuple[str, int | None, bytes]:
    service = str(device.quirks.get("frame.service", "")).lower()
    if service and not _UUID.fullmatch(service):
        raise _Wrong("frame.service", service, "fcd2 | 36 characters of a UUID")
    company = device.quirks.get("frame.company")
    if company is not None and (
        isinstance(company, bool) or not isinstance(company, int) or not 0 <= company <= 0xFFFF
    ):
        raise _Wrong("frame.company", company, "0 .. 0xFFFF")
    try:
        begins = bytes.fromhex(str(device.quirks.get("frame.begins", "")))
    except ValueError:
        raise _Wrong("frame.begins", device.quirks["frame.begins"], "hex") from None
    if "layout" in formats and not service and company is None:
        raise _Wrong("frame.service", None, "frame.service | frame.company")
    return short(service), company, begins


def _restart(device: Device) -> int | None:
    value = device.quirks.get("counter_restart_s")
    if value is None:
        return None
    if isinstance(value, (bool, str)) or not 60 <= value <= 31_536_000:
        raise _Wrong("counter_restart_s", value, "60 .. 31536000")
    return int(value * 1_000_000)


def _names(formats: Sequence[str]) -> str:
    names = set(OWN_FIELDS)
    for name in formats:
        if name in FORMATS:
            names |= FORMATS[name].names
    return " | ".join(sorted(names))


def _field(point: DevicePoint, formats: Sequence[str]) -> str:
    field = str(point.source["field"])
    allowed = _names(formats).split(" | ")
    if field not in allowed and re.sub(r"_\d+$", "", field) not in allowed:
        raise _Wrong("field", field, " | ".join(allowed))
    return field


def _characteristic(point: DevicePoint, formats: Sequence[str]) -> tuple[str, bool]:
    uuid = str(point.source["characteristic"]).lower()
    if "gatt" not in formats:
        raise _Wrong("characteristic", uuid, 'frame.format = "gatt"')
    if not _UUID.fullmatch(uuid):
        raise _Wrong("characteristic", uuid, "2a6e | 36 characters of a UUID")
    mode = point.source.get("mode", "notify")
    if mode not in ("notify", "read"):
        raise _Wrong("mode", mode, "notify | read")
    return long(uuid), mode == "notify"


def _place(point: DevicePoint, usual_at: int | None) -> Place:
    source = point.source
    kind = str(source.get("type", ""))
    if kind not in SIZES:
        raise _Wrong("type", kind, " | ".join(SIZES))
    at = source.get("at", usual_at)
    if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at <= 511:
        raise _Wrong("at", at, "0 .. 511")
    size = source.get("length", SIZES[kind] or None)
    most = SIZES[kind] or 255
    least = most if kind.startswith("float") else 1
    if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= most:
        raise _Wrong("length", size, f"{least} .. {most}")
    order = source.get("order", "little")
    if order not in ("little", "big"):
        raise _Wrong("order", order, "little | big")
    bit = source.get("bit")
    if bit is not None and (
        isinstance(bit, bool) or not isinstance(bit, int) or not 0 <= bit < size * 8
    ):
        raise _Wrong("bit", bit, f"0 .. {size * 8 - 1}")
    return Place(kind, at, size, "big" if order == "big" else "little", bit)
