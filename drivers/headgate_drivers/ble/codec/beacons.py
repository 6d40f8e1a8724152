"""Beacons: iBeacon, AltBeacon and Eddystone. They say who is there; Eddystone TLM also how it is.

Sources: Apple Proximity Beacon Specification R1; AltBeacon specification 1.0; Eddystone protocol
specification (UID, URL, TLM).
"""

from __future__ import annotations

from headgate_drivers.ble.codec.told import Fault, Field, Told, refused

APPLE = 0x004C
EDDYSTONE_SERVICE = "feaa"

IBEACON_NAMES = frozenset({"uuid", "major", "minor", "measured_power"})
EDDYSTONE_NAMES = frozenset(
    {
        "namespace",
        "instance",
        "url",
        "measured_power",
        "voltage",
        "temperature",
        "adv_count",
        "uptime",
    }
)

_SCHEMES = ("http://www.", "https://www.", "http://", "https://")
_ENDINGS = (
    ".com/", ".org/", ".edu/", ".net/", ".info/", ".biz/", ".gov/",
    ".com", ".org", ".edu", ".net", ".info", ".biz", ".gov",
)  # fmt: skip


def ibeacon(data: bytes) -> Told:
    """An iBeacon out of Apple's manufacturer data; other things Apple devices say are not supported."""
    if data[:2] != b"\x02\x15":
        return refused(Fault.NOT_SUPPORTED if len(data) > 1 else Fault.TRUNCATED)
    if len(data) < 23:
        return refused(Fault.TRUNCATED)
    return _beacon(data[2:23])


def altbeacon(data: bytes) -> Told:
    """An AltBeacon out of any maker's manufacturer data."""
    if data[:2] != b"\xbe\xac":
        return refused(Fault.NOT_SUPPORTED if len(data) > 1 else Fault.TRUNCATED)
    if len(data) < 24:
        return refused(Fault.TRUNCATED)
    return _beacon(data[2:23])


def _beacon(data: bytes) -> Told:
    return Told(
        (
            Field("uuid", data[:16].hex()),
            Field("major", int.from_bytes(data[16:18], "big")),
            Field("minor", int.from_bytes(data[18:20], "big")),
            Field("measured_power", int.from_bytes(data[20:21], "big", signed=True), "dB{mW}"),
        )
    )


def eddystone(data: bytes) -> Told:
    """One Eddystone frame out of service data FEAA. Ephemeral ids and sealed telemetry are not supported."""
    if not data:
        return refused(Fault.TRUNCATED)
    read = {0x00: _uid, 0x10: _url, 0x20: _tlm}.get(data[0])
    return refused(Fault.NOT_SUPPORTED) if read is None else read(data)


def _power(data: bytes) -> Field:
    return Field("measured_power", int.from_bytes(data[1:2], "big", signed=True), "dB{mW}")


def _uid(data: bytes) -> Told:
    if len(data) < 18:
        return refused(Fault.TRUNCATED)
    return Told(
        (_power(data), Field("namespace", data[2:12].hex()), Field("instance", data[12:18].hex()))
    )


def _url(data: bytes) -> Told:
    if len(data) < 3:
        return refused(Fault.TRUNCATED)
    if data[2] >= len(_SCHEMES):
        return refused(Fault.BAD_FIELD)
    parts = [_SCHEMES[data[2]]]
    for byte in data[3:]:
        if byte < len(_ENDINGS):
            parts.append(_ENDINGS[byte])
        elif 0x20 < byte < 0x7F:
            parts.append(chr(byte))
        else:
            return refused(Fault.BAD_FIELD)
    return Told((_power(data), Field("url", "".join(parts))))


def _tlm(data: bytes) -> Told:
    if len(data) < 2:
        return refused(Fault.TRUNCATED)
    if data[1] != 0:
        return refused(Fault.NOT_SUPPORTED)
    if len(data) < 14:
        return refused(Fault.TRUNCATED)
    millivolt = int.from_bytes(data[2:4], "big")
    degrees = int.from_bytes(data[4:6], "big", signed=True)
    return Told(
        (
            # 0: mains powered; 8000h: no thermometer.
            Field("voltage", millivolt / 1000 if millivolt else None, "V"),
            Field("temperature", None if degrees == -0x8000 else degrees / 256, "Cel"),
            Field("adv_count", int.from_bytes(data[6:10], "big")),
            Field("uptime", int.from_bytes(data[10:14], "big") / 10, "s"),
        )
    )
