"""One connection to one server. Every touch of asyncua that carries values is here.

The library's reconnection is not used: it restores monitored items by their old namespace indices, drops
those that fail with a line in its log, and never looks at the server's certificate again. A lost
connection ends the session; the channel is begun anew, and all is looked up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from asyncua import ua as library
from asyncua.client.client import Client
from asyncua.crypto import security_policies

from headgate.sdk import ChannelClosed
from headgate_drivers.opcua.places import BrowsePath, NodeName, Place, Where
from headgate_drivers.opcua.settings import MODES, POLICIES, Settings
from headgate_drivers.opcua.trouble import quiet, translated
from headgate_drivers.opcua.trust import Seen, Trust, seen

#: Its generated types fit no type checker.
ua: Any = library

#: A server may refuse more in one request; few say how much before.
NODES_AT_ONCE = 500
#: Status code of a node or path that is not there.
NO_NODE = 0x80340000
#: ... of a namespace that the server does not have.
NO_NAMESPACE = 0x80330000

_NODE_GONE = {0x8033, 0x8034, 0x8035, 0x806F, 0x803E}


def is_gone(code: int) -> bool:
    """Whether a status code says that there is no such node."""
    return code >> 16 in _NODE_GONE


class Watched(NamedTuple):
    """One node to be watched: `handle` comes back with every value."""

    handle: int
    node: Any
    place: Place


class Change(NamedTuple):
    """One value that the server told: handle, status code, value, source time."""

    handle: int
    code: int
    value: object
    source: datetime | None


class Published(NamedTuple):
    """What one notification brought. `status` is set when the subscription itself ended."""

    at: datetime | None
    changes: Sequence[Change]
    status: int | None = None


OnPublished = Callable[[Published], Awaitable[None]]


class _Client(Client):
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


class Session:
    """An open session. Make it with `open`, end it with `close`."""

    def __init__(self, channel: str, settings: Settings) -> None:
        self.channel = channel
        self.settings = settings
        #: Set when the connection is lost, with why.
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._client = _client_of(settings)
        self._spaces: list[str] = []

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
        theirs = seen(_first(endpoint.ServerCertificate or b""))
        if settings.trust == "listed" and not trust.accepts(theirs):
            raise stranger(self.channel, settings, trust, theirs)
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

    # ------------------------------------------------------------ nodes

    def node_id(self, name: NodeName) -> Any:
        """The library's node id; None where the server does not have the namespace."""
        try:
            index = self._spaces.index(name.namespace)
            return ua.NodeId.from_string(f"ns={index};{name.identifier}")
        except (ValueError, ua.UaError):
            return None

    async def resolve(self, start: Any, where: Sequence[Where]) -> list[Any]:
        """The node ids of places seen from a node; None for each that is not there."""
        found: list[Any] = [None] * len(where)
        paths: list[tuple[int, Any]] = []
        for index, each in enumerate(where):
            if isinstance(each, NodeName):
                found[index] = self.node_id(each)
            elif not each.steps:
                found[index] = start
            elif start is not None and (path := self._path(start, each.steps)) is not None:
                paths.append((index, path))
        for at in range(0, len(paths), NODES_AT_ONCE):
            part = paths[at : at + NODES_AT_ONCE]
            with self._working():
                session = self._client.uaclient.session
                results = await session.translate_browsepaths_to_nodeids([p for _, p in part])
            for (index, _), result in zip(part, results, strict=True):
                if result.StatusCode.is_good() and result.Targets:
                    found[index] = _plain(result.Targets[0].TargetId)
        return found

    def _path(self, start: Any, steps: Sequence[tuple[str, str]]) -> Any:
        path = ua.BrowsePath()
        path.StartingNode = start
        for namespace, name in steps:
            if namespace not in self._spaces:
                return None
            element = ua.RelativePathElement()
            element.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
            element.IsInverse = False
            element.IncludeSubtypes = True
            element.TargetName = ua.QualifiedName(name, self._spaces.index(namespace))
            path.RelativePath.Elements.append(element)
        return path

    @property
    def objects(self) -> Any:
        """The Objects folder."""
        return ua.NodeId(ua.ObjectIds.ObjectsFolder)

    @property
    def namespaces(self) -> Sequence[str]:
        """Namespace uris by index."""
        return self._spaces

    # ------------------------------------------------------------ values

    async def read(self, nodes: Sequence[Any]) -> list[tuple[int, object, datetime | None]]:
        """(status code, value, source time) of each node; None stands for a node that is not there.

        Not `read_values`, which gives None for a bad node and hides how good the others are.
        """
        out: list[tuple[int, object, datetime | None]] = [(NO_NODE, None, None)] * len(nodes)
        there = [index for index, node in enumerate(nodes) if node is not None]
        for at in range(0, len(there), NODES_AT_ONCE):
            part = there[at : at + NODES_AT_ONCE]
            with self._working():
                values = await self._client.uaclient.session.read_attributes(
                    [nodes[index] for index in part], ua.AttributeIds.Value
                )
            for index, value in zip(part, values, strict=True):
                out[index] = _of(value)
        return out

    async def subscribe(self, on_published: OnPublished) -> tuple[int, float]:
        """(id, publishing interval in s as the server revised it) of a new subscription.

        Raises ChannelClosed; `unsupported` of it tells a server that has no subscriptions.
        """
        parameters = ua.CreateSubscriptionParameters()
        period_ms = self.settings.publishing_s * 1000
        parameters.RequestedPublishingInterval = period_ms
        parameters.RequestedMaxKeepAliveCount = max(2, int(5000 / period_ms))
        parameters.RequestedLifetimeCount = max(30, int(self.settings.session_s * 1000 / period_ms))
        parameters.MaxNotificationsPerPublish = 10_000
        parameters.PublishingEnabled = True

        async def publish(result: Any) -> None:
            await on_published(_published(result))

        try:
            made = await self._client.uaclient.session.create_subscription(parameters, publish)
        except ua.uaerrors.BadServiceUnsupported as error:
            raise NoSubscriptionsError(str(error)) from error
        except Exception as error:
            with self._working():
                raise error
        return made.SubscriptionId, made.RevisedPublishingInterval / 1000

    async def watch(self, subscription: int, watched: Sequence[Watched]) -> list[int]:
        """Watch nodes; the status code of each, 0 where it is watched."""
        codes: list[int] = []
        for at in range(0, len(watched), NODES_AT_ONCE):
            parameters = ua.CreateMonitoredItemsParameters()
            parameters.SubscriptionId = subscription
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ItemsToCreate = [
                self._item(each) for each in watched[at : at + NODES_AT_ONCE]
            ]
            with self._working():
                session = self._client.uaclient.session
                results = await session.create_monitored_items(parameters)
            codes += [
                0 if result.StatusCode.is_good() else result.StatusCode.value for result in results
            ]
        return codes

    def _item(self, watched: Watched) -> Any:
        place = watched.place
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor.NodeId = watched.node
        item.ItemToMonitor.AttributeId = ua.AttributeIds.Value
        item.MonitoringMode = ua.MonitoringMode.Reporting
        asked = item.RequestedParameters
        asked.ClientHandle = watched.handle
        asked.SamplingInterval = (
            self.settings.sampling_s * 1000 if place.sampling_ms is None else place.sampling_ms
        )
        asked.QueueSize = place.queue
        asked.DiscardOldest = True
        # A status that changes, with the value the same, is a change, too.
        asked.Filter = ua.DataChangeFilter(
            Trigger=(
                ua.DataChangeTrigger.StatusValueTimestamp
                if place.every_sample
                else ua.DataChangeTrigger.StatusValue
            ),
            DeadbandType=0 if place.deadband is None else 2 if place.percent else 1,
            DeadbandValue=place.deadband or 0.0,
        )
        return item

    async def write(self, node: Any, value: object) -> int:
        """Write a value in the type that the node has; the status code."""
        with self._working():
            session = self._client.uaclient.session
            now = (await session.read_attributes([node], ua.AttributeIds.Value))[0]
            kind = now.Value.VariantType if now.Value is not None else None
            if kind in (None, ua.VariantType.Null):
                declared: Any = await session.read_attributes([node], ua.AttributeIds.DataType)
                kind = ua.VariantType(declared[0].Value.Value.Identifier)
            # Without timestamps: many controllers refuse to have their clock written.
            data = ua.DataValue(ua.Variant(value, kind))
            codes = await session.write_attributes([node], [data])
        return int(codes[0].value)

    async def call(self, parent: Any, method: Any) -> int:
        """Call a method without arguments; the status code."""
        request = ua.CallMethodRequest()
        request.ObjectId, request.MethodId = parent, method
        with self._working():
            results = await self._client.uaclient.session.call([request])
        return int(results[0].StatusCode.value)

    async def parent_of(self, root: Any, where: Where | None, method: Any) -> Any:
        """The object that a method is called on: the one before it in its path."""
        if isinstance(where, BrowsePath) and len(where.steps) > 1:
            return (await self.resolve(root, [BrowsePath(where.steps[:-1])]))[0]
        return root if isinstance(where, BrowsePath) else method

    async def build_info(self) -> tuple[str, str, str]:
        """(maker, product, software version) of the server."""
        ids = (
            ua.ObjectIds.Server_ServerStatus_BuildInfo_ManufacturerName,
            ua.ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
            ua.ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
        )
        read = await self.read([ua.NodeId(each) for each in ids])
        maker, product, version = (str(value or "") for _, value, _ in read)
        return maker, product, version

    async def children(self, node: Any) -> list[Any]:
        """References to everything below a node, all of them (a server may give them in parts)."""
        ask = ua.BrowseDescription()
        ask.NodeId = node
        ask.BrowseDirection = ua.BrowseDirection.Forward
        ask.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        ask.IncludeSubtypes = True
        ask.NodeClassMask = 0
        ask.ResultMask = ua.BrowseResultMask.All
        parameters = ua.BrowseParameters()
        parameters.NodesToBrowse = [ask]
        parameters.RequestedMaxReferencesPerNode = 1000
        with self._working():
            session = self._client.uaclient.session
            result = (await session.browse(parameters))[0]
            found = list(result.References or ())
            while result.ContinuationPoint:
                more = ua.BrowseNextParameters()
                more.ContinuationPoints = [result.ContinuationPoint]
                result = (await session.browse_next(more))[0]
                found += result.References or ()
        return found

    async def named(self, names: Sequence[str]) -> BrowsePath | None:
        """The path of names, each in whatever namespace it is; None where one of them is not there."""
        node, steps = self.objects, []
        for name in names:
            for reference in await self.children(node):
                if reference.BrowseName.Name == name:
                    uri = self._spaces[reference.BrowseName.NamespaceIndex]
                    node = _plain(reference.NodeId)
                    steps.append((uri, name))
                    break
            else:
                return None
        return BrowsePath(tuple(steps))

    async def declared(self, node: Any) -> tuple[object, object]:
        """(id of the data type in the standard's namespace, or None; the value) of a variable."""
        session = self._client.uaclient.session
        with self._working():
            kind, rank = [
                (await session.read_attributes([node], each))[0].Value
                for each in (ua.AttributeIds.DataType, ua.AttributeIds.ValueRank)
            ]
        _, value, _ = (await self.read([node]))[0]
        name: Any = None if kind is None else kind.Value
        scalar = rank is None or rank.Value in (-1, None)
        standard = name is not None and name.NamespaceIndex == 0 and scalar
        return (name.Identifier if standard else None), value

    async def unit_of(self, node: Any) -> str:
        """What the node's EngineeringUnits say, for people."""
        path = BrowsePath(((self._spaces[0], "EngineeringUnits"),))
        (unit,) = await self.resolve(node, [path])
        if unit is None:
            return ""
        _, value, _ = (await self.read([unit]))[0]
        said: Any = getattr(value, "DisplayName", None)
        return str(getattr(said, "Text", "") or "")

    def _working(self) -> Any:
        return translated(self.channel, self.settings, "work")


