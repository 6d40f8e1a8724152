"""`headgate wipe`: take a gateway out of service, and leave nothing of it on the disk."""

from __future__ import annotations

from headgate.cli.wipe.command import app

__all__ = ["app"]
