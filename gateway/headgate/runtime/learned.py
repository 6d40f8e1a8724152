"""What devices told of themselves, kept over a restart: the first look is then taken by the right map.

One small JSON file in the state folder. It may be deleted at any time: then everything is asked again.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.env import Files
from headgate.spool.kept import KeptFile

log = logging.getLogger(__name__)


class Learned(msgspec.Struct, frozen=True):
    """One device: which firmware it named, under which profile at which place on its line.

    What was learned of another profile or place is of another unit, and counts no more.
    """

    firmware: str
    profile: str
    place: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    # `crc` is CRC-32 of `devices` as it stands: a bit that rots in a version would choose a wrong map.
    crc: int
    devices: msgspec.Raw


class Learnings:
    """Firmware by device id."""

    def __init__(self, files: Files, path: Path) -> None:
        self._file = KeptFile(files, path)
        self._known: dict[str, Learned] = {}
        self._forgot = False
        #: Something was learned that only memory knows.
        self.unsaved = False

    def load(self) -> None:
        """Read what an earlier run learned; a missing file is an empty one, a broken one the one before."""
        self._known = self._file.read(_parse) or {}

    def learn(self, device: str, learned: Learned) -> None:
        """Remember, until `save` only here."""
        self._known[device] = learned
        self.unsaved = True

    def forget(self, device: str) -> None:
        """Another unit stands in its place."""
        self._forgot = self._known.pop(device, None) is not None or self._forgot

    def save(self) -> None:
        """Write all of it, if there is news. Blocks; what a disk refuses is asked of the devices again."""
        if not (self.unsaved or self._forgot):
            return
        devices = msgspec.json.encode(self._known)
        data = msgspec.json.encode(_File(zlib.crc32(devices), msgspec.Raw(devices)))
        try:
            if self._forgot:
                # Twice: the version before must not bring back what was forgotten.
                self._file.write(data)
            self._file.write(data)
            self._forgot = self.unsaved = False
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


def _parse(data: bytes) -> dict[str, Learned]:
    """Raises ValueError (msgspec's and Unicode errors are)."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except msgspec.ValidationError:
        # As it was written before there was a checksum.
        return msgspec.json.decode(data, type=dict[str, Learned])
    if zlib.crc32(bytes(file.devices)) != file.crc:
        raise ValueError("the checksum does not fit")
    return msgspec.json.decode(file.devices, type=dict[str, Learned])
