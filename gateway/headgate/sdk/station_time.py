"""Times of stations, which say none of the zone that they are in: quirk `zone`, China's when absent.

A station's time is a naive `datetime`: what its clock shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from headgate.errors import Problem
from headgate.sdk.device import Device

USUAL_ZONE = "Asia/Shanghai"


def zone_problems(device: Device) -> Sequence[Problem]:
    """What is wrong with a device's zone."""
    try:
        _zone(device)
    except (ValueError, KeyError, OSError):
        fields: dict[str, str | int | float] = {
            "device": device.id, "zone": str(device.quirks.get("zone")),
        }  # fmt: skip
        return (Problem(device.id, "HG-3612", fields),)
    return ()


def shown(device: Device, wall_us: int | None) -> datetime | None:
    """What a right clock at the device shows at this wall time (unix, us); None for an unknown one."""
    if wall_us is None:
        return None
    return datetime.fromtimestamp(wall_us / 1e6, _zone(device)).replace(tzinfo=None)


def unix_us(device: Device, at: datetime) -> int:
    """The wall time (unix, us) at which the device's clock, were it right, shows `at`."""
    return round(at.replace(tzinfo=_zone(device)).astimezone(UTC).timestamp() * 1_000_000)


def _zone(device: Device) -> ZoneInfo:
    return ZoneInfo(str(device.quirks.get("zone", USUAL_ZONE)))