class NoSubscriptionsError(Exception):
    """The server has no subscriptions: it must be polled."""


# ---------------------------------------------------------------- before a session


def _client_of(settings: Settings) -> _Client:
    # A probe that takes longer than the watchdog's interval ends the connection: never less than a
    # request may take.
    client = _Client(
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


async def endpoints(channel: str, settings: Settings) -> list[Any]:
    """What the server offers, asked without security. Raises ChannelClosed, ChannelTimeout."""
    quiet()
    client = _client_of(settings)
    with translated(channel, settings, "connect"):
        try:
            async with asyncio.timeout(settings.connect_timeout_s + settings.timeout_s):
                return list(await client.connect_and_get_server_endpoints())
        finally:
            await asyncio.sleep(0)


class Met(NamedTuple):
    """A server and we, for the technician who makes the two trust each other."""

    ours: Seen
    ours_at: Path
    #: The certificate of the endpoint we would use.
    server: Seen
    accepted: bool
    offered: Sequence[str]
    trust: Trust


async def meet(channel: str, settings: Settings) -> Met | None:
    """Both certificates, without a session; None where the server has none to show.

    Raises:
        ChannelClosed, ChannelTimeout: nobody there, or nothing offered that the site file allows.
    """
    trust = Trust(settings)
    certificate, _ = await trust.own()
    offered = await endpoints(channel, settings)
    names = sorted({f"{policy_of(e)} {e.SecurityMode.name.rstrip('_')}" for e in offered})
    if not any(endpoint.ServerCertificate for endpoint in offered):
        return None
    any_policy = msgspec.structs.replace(settings, security="best")
    endpoint = chosen(channel, settings if settings.security != "None" else any_policy, offered)
    server = seen(_first(endpoint.ServerCertificate))
    ours = seen(await asyncio.to_thread(certificate.read_bytes))
    return Met(ours, certificate, server, trust.accepts(server), names, trust)


def chosen(channel: str, settings: Settings, offered: Sequence[Any]) -> Any:
    """The endpoint to use. `best` never falls back to one without security.

    Raises:
        ChannelClosed: the server offers none that the site file allows.
    """
    wanted = POLICIES if settings.security == "best" else (settings.security,)
    modes = {
        "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
        "Sign": ua.MessageSecurityMode.Sign,
    }
    assert set(modes) == set(MODES)
    for policy in reversed(wanted):
        for endpoint in offered:
            if (
                policy_of(endpoint) == policy
                and endpoint.SecurityMode == modes[settings.mode]
                and endpoint.EndpointUrl.startswith("opc.tcp://")
                and endpoint.ServerCertificate
            ):
                return endpoint
    has = ", ".join(sorted({f"{policy_of(e)} {e.SecurityMode.name.rstrip('_')}" for e in offered}))
    raise ChannelClosed(
        f"{settings.url} offers {has}",
        code="HG-3317", channel=channel, url=settings.url,
        wanted=f"{settings.security} {settings.mode}", offered=has or "-",
    )  # fmt: skip


def stranger(channel: str, settings: Settings, trust: Trust, theirs: Seen) -> ChannelClosed:
    """The error of meeting a server that nobody has accepted; its certificate is kept aside."""
    trust.reject(theirs)
    known = any(each.uri == theirs.uri and theirs.uri for each in trust.trusted())
    return ChannelClosed(
        f"{settings.url}: certificate {theirs.thumbprint} is not trusted",
        code="HG-3318" if known else "HG-3310",
        channel=channel, url=settings.url, name=theirs.name or "-", uri=theirs.uri or "-",
        thumbprint=theirs.thumbprint, end=f"{theirs.not_after:%Y-%m-%d}",
    )  # fmt: skip


# ---------------------------------------------------------------- the library's types


def policy_of(endpoint: Any) -> str:
    """The policy of an endpoint as a site file names it; its uri has underscores in some of them."""
    return str(endpoint.SecurityPolicyUri).rpartition("#")[2].replace("_", "")


def _first(chain: bytes) -> bytes:
    """The first certificate of a chain: a server may send its CAs behind its own."""
    return chain[: int.from_bytes(chain[2:4], "big") + 4]


def _plain(expanded: Any) -> Any:
    return ua.NodeId(expanded.Identifier, expanded.NamespaceIndex, expanded.NodeIdType)


def _of(value: Any) -> tuple[int, object, datetime | None]:
    # A status that is not there is good (OPC 10000-6 section 5.2.2.17).
    code = 0 if value.StatusCode is None else int(value.StatusCode.value)
    inner = None if value.Value is None else value.Value.Value
    return code, inner, value.SourceTimestamp


def _published(result: Any) -> Published:
    message = result.NotificationMessage
    changes: list[Change] = []
    status: int | None = None
    for part in message.NotificationData or ():
        if isinstance(part, ua.DataChangeNotification):
            changes += [Change(item.ClientHandle, *_of(item.Value)) for item in part.MonitoredItems]
        elif isinstance(part, ua.StatusChangeNotification):
            status = int(part.Status.value) if hasattr(part.Status, "value") else int(part.Status)
    return Published(message.PublishTime, changes, status)
