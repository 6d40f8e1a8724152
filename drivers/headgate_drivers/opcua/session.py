"""One connection to one server: connect, check each other's certificates, log in, and end it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from asyncua.crypto import security_policies

from headgate.sdk import ChannelClosed
from headgate_drivers.opcua.client import client_of, ua
from headgate_drivers.opcua.endpoints import chosen, endpoints, first_of, policy_of, unaccepted
from headgate_drivers.opcua.settings import Settings
from headgate_drivers.opcua.trouble import quiet, translated
from headgate_drivers.opcua.trust import Trust, seen


class Session:
    """An open session. Make it with `open`, end it with `close`."""

    def __init__(self, channel: str, settings: Settings) -> None:
        self.channel = channel
        self.settings = settings
        #: Set when the connection is lost, with why.
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client = client_of(settings)
        self._spaces: list[str] = []
        #: What is to be said of this session although it opened: sentences by code.
        self.notes: dict[str, str] = {}

    # ------------------------------------------------------------ open and close

    @classmethod
    async def open(cls, channel: str, settings: Settings, trust: Trust) -> Session:
        """Connect, check each other's certificates, log in, learn the namespaces.

        Raises:
            ChannelClosed, ChannelTimeout: with what to do about it (HG-331x).
        """
        quiet()
        self = cls(channel, settings)
        client = self._client
        client.stage = "connect"
        if settings.security != "None":
            await self._secure(trust)
        elif settings.password:
            await self._check_password()
        client.connection_lost_callback = self._on_lost
        try:
            # The library bounds each request; a server that only half answers needs a bound for all.
            async with asyncio.timeout(settings.connect_timeout_s + 4 * settings.timeout_s):
                await client.connect()
                self._spaces = await client.get_namespace_array()
        except BaseException as error:
            await self.close()
            with translated(channel, settings, client.stage):
                raise error
        return self

    async def _secure(self, trust: Trust) -> None:
        settings, client = self.settings, self._client
        certificate, key = await trust.own()
        endpoint = chosen(self.channel, settings, await endpoints(self.channel, settings))
        chain = endpoint.ServerCertificate or b""
        theirs = seen(first_of(chain))
        if settings.trust == "listed":
            verdict = trust.judge(chain, settings.host)
            if verdict != "accepted":
                raise unaccepted(self.channel, settings, trust, chain, verdict)
        if trust.is_ageing(theirs):
            self.notes["HG-3355"] = (
                f"the server's certificate is good until {theirs.not_after:%Y-%m-%d}"
            )
        policy = getattr(security_policies, f"SecurityPolicy{policy_of(endpoint)}")
        with translated(self.channel, settings, "connect"):
            await client.set_security(
                policy, str(certificate), str(key), None, theirs.der, endpoint.SecurityMode
            )
            if settings.user_certificate and settings.user_key:
                await client.load_client_certificate(settings.user_certificate)
                await client.load_private_key(Path(settings.user_key))

    async def _check_password(self) -> None:
        """A password is not sent in the clear unless somebody wrote that it may be."""
        settings = self.settings
        if settings.plain_password:
            return
        for endpoint in await endpoints(self.channel, settings):
            if endpoint.SecurityMode != ua.MessageSecurityMode.None_:
                continue
            for policy in endpoint.UserIdentityTokens or ():
                if policy.TokenType != ua.UserTokenType.UserName:
                    continue
                if not policy.SecurityPolicyUri or policy.SecurityPolicyUri.endswith("#None"):
                    raise ChannelClosed(
                        f"{settings.url}: the password would go in the clear",
                        code="HG-3315", channel=self.channel, url=settings.url,
                    )  # fmt: skip

    async def close(self) -> None:
        """End the session at the server, where it can still be reached; leaves no task."""
        client = self._client
        publishing = client.uaclient.session._publish_task  # not cancelled by a lost connection
        for task in (publishing,):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        # Without a bound a dead connection holds the session's end for the length of a request.
        with suppress(Exception):
            async with asyncio.timeout(min(2.0, self.settings.timeout_s)):
                await client.disconnect()
        for task in (client._supervisor_task, client._renew_channel_task):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        client.disconnect_socket()
        if not self.lost.done():
            self.lost.cancel()
        await asyncio.sleep(0)

    async def _on_lost(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_result(str(error) or type(error).__name__)

    # ------------------------------------------------------------ for who uses it

    @property
    def service(self) -> Any:
        """The library's services; every use of them within `working`."""
        return self._client.uaclient.session

    def working(self) -> Any:
        """What the library raises inside leaves as one of our errors."""
        return translated(self.channel, self.settings, "work")

    @property
    def objects(self) -> Any:
        """The Objects folder."""
        return ua.NodeId(ua.ObjectIds.ObjectsFolder)

    @property
    def server(self) -> Any:
        """The Server object, from which every event of a server comes."""
        return ua.NodeId(ua.ObjectIds.Server)

    @property
    def namespaces(self) -> Sequence[str]:
        """Namespace uris by index."""
        return self._spaces
