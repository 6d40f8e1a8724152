"""Device numbers: given once, meant for ever, and kept in two places because a database may be lost."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from headgate.env import Files
from headgate.spool.kept import KeptFile

log = logging.getLogger(__name__)

_pack = msgspec.msgpack.encode
#: Where it is not known how many numbers were given, the next one is so far above those that are known.
CLEAR_OF_IT: Final = 10_000


class DeviceNumbers:
    """Numbers by device id. `path` is their second home, a small file beside the database.

    Args:
        note: called with each (device, number) that the database does not have.
    """

    def __init__(self, files: Files, path: Path, note: Callable[[str, int], None]) -> None:
        self._file = KeptFile(files, path)
        self._note = note
        self._numbers: dict[str, int] = {}
        self._new = False  # since the second home was written
        self._lowest = 1
        self._remembered = False  # by the database, which is then complete

    def known(self, numbers: dict[str, int]) -> None:
        """What the database has."""
        self._numbers = numbers
        self._remembered = bool(numbers)

    def load(self) -> None:
        """Add what only the second home knows."""
        taken = set(self._numbers.values())
        saved = self._saved()
        self._new = not self._numbers.keys() <= saved.keys()  # the disk refused it then
        for device, number in saved.items():
            if device not in self._numbers and number not in taken:
                self._numbers[device] = number
                self._note(device, number)
        highest = max(self._numbers.values(), default=0)
        if not self._remembered and (self._file.unread or self._file.damaged):
            # The version before lacks the newest, and they may be known to a platform.
            highest += CLEAR_OF_IT
        self._lowest = max(self._lowest, highest + 1)

    def _saved(self) -> Mapping[str, int]:
        return self._file.read(_parse) or {}

    def number(self, device: str) -> int:
        """The number of a device; a new one when it has none."""
        number = self._numbers.get(device)
        if number is None:
            number = self._lowest
            self._lowest += 1
            self._numbers[device] = number
            self._note(device, number)
            self._new = True
        return number

    def all(self) -> Mapping[str, int]:
        """Every device that ever had a number."""
        return dict(self._numbers)

    def above(self, number: int) -> None:
        """Give no number up to this: a record uses it."""
        if number and not self._numbers:
            # Both homes are gone, and records that were delivered and let go may have used higher ones.
            number += CLEAR_OF_IT
        self._lowest = max(self._lowest, number + 1)

    @property
    def kept(self) -> bool:
        """Whether the second home has every number."""
        return not self._new

    def save(self) -> None:
        """Write the second home where there is something new. A refusing disk is tried again next time."""
        if not self._new:
            return
        self._new = False
        body = _pack(self._numbers)
        try:
            self._file.write(zlib.crc32(body).to_bytes(4, "big") + body)
        except OSError as error:
            self._new = True
            log.warning("device numbers not written", extra={"error": str(error)})


def _parse(data: bytes) -> dict[str, int]:
    """Raises ValueError (msgspec's errors are)."""
    if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
        raise ValueError("the checksum does not fit")
    return msgspec.msgpack.decode(data[4:], type=dict[str, int])
