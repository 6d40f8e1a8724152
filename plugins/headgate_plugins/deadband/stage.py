"""The stage: options checked once, a filter compiled per device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from headgate.sdk import Device, Stage, Step
from headgate.sdk.options import Options
from headgate_plugins.deadband.filter import Filter, Send, Unchanged

#: Keys that a stage's entry has besides its own options.
_COMMON = ("type", "devices", "enabled")


class DeadbandStage(Stage):
    """Lets a look pass when something in it moved, and once in `at_least` whatever happens."""

    name: ClassVar[str] = "deadband"
    option_keys: ClassVar[tuple[str, ...] | None] = ("at_least", "send", "unchanged", "points")

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        read = Options("stage deadband", options)
        self.at_least_s = read.duration("at_least", 600.0, low_s=0.001, high_s=604_800.0)
        self.send: Send = (
            "points"
            if read.choice("send", ("block", "points"), default="block") == "points"
            else "block"
        )
        self.unchanged: Unchanged = (
            "drop"
            if read.choice("unchanged", ("mark", "drop"), default="mark") == "drop"
            else "mark"
        )
        self.bands: dict[str, float] = {}
        for point, band in read.table("points").items():
            if isinstance(band, bool) or not isinstance(band, (int, float)):
                read.problem(
                    f"points.{point}", "HG-1103", expected="a number", found=type(band).__name__
                )
            elif not 0.0 <= band < float("inf"):
                read.problem(f"points.{point}", "HG-1106", value=band, low=0, high="inf")
            else:
                self.bands[point] = float(band)
        read.check(_COMMON)

    def step(self, device: Device) -> Step | None:
        """The filter of one device; points not named here take the deadband of their profile."""
        points = device.table.points
        bands = [self.bands.get(point.name, point.deadband) for point in points]
        at_least_us = round(self.at_least_s * 1_000_000)
        return Filter(device.table, bands, at_least_us, self.send, self.unchanged).step
