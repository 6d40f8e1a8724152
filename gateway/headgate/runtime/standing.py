"""What devices that dial in have raised themselves and not cleared: it outlives a restart and a power cut.

A fire panel that is reset says so once, and names none of the detectors that had raised an alarm. Whoever
forgot them over a restart could never clear them upstream.

A file that only grows, a line for each change, and is written anew with the first change after a start, and
when it has grown long. It is on disk before the device is confirmed. A disk that refuses costs nothing but
the memory: the alarm itself is the spool's.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from headgate.env import AppendFile, Env

log = logging.getLogger(__name__)

#: Lines after which the file is written anew, besides twice those that stood then.
_LONG = 100_000
#: Codes of one device; what is beyond is raised all the same.
_MOST = 20_000


class Standing:
    """The alarms of one port's devices by device id, in the order in which they were raised."""

    def __init__(self, env: Env, path: Path) -> None:
        self._env, self._path = env, path
        self._thread: Executor | None = None
        self._codes: dict[str, dict[str, None]] = {}
        self._fresh: list[bytes] = []
        self._file: AppendFile | None = None
        self._lines, self._long = 0, _LONG
        self._writing = asyncio.Lock()
        self._complained = False

    async def open(self) -> None:
        """Read what stood before. What is torn or rotten ends it: the rest is not known."""
        if self._env.files.size(self._path) is not None:
            await self._aside(self._read)

    async def close(self) -> None:
        """Let go of the file and the thread; a port that is tried again opens this anew."""
        await self.saved()
        if self._file is not None:
            await self._aside(self._file.close)
            self._file = None
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    def of(self, device: str) -> Collection[str]:
        """The codes that a device has raised and not cleared, oldest first."""
        return tuple(self._codes.get(device, ()))

    def take(self, device: str, code: str, active: bool) -> None:
        """A device raises or clears."""
        codes = self._codes.setdefault(device, {})
        if active == (code in codes) or (active and len(codes) >= _MOST):
            return
        if active:
            codes[code] = None
        else:
            del codes[code]
        self._fresh.append(_line(device, code, active))

    async def saved(self) -> None:
        """Return when what was taken is on disk, or could not be brought there, which is told once."""
        async with self._writing:
            fresh, self._fresh = self._fresh, []
            if not fresh:
                return
            try:
                if self._file is None or self._lines > self._long:
                    await self._aside(partial(self._make_anew, self._whole()))
                else:
                    await self._aside(partial(self._append, fresh))
                self._complained = False
            except OSError as error:
                if not self._complained:
                    log.error("standing alarms are not kept", extra={"error": str(error)})
                self._complained = True

    async def _aside(self, work: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = self._env.single("headgate-standing")
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _whole(self) -> list[bytes]:
        every = ((device, code) for device, codes in self._codes.items() for code in codes)
        return [_line(*each, True) for each in every]

    # ------------------------------------------------------------ on its own thread

    def _append(self, lines: Sequence[bytes]) -> None:
        if (file := self._file) is None:
            return
        try:
            file.write(b"".join(lines))
            file.sync()
        except OSError:
            self._file = None  # an fsync that failed is never tried again on the same file
            file.close()
            raise
        self._lines += len(lines)

    def _make_anew(self, lines: Sequence[bytes]) -> None:
        files, folder = self._env.files, self._path.parent
        if (old := self._file) is not None:
            self._file = None
            old.close()
        files.make_folder(folder, 0o750)
        files.sync_folder(folder.parent)
        new = self._path.with_name(f".{self._path.name}.new")
        files.remove(new)
        file = files.append(new)
        try:
            file.write(b"".join(lines))
            file.sync()
            files.rename(new, self._path)
            files.sync_folder(folder)
        except OSError:
            file.close()
            raise
        self._file, self._lines = file, len(lines)
        self._long = _LONG + 2 * len(lines)  # where much stands, not with each change

    def _read(self) -> None:
        try:
            said = list(_said(self._env.files.read(self._path)))
        except OSError as error:
            log.error("standing alarms cannot be read", extra={"error": str(error)})
            return
        for device, code, active in said:
            codes = self._codes.setdefault(device, {})
            if active:
                codes[code] = None
            else:
                codes.pop(code, None)


def _line(device: str, code: str, active: bool) -> bytes:
    said = json.dumps([device, code, active], ensure_ascii=False, separators=(",", ":"))
    return said.encode() + b"\n"


def _said(data: bytes) -> Iterator[tuple[str, str, bool]]:
    for line in data.split(b"\n")[:-1]:
        try:
            device, code, active = json.loads(line)
        except (ValueError, TypeError):
            return
        yield str(device), str(code), active is True
