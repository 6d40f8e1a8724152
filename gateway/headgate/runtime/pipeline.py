"""The stages of a site, joined into one step per device. Pure, and compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from headgate.model import Alarm, Block
from headgate.sdk import Device, Stage, Step


def step_for(stages: Sequence[tuple[Sequence[str], Stage]], device: Device) -> Step | None:
    """What the stages do to this device's blocks, in order; None when none of them concerns it.

    Args:
        stages: (device patterns, stage) in the order of the site file.
    """
    steps = [
        step
        for patterns, stage in stages
        if any(fnmatchcase(device.id, pattern) for pattern in patterns)
        and (step := stage.step(device)) is not None
    ]
    if len(steps) < 2:
        return steps[0] if steps else None

    def joined(block: Block) -> Sequence[Block | Alarm]:
        out: Sequence[Block | Alarm] = (block,)
        for step in steps:
            # Alarms pass by the steps that follow: they are said, not filtered.
            out = [
                each for one in out for each in ((one,) if isinstance(one, Alarm) else step(one))
            ]
        return out

    return joined
