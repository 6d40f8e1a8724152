"""The write log: everything that anybody wrote to a simulated device, kept by the device itself.

It is the judge of who commands a plant: one line for each write that arrived on the wire, whatever the
device made of it, in the order of arrival, before it is answered. What is not here was never written. The
lines are JSON; `docs/reference/simulators.md` tells their fields.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

SCHEMA = 1


class WriteLog:
    """Keeps the lines in memory, and in a file where one is given.

    The file is appended to, a header for each start, and every line is in it before the device answers: a
    simulator that is killed has kept what it was told. Any thread may look.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.lines: list[dict[str, Any]] = []
        self._path = path
        self._file: IO[str] | None = None
        self._came = threading.Condition()

    def start(self, started: float, devices: Sequence[Mapping[str, Any]]) -> None:
        """Write the header: schema, start in unix seconds, devices."""
        if self._path is not None and self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._keep({"headgate_writes": SCHEMA, "started": started, "devices": list(devices)})

    def note(self, line: Mapping[str, Any]) -> None:
        """Keep one write; it is in the file when this returns."""
        self._keep(line)
        with self._came:
            self.lines.append(dict(line))
            self._came.notify_all()

    def close(self) -> None:
        """Take no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def of(self, *names: str, device: str | None = None) -> list[dict[str, Any]]:
        """The writes of these points (all, when none is named), of one device or of all."""
        with self._came:
            return [
                line
                for line in self.lines
                if (not names or line["name"] in names) and device in (None, line["device"])
            ]

    def but(self, *names: str) -> list[dict[str, Any]]:
        """The writes of all points but these: `but("heartbeat")` are the commands."""
        with self._came:
            return [line for line in self.lines if line["name"] not in names]

    def wait_for(
        self, wanted: Callable[[Mapping[str, Any]], bool], timeout_s: float = 30.0
    ) -> dict[str, Any]:
        """The first write that is `wanted`, as soon as there is one.

        Raises:
            TimeoutError: none came in that time.
        """
        with self._came:
            found: list[dict[str, Any]] = []

            def there() -> bool:
                found[:] = [line for line in self.lines if wanted(line)][:1]
                return bool(found)

            if not self._came.wait_for(there, timeout_s):
                raise TimeoutError(f"no such write in {timeout_s} s; there were {self.lines}")
            return found[0]

    def _keep(self, line: Mapping[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_writes(path: Path) -> list[dict[str, Any]]:
    """The writes of a log file, without its headers. A line that a kill has cut is left out."""
    if not path.exists():
        return []
    lines = []
    for written in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(written)
        except ValueError:
            continue
        if "headgate_writes" not in line:
            lines.append(line)
    return lines
