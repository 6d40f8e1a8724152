"""Stages: pipeline steps between driver and writer. Pure, compiled per device, blocks in and out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from headgate.model import Alarm, Block, PointTable
from headgate.sdk.device import Device

#: What a stage does to one block: nothing (drop), the same, others, or alarms beside them.
Step = Callable[[Block], Sequence[Block | Alarm]]


class Stage(ABC):
    """A pipeline step from the site file. Options are checked in `__init__`."""

    name: ClassVar[str]
    #: Keys of its own options: a misspelt one is then told with file and line. None: only it knows.
    option_keys: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    @abstractmethod
    def step(self, device: Device) -> Step | None:
        """The step for one device, compiled once; None leaves this device alone."""

    def table(self, device: Device) -> PointTable | None:
        """The table of what comes out, when the stage adds or changes points."""
        return None
