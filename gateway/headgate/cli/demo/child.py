"""One process of the demo's tree: started, waited for, ended, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from headgate.errors import HeadgateError

#: A child that was asked to stop and did not within this time is killed.
STOP_S = 10.0
# The kernel ends the child when its parent is gone, however that came about; and signals from the
# terminal go to the parent alone, which stops its children in order.
_LAUNCH = (
    "import ctypes, os, signal, sys; os.setsid(); "
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL); "
    "os.getppid() == int(sys.argv.pop(1)) or sys.exit(1); "
)
_PYTHON = "import runpy; sys.argv.pop(0); runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
_HEADGATE = "from headgate.cli import main; sys.argv[0] = 'headgate'; main()"
_PROGRAM = "os.execvp(sys.argv[1], sys.argv[1:])"


class Child:
    """A child process whose output goes into a file."""

    def __init__(self, name: str, code: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-c", _LAUNCH + code, str(os.getpid()), *arguments]
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    def headgate(cls, name: str, arguments: Sequence[str], log: Path) -> Child:
        """A `headgate` command."""
        return cls(name, _HEADGATE, arguments, log)

    @classmethod
    def module(cls, name: str, module: str, arguments: Sequence[str], log: Path) -> Child:
        """A module of ours, run as a program."""
        return cls(name, _PYTHON, [module, *arguments], log)

    @classmethod
    def program(cls, name: str, command: Sequence[str], log: Path) -> Child:
        """A program of somebody else."""
        return cls(name, _PROGRAM, command, log)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it; its output is added to the log."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to end; make it, when it does not."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a power cut would."""
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def check(self) -> None:
        """Say so when it has ended by itself.

        Raises:
            HeadgateError: with the end of its output.
        """
        if self._process is not None and self._process.returncode is not None:
            raise HeadgateError(
                f"{self.name} ended: {self.tail()}",
                code="HG-9510",
                name=self.name,
                status=self._process.returncode,
                said=self.tail(),
            )

    def tail(self) -> str:
        """The last lines of its output."""
        with suppress(OSError):
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            return " | ".join(lines[-3:])
        return ""
