"""Changes of the record key on demand: asked for on the box, or by a platform in a signed receipt.

Who asks is told when the new key's grant is on disk. Every change is an entry of the audit log, and an
event `key` in the data, so that a platform sees that its ask was followed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol

from headgate.audit import Audit, Entry
from headgate.env import Env
from headgate.errors import SpoolError
from headgate.model import Event, Item
from headgate.runtime.api import Handler
from headgate.runtime.identity import Identity
from headgate.runtime.keyring import Keyring

log = logging.getLogger(__name__)


class Aside(Protocol):
    """The writer's thread, between two commits."""

    async def __call__(self, work: Callable[[], Any]) -> Any: ...


class Rotation:
    """Changes the key for whoever may ask, one change at a time."""

    def __init__(
        self,
        env: Env,
        keyring: Keyring,
        aside: Aside,
        audit: Audit,
        put_item: Callable[[Item], object],
    ) -> None:
        self._env = env
        self._keyring = keyring
        self._aside = aside
        self._audit = audit
        self._put_item = put_item
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self) -> Mapping[str, Handler]:
        """Calls of the local API by name."""
        return {"rotate-key": self.rotate}

    async def rotate(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Change the key; answers its id when it is in force and its grant is on disk.

        Raises:
            SpoolError: the disk takes nothing. The old key is out of use all the same.
        """
        key_id = await self._change(self._keyring.renew, "local", "asked for on the box")
        assert key_id is not None
        yield {"key": key_id.hex()}

    def asked(self, key_ids: Collection[bytes]) -> None:
        """A platform's receipt asks to seal no more under these keys. Never waits."""
        if not self._keyring.retire(key_ids):
            return  # long out of use, or never ours: an ask that comes twice does nothing
        task = asyncio.get_running_loop().create_task(self._follow(), name="key asked for")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self) -> None:
        try:
            # Several asks may have come before the first is followed: one change answers them all.
            await self._change(self._keyring.obey, "platform", "asked for by the platform")
        except SpoolError as error:
            # The next record makes the new key, or waits with the disk.
            log.warning("the key could not be changed yet", extra={"error": str(error)})

    async def adopt(self, identity: Identity) -> int:
        """Take over a changed identity; how many older keys were granted anew."""
        granted: int = await self._aside(lambda: self._keyring.adopt(identity))
        if granted:
            await self._note("keys-granted", "gateway", f"{granted} older record keys", "ok")
        return granted

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _change(self, change: Callable[[], bytes | None], who: str, why: str) -> bytes | None:
        try:
            key_id: bytes | None = await self._aside(change)
        except SpoolError:
            await self._note("key-rotated", who, "record key", "failed")
            raise
        if key_id is None:
            return None
        log.info("record key changed", extra={"key": key_id.hex(), "why": why})
        at_us = self._env.clock.boottime_us()
        self._put_item(Event("key", at_us, {"key": key_id.hex(), "why": why}))
        await self._note("key-rotated", who, f"record key {key_id.hex()}", "ok")
        return key_id

    def _note(self, kind: str, who: str, what: str, result: str) -> Awaitable[None]:
        return self._audit.note(Entry(kind=kind, who=who, what=what, result=result))
