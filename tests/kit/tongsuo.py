"""`kit.babassl` as a child process of a test, where the machine has the library."""

from __future__ import annotations

import asyncio
import importlib.util
import platform
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kit.sm_links import Shown

SCRIPT = Path(__file__).with_name("babassl.py")

#: tongsuopy is published for this processor alone; elsewhere nobody can have it.
HAD_HERE = platform.machine() == "x86_64" and sys.platform == "linux"


def library() -> str:
    """Where tongsuopy keeps it. The package itself is never imported: its OpenSSL is not ours."""
    found = importlib.util.find_spec("tongsuopy")
    assert found is not None and found.origin is not None, "tongsuopy is not installed"
    (path,) = (Path(found.origin).parent / "backends").glob("_tongsuo*.so")
    return str(path)


class Foreign:
    """One running program. `where` is its port or path; `said` its lines so far."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.said: list[str] = []
        self._news = asyncio.Condition()

    @property
    def port(self) -> int:
        return int(self.where)

    async def hear(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            async with self._news:
                self.said.append(line.decode().strip())
                self._news.notify_all()

    async def until(self, beginning: str) -> str:
        """The first line that begins so."""
        async with asyncio.timeout(30), self._news:
            while True:
                for line in self.said:
                    if line.startswith(beginning):
                        return line
                await self._news.wait()


@asynccontextmanager
async def babassl(
    mode: str,
    ca: Path,
    shown: Shown,
    upstream: int | str,
    *,
    encryption: Shown | None = None,
    listen: int | str = 0,
    library_path: str | None = None,
) -> AsyncIterator[Foreign]:
    """The program, ready; killed when the block is left."""
    files = [shown.crt, shown.pem, *((encryption.crt, encryption.pem) if encryption else ())]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), mode, library_path or library(), str(ca),
        str(listen), str(upstream), *(str(each) for each in files),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    try:
        async with asyncio.timeout(30):
            first = (await process.stdout.readline()).decode().split()
        assert first[:1] == ["ready"], "it ended before it was ready"
        made = Foreign(first[1])
        hearing = asyncio.create_task(made.hear(process.stdout))
        try:
            yield made
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process.stdin.close()
        # The pipe's transport closes in the loop's next rounds.
        await asyncio.sleep(0)
