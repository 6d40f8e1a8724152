"""Deadband: what has not moved is not sent again, and is not called missing either.

stage       options, and a step per device
filter      what a device last sent, and whether that still holds (pure)
"""

from __future__ import annotations

from headgate.sdk import Stage, hookimpl
from headgate_plugins.deadband.stage import DeadbandStage

__all__ = ["DeadbandStage", "headgate_stages"]


@hookimpl
def headgate_stages() -> list[type[Stage]]:
    """The deadband stage."""
    return [DeadbandStage]
