"""The truth file: what every device really said, kept by the device itself, as JSON lines.

The schema is `docs/reference/truth.md`. The device writes a line when it has answered; what happened
to the answer on the wire and behind it is what the truth is compared with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

SCHEMA = 1


class Truth(Protocol):
    """Where the lines go."""

    def write(self, line: Mapping[str, Any]) -> None:
        """Keep one line."""

    def flush(self) -> None:
        """Bring what was kept to where others can read it."""

    def close(self) -> None:
        """Flush, and take no more."""


def header(seed: int, started: float, devices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first line: schema, seed, the start in unix seconds, and the devices of the farm."""
    return {"headgate_truth": SCHEMA, "seed": seed, "started": started, "devices": list(devices)}


class TruthFile:
    """Lines into a file, which is made anew by the first line. Lines wait in memory until `flush`.

    Not before the first line: a farm that cannot start must not wipe the truth of one that runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._waiting: list[str] = []

    def write(self, line: Mapping[str, Any]) -> None:
        """Keep one line until the next flush."""
        self._waiting.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))

    def flush(self) -> None:
        """Write what waits to the file."""
        if self._waiting:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("w", encoding="utf-8")
            whole, self._waiting = "\n".join(self._waiting) + "\n", []
            self._file.write(whole)
            self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        if self._file is not None:
            self._file.close()


class NoTruth:
    """Nobody wants to know."""

    def write(self, line: Mapping[str, Any]) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to close."""


class TruthList:
    """Lines kept in a list, for tests."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def write(self, line: Mapping[str, Any]) -> None:
        """Keep one line."""
        self.lines.append(dict(line))

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to close."""

    def looks(self, device: str | None = None) -> list[dict[str, Any]]:
        """The answered looks, of one device or of all."""
        return [x for x in self.lines if "sample" in x and device in (None, x["device"])]
