"""What devices told of themselves, kept over a restart: the first look is then taken by the right map.

One small JSON file in the state folder. It may be deleted at any time: then everything is asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.env import Files

log = logging.getLogger(__name__)


class Learned(msgspec.Struct, frozen=True):
    """One device: which firmware it named, under which profile at which place on its line.

    What was learned of another profile or place is of another unit, and counts no more.
    """

    firmware: str
    profile: str
    place: str


class Learnings:
    """Firmware by device id."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._known: dict[str, Learned] = {}

    def load(self) -> None:
        """Read what an earlier run learned; a broken or missing file is an empty one."""
        try:
            data = self._files.read(self._path)
            self._known = msgspec.json.decode(data, type=dict[str, Learned])
        except FileNotFoundError:
            self._known = {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("identities unreadable, asking anew", extra={"reason": str(error)})
            self._known = {}

    def learn(self, device: str, learned: Learned) -> None:
        """Remember, until `save` only here."""
        self._known[device] = learned

    def forget(self, device: str) -> None:
        """Another unit stands in its place."""
        self._known.pop(device, None)

    def save(self) -> None:
        """Write all of it. Blocks; a disk that refuses costs one question per device after a restart."""
        data = msgspec.json.encode(self._known)
        try:
            self._files.replace(self._path, data, 0o640)
        except OSError as error:
            log.warning("identities not kept", extra={"reason": str(error)})

    def firmware(self, places: Mapping[str, tuple[str, str]]) -> dict[str, str]:
        """Firmware of those devices of which something is known.

        Args:
            places: (profile, place) of each device today.
        """
        return {
            name: known.firmware
            for name, known in self._known.items()
            if places.get(name) == (known.profile, known.place)
        }
