"""Where a command looks for the site."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_FOLDER = Path("/etc/headgate")


def site_path(given: Path | None = None) -> Path:
    """The folder or file of the site.

    What was given; else HEADGATE_SITE (set by `--site`); else `site.toml` here; else /etc/headgate.
    """
    if given is not None:
        return given
    named = os.environ.get("HEADGATE_SITE")
    if named:
        return Path(named)
    return Path("site.toml") if Path("site.toml").is_file() else SYSTEM_FOLDER
