"""Acme TH-20 over a serial server. Frames: Acme TH-20 manual rev C, section 4 (an invented device)."""

from pathlib import Path
from typing import Any, ClassVar

from acme_th20.codec import FIELDS, Replies, parse, poll
from headgate.sdk import (
    Block,
    Channel,
    Device,
    Driver,
    PollingDriver,
    Problem,
    ProfileError,
    hookimpl,
)

__all__ = ["TH20", "headgate_drivers", "headgate_profiles"]


class TH20(PollingDriver):
    """One poll brings both values."""

    name = "acme-th20"
    schemes = ("acme-th20+tcp",)
    point_keys: ClassVar = {"field": "which of the two values: temperature or humidity"}

    def plan(self, device: Device) -> Any:
        """The bus address, checked; there is nothing else to plan."""
        for each in device.points:
            if each.source.get("field") not in FIELDS:
                where = f"{device.profile}: {each.point.name}"
                raise ProfileError([Problem(where, "HG-8000", {"point": each.point.name})])
        return int(device.address)

    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        """Ask, check, and hand over what the device gave; the core judges and converts it."""
        reply = await channel.exchange(poll(plan), Replies(), key=plan, timeout_s=device.timeout_s)
        values = parse(reply)
        return device.block(
            channel.now_us(),
            {each.point.name: values[str(each.source["field"])] for each in device.points},
        )


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    return [TH20]


@hookimpl
def headgate_profiles() -> list[Path]:
    return [Path(__file__).parent / "profiles"]
