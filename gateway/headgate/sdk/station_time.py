"""Times of stations, which say none of the zone that they are in: quirk `zone`, China's when absent.

A station's time is a naive `datetime`: what its clock shows. Where a day of it does not begin at midnight,
quirk `day_starts` says when: the hydrological day begins at 08:00 and bears the date of that morning.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from headgate.errors import Problem, ProfileError
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


def day_starts(device: Device) -> timedelta:
    """What a clock shows when a day of the device begins.

    Raises:
        ProfileError: that is no time of day.
    """
    told = device.quirk("day_starts", "00:00")
    try:
        at = time.fromisoformat(told)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None:
        fields: dict[str, str | int | float] = {"device": device.id, "day_starts": told}
        where = f'device "{device.id}": quirks.day_starts'
        raise ProfileError([Problem(where, "HG-3613", fields)])
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)


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
