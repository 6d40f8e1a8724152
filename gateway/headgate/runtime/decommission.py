"""Taking a running gateway out of service: the last word goes up, and it stops for good.

What it kept is destroyed afterwards, by `headgate wipe`, which holds the lock then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from headgate.audit import Audit, Entry
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.model import Event, Item
from headgate.runtime.api import Handler
from headgate.runtime.audited import who

#: In the state folder of a gateway that was taken out of service: it does not start again.
MARK: Final = "decommissioned"
#: How long what is unsent may take to arrive.
PATIENCE_S: Final = 15.0


class Log(Audit, Protocol):
    """An audit log that signs its head on demand."""

    async def sign(self) -> None: ...


def refuse_if_decommissioned(env: Env, folder: Path) -> None:
    """Raise HeadgateError where a gateway was taken out of service."""
    if env.files.size(folder / MARK) is not None:
        raise HeadgateError(
            f"{folder} belonged to a gateway that was taken out of service",
            code="HG-9352", folder=str(folder), file=MARK,
        )  # fmt: skip


class Decommission:
    """The call of the local API.

    Args:
        drained: waits until these uplinks delivered everything; False when time ran out.
        unsent: records and readings that wait for an uplink.
        stop: ends the gateway.
    """

    def __init__(
        self,
        env: Env,
        gateway: str,
        audit: Log,
        put_item: Callable[[Item], object],
        durable: Callable[[], Awaitable[None]],
        drained: Callable[[float, Collection[str]], Awaitable[bool]],
        unsent: Callable[[], tuple[Collection[str], int, int]],
        stop: Callable[[], None],
    ) -> None:
        self._env = env
        self._gateway = gateway
        self._audit = audit
        self._put_item = put_item
        self._durable = durable
        self._drained = drained
        self._unsent = unsent
        self._stop = stop

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {"decommission": self.decommission}

    async def decommission(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Say it upstream, under a signed head, and stop. Refused while readings are unsent, unless told."""
        if request.get("gateway") != self._gateway:
            raise HeadgateError("another gateway", code="HG-9353", gateway=self._gateway)
        discard = request.get("discard") is True
        uplinks, _, _ = self._unsent()
        if not await self._drained(0.5 if discard else PATIENCE_S, uplinks) and not discard:
            _, records, readings = self._unsent()
            raise HeadgateError("unsent", code="HG-9354", records=records, readings=readings)
        person = who(request)
        fields = {"discard": discard}
        await self._audit.note(
            Entry(kind="wiped", who=person, what=self._gateway, result="ok", fields={**fields})
        )
        at_us = self._env.clock.boottime_us()
        self._put_item(Event("decommissioned", at_us, {"who": person, "discard": discard}))
        await self._audit.sign()
        await self._durable()
        told = await self._drained(PATIENCE_S, uplinks) if uplinks else False
        yield {"told": told}
        self._stop()
