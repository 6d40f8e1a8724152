"""What running costs the medium, in a sentence or two of the status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headgate.cli.terminal import reader
from headgate.messages import say

_GIB = 1 << 30


def wear_lines(wear: Mapping[str, Any]) -> Iterator[str]:
    """The sentences; none before anything was written."""
    if wear.get("amplification") is None:
        return
    language = reader()
    stored = wear["storage_amplification"]
    yield say(
        "HG-4040", language,
        factor=f"{wear['amplification']:.2f}",
        kernel="?" if stored is None else f"{stored:.2f}",
    )  # fmt: skip
    if wear["years"] is None or wear["day_bytes"] is None:
        return
    capacity = wear["capacity"]
    yield say(
        "HG-4041" if wear["endurance_from"] == "site" else "HG-4042", language,
        day=f"{wear['day_bytes'] / (1 << 20):,.0f}",
        years="> 100" if wear["years"] > 100 else f"{wear['years']:.1f}",
        endurance=f"{wear['endurance'] / _GIB:,.0f}",
        capacity="?" if capacity is None else f"{capacity / _GIB:,.1f}",
    )  # fmt: skip
