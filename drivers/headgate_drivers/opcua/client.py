"""The library's client as we use it, and its types.

The library's reconnection is not used: it restores monitored items by their old namespace indices, drops
those that fail with a line in its log, and never looks at the server's certificate again. A lost
connection ends the session; the channel is begun anew, and all is looked up again.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua as library
from asyncua.client.client import Client as _Library

from headgate_drivers.opcua.settings import Settings

#: Its generated types fit no type checker.
ua: Any = library

#: A server may refuse more in one request; few say how much before.
NODES_AT_ONCE = 500


class Client(_Library):
    """The library's client, which also says what it was doing when it failed."""

    stage = "connect"

    async def open_secure_channel(self, renew: bool = False) -> None:
        if not renew:
            self.stage = "channel"
        await super().open_secure_channel(renew)

    async def create_session(self) -> Any:
        self.stage = "session"
        return await super().create_session()

    async def activate_session(self, *args: Any, **kwargs: Any) -> Any:
        self.stage = "login"
        result = await super().activate_session(*args, **kwargs)
        self.stage = "work"
        return result


def client_of(settings: Settings) -> Client:
    """A client of one server, not yet connected."""
    # A probe that takes longer than the watchdog's interval ends the connection: never less than a
    # request may take.
    client = Client(
        settings.url, timeout=settings.timeout_s, watchdog_intervall=max(5.0, settings.timeout_s)
    )
    client.name = client.description = f"Headgate {settings.gateway}"
    client.application_uri = settings.application_uri
    client.product_uri = "urn:headgate"
    # An hour, as the library asks, leaves dead sessions behind until a server has no more to give.
    client.session_timeout = int(settings.session_s * 1000)
    if settings.username:
        client.set_user(settings.username)
    if settings.password:
        client.set_password(settings.password)
    return client
