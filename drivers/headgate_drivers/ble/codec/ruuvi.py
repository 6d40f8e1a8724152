"""Ruuvi data formats 3 and 5 (manufacturer 0499). Source: docs.ruuvi.com, data formats RAWv1 and RAWv2."""

from __future__ import annotations

import math

from headgate_drivers.ble.codec.told import Fault, Field, Scalar, Told, refused

COMPANY = 0x0499
NAMES = frozenset(
    {
        "temperature", "humidity", "pressure", "acceleration", "acceleration_x", "acceleration_y",
        "acceleration_z", "voltage", "tx_power", "movement_counter", "sequence", "mac",
    }
)  # fmt: skip

_MILLI_G = "m[g]"


def decode(data: bytes) -> Told:
    """What one frame tells; None where the tag says that it has no value."""
    if not data:
        return refused(Fault.TRUNCATED)
    if data[0] == 5:
        return _raw_v2(data) if len(data) >= 24 else refused(Fault.TRUNCATED)
    if data[0] == 3:
        return _raw_v1(data) if len(data) >= 14 else refused(Fault.TRUNCATED)
    return refused(Fault.NOT_SUPPORTED)


def _raw_v2(data: bytes) -> Told:
    def unsigned(at: int) -> int | None:
        value = int.from_bytes(data[at : at + 2], "big")
        return None if value == 0xFFFF else value

    def signed(at: int) -> int | None:
        value = int.from_bytes(data[at : at + 2], "big", signed=True)
        return None if value == -0x8000 else value

    temperature, humidity, pressure = signed(1), unsigned(3), unsigned(5)
    # 11 bits of voltage and 5 of power have a "none" of their own each.
    power = int.from_bytes(data[13:15], "big")
    millivolt, level = power >> 5, power & 0x1F
    mac = data[18:24]
    return Told(
        (
            Field("temperature", None if temperature is None else temperature / 200, "Cel"),
            Field("humidity", None if humidity is None else humidity / 400, "%"),
            Field("pressure", None if pressure is None else pressure + 50_000, "Pa"),
            *_axes(signed(7), signed(9), signed(11)),
            Field("voltage", None if millivolt == 2047 else (millivolt + 1600) / 1000, "V"),
            Field("tx_power", None if level == 31 else level * 2 - 40, "dB{mW}"),
            Field("movement_counter", None if data[15] == 0xFF else data[15]),
            Field("sequence", unsigned(16)),
            Field("mac", None if mac == b"\xff" * 6 else mac.hex()),
        )
    )


def _raw_v1(data: bytes) -> Told:
    whole, hundredths = data[2], data[3]
    if hundredths > 99:
        return refused(Fault.BAD_FIELD)
    # Sign and magnitude, not two's complement.
    degrees = ((whole & 0x7F) * 100 + hundredths) / 100

    def axis(at: int) -> int:
        return int.from_bytes(data[at : at + 2], "big", signed=True)

    return Told(
        (
            Field("temperature", -degrees if whole & 0x80 else degrees, "Cel"),
            Field("humidity", data[1] / 2, "%"),
            Field("pressure", int.from_bytes(data[4:6], "big") + 50_000, "Pa"),
            *_axes(axis(6), axis(8), axis(10)),
            Field("voltage", int.from_bytes(data[12:14], "big") / 1000, "V"),
        )
    )


def _axes(x: int | None, y: int | None, z: int | None) -> tuple[Field, ...]:
    whole: Scalar = None
    if x is not None and y is not None and z is not None:
        whole = math.hypot(x, y, z)
    return (
        Field("acceleration_x", x, _MILLI_G),
        Field("acceleration_y", y, _MILLI_G),
        Field("acceleration_z", z, _MILLI_G),
        Field("acceleration", whole, _MILLI_G),
    )
