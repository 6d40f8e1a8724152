"""A gateway in this process: started, asked as `headgate status` asks, and what it has stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headgate import config
from headgate.app import Gateway
from headgate.cli.client import call
from headgate.crypto.provider import default_provider
from headgate.env import Env, system_env
from headgate.envelope.payload import decode_payload
from headgate.envelope.record import open_record
from headgate.runtime.identity import load_identity
from headgate.runtime.keyring import Keyring
from headgate.spool import Position, Spool, State

#: Somebody else may have the machine for a while.
PATIENCE_S = 40.0


class Site:
    """A site file in a folder, its state under `state`, the socket beside it."""

    def __init__(self, folder: Path, gauges: str, state: str = "", more: str = "") -> None:
        self.folder = folder
        self.state = folder / "state"
        self._socket = folder / "gateway.sock"
        (folder / "site.d").mkdir()
        (folder / "site.d" / "gauges.toml").write_text(gauges)
        (folder / "site.toml").write_text(
            f'schema = 1\n[gateway]\nid = "hg-test"\nlanguage = "en"\n[api]\nsocket = "gateway.sock"\n'
            f'[metrics]\nlisten = "off"\n[state]\nfolder = "state"\nmax_loss = "50ms"\n{state}\n{more}'
        )

    @asynccontextmanager
    async def running(
        self, env: Env | None = None, profiles: Sequence[Path] = ()
    ) -> AsyncIterator[Gateway]:
        """The gateway, stopped as by SIGTERM when the block is left. `profiles`: further folders."""
        gateway = Gateway(env or system_env(), self.folder, profile_folders=profiles)
        stop = asyncio.Event()
        task = asyncio.create_task(gateway.run(stop))
        ready = asyncio.create_task(gateway.ready.wait())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if task.done():
            task.result()
        try:
            yield gateway
        finally:
            stop.set()
            await task

    async def status(self) -> Any:
        """What `headgate status` is told."""
        return await asyncio.to_thread(lambda: next(call(self._socket, "status")))

    async def until(self, condition: Callable[[Any], object]) -> Any:
        """The first status of which something is true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(status := await self.status()):
                await asyncio.sleep(0.05)
        return status

    def stored(self) -> list[Any]:
        """Every item that a stopped gateway has committed, opened with its own local wrap."""
        env, provider = system_env(), default_provider()
        state = State(env, self.state / "state.db")
        spool = Spool(env, self.state / "spool", ballast_bytes=0)
        state.open()
        spool.open(state.noted())
        try:
            identity = load_identity(env, config.load(env, self.folder), provider)
            keyring = Keyring(env, provider, identity, state, b"?" * 8)
            items: list[Any] = []
            for rows in spool.segments():
                for row in rows.alive():
                    data = spool.read(Position(rows.log, rows.number, row))
                    opened = open_record(provider, keyring.key(rows.key_id(row)), data)
                    items.extend(decode_payload(opened).named())
            assert spool.losses() == ()
            return items
        finally:
            spool.close()
            state.close()
