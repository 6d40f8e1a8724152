"""What a plugin may register. Hooks only register, and are synchronous; objects do the work.

The whole of a plugin that brings one driver:

    from headgate.sdk import Driver, hookimpl

    @hookimpl
    def headgate_drivers() -> list[type[Driver]]:
        return [MyDriver]

and in its pyproject.toml:

    [project.entry-points.headgate]
    my-plugin = "my_package"
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pluggy

from headgate.sdk.driver import Driver
from headgate.sdk.stage import Stage
from headgate.sdk.uplink import Uplink

hookspec = pluggy.HookspecMarker("headgate")
hookimpl = pluggy.HookimplMarker("headgate")


@hookspec
def headgate_drivers() -> Sequence[type[Driver]]:  # type: ignore[empty-body]
    """Driver classes: one instance of each serves every channel of its schemes."""


@hookspec
def headgate_stages() -> Sequence[type[Stage]]:  # type: ignore[empty-body]
    """Pipeline steps that a site file may name."""


@hookspec
def headgate_uplinks() -> Sequence[type[Uplink]]:  # type: ignore[empty-body]
    """Ways to a platform that a site file may name."""


@hookspec
def headgate_profiles() -> Sequence[Path]:  # type: ignore[empty-body]
    """Folders with device profiles, laid out as <vendor>/<model>/profile.toml."""
