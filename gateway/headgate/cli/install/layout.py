"""Where everything of an installed gateway lies, on the box or below a staging root."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

PREFIX = Path("/opt/headgate")
SITE = Path("/etc/headgate")
STATE = Path("/var/lib/headgate")
RUN = Path("/run/headgate")
COMMAND = Path("/usr/local/bin/headgate")
UNIT = Path("/etc/systemd/system/headgate.service")

#: The system's files that are ours, and the packaged text of each.
SYSTEM_FILES = {
    UNIT: "headgate.service",
    Path("/etc/sysusers.d/headgate.conf"): "sysusers.conf",
    Path("/etc/tmpfiles.d/headgate.conf"): "tmpfiles.conf",
    Path("/etc/udev/rules.d/70-headgate.rules"): "udev.rules",
}


class Layout(msgspec.Struct, frozen=True):
    """Paths for one installation. `root` is "/" on the box itself, else a folder that stands for it."""

    prefix: Path = PREFIX
    root: Path = Path("/")

    @property
    def staged(self) -> bool:
        """Whether this is a tree for an image, and not the machine we run on."""
        return self.root != Path("/")

    def at(self, path: Path) -> Path:
        """Where a path of the box lies for us."""
        return self.root / path.relative_to("/")

    @property
    def versions(self) -> Path:
        """One virtual environment per installed version."""
        return self.at(self.prefix / "versions")

    @property
    def current(self) -> Path:
        """The link that names the version in use: what the service and the command go through."""
        return self.at(self.prefix / "current")

    def system_files(self) -> dict[Path, str]:
        """Text of each file of the system's that is ours, by its place for us."""
        data = files("headgate.cli.install") / "data"
        return {
            self.at(path): (data / name)
            .read_text(encoding="utf-8")
            .replace(str(PREFIX), str(self.prefix))
            for path, name in SYSTEM_FILES.items()
        }

    def in_use(self) -> Path | None:
        """The environment that `current` names; None before the first installation."""
        if not self.current.is_symlink():
            return None
        found = self.versions / self.current.readlink().name
        return found if found.is_dir() else None
