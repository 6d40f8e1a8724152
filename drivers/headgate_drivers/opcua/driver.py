"""The OPC UA driver: one session per channel, any number of devices in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from headgate.sdk import (
    Access,
    Alarm,
    Block,
    Channel,
    ConfigError,
    Device,
    DeviceRefused,
    Gap,
    Identity,
    PluginError,
    Problem,
    StreamingDriver,
    Value,
)
from headgate_drivers.opcua.places import POINT_KEYS, Layout, Place, layout_of
from headgate_drivers.opcua.settings import Settings, settings_of

if TYPE_CHECKING:
    from headgate_drivers.opcua.endpoints import Met
    from headgate_drivers.opcua.session import Session
    from headgate_drivers.opcua.stream import Memory


class OpcUaDriver(StreamingDriver):
    """OPC UA over opc.tcp, by the asyncua library, which is imported with the first channel."""

    name: ClassVar[str] = "opcua"
    schemes: ClassVar[tuple[str, ...]] = ("opc.tcp",)
    transport: ClassVar[Literal["channel", "own"]] = "own"
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._memories: dict[str, Memory] = {}

    def check(self, device: Device) -> None:
        """Raises ProfileError: every point that leads nowhere."""
        layout_of(device)

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
        """What is wrong with the options of a channel, off the network."""
        try:
            settings_of(f"channel {channel}", options)
        except ConfigError as error:
            return error.problems
        return ()

    async def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm | Gap]:
        """Blocks of all devices of one server, until the line is lost.

        Raises:
            ChannelClosed, ChannelTimeout: the line; tried again.
            ConfigError, ProfileError: options or points that cannot work.
            PluginError: asyncua is not installed.
        """
        _need_library()
        from headgate_drivers.opcua.station import Station
        from headgate_drivers.opcua.stream import Memory, listen

        settings = self._settings(channel)
        memory = self._memories.setdefault(channel.id, Memory())
        stations, handle = [], 1
        for device in devices:
            layout = layout_of(device, settings.events, settings.events_severity)
            stations.append(Station(device, layout, handle, memory.of(device)))
            handle += len(layout.places)

        def on_session(session: Session | None) -> None:
            if session is None:
                self._sessions.pop(channel.id, None)
            else:
                self._sessions[channel.id] = session

        async with aclosing(listen(channel, settings, stations, memory, on_session)) as life:
            async for out in life:
                yield out

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """The block that recorded values would have brought; its time is 0.

        Args:
            frames: (the point's path or node id in UTF-8, the DataValue as on the wire).

        Raises:
            ProfileError: points that lead nowhere.
            ProtocolError: bytes that are no DataValue.
        """
        from headgate_drivers.opcua.replay import replayed

        return replayed(device, frames)

    # ------------------------------------------------------------ on demand

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        """What the server says of its own software."""
        maker, product, version = await self._with(channel, _build_info)
        return Identity(maker, product, version or None)

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Write one raw value, or call the method that stands for it, and return what reads back.

        Raises:
            DeviceRefused: the server said no; `detail` is the low byte of the status code's kind.
        """
        layout = layout_of(device)
        place = next((p for p in layout.places if p.name == point), None)
        offered = next((p.point for p in device.points if p.point.name == point), None)
        if place is None or offered is None or offered.access is Access.READ:
            raise DeviceRefused(
                f"{device.id}: {point} is not writable",
                code="HG-3322",
                device=device.id,
                point=point,
            )
        read_back: Value = await self._with(
            channel, lambda s: _write(s, device, layout, place, raw)
        )
        return read_back

    async def meet(self, channel: Channel) -> Met | None:
        """Our certificate and the server's, for `headgate opcua trust`."""
        _need_library()
        from headgate_drivers.opcua import endpoints

        return await endpoints.meet(channel.id, self._settings(channel))

    async def browse(
        self, channel: Channel, path: str, depth: int, profile: str | None = None
    ) -> str:
        """A server's tree below a path from Objects; or, named `vendor/model`, a profile of it.

        The path is of names alone: each is looked for in whatever namespace it is.
        """
        _need_library()
        from headgate_drivers.opcua import access, browse, nodes

        async def work(session: Session) -> str:
            start = await nodes.named(session, [step for step in path.split("/") if step])
            if start is None:
                raise DeviceRefused(
                    f"{path}: no such node", code="HG-3320", key="path", value=path,
                    allowed="/ , /Station",
                )  # fmt: skip
            found = await browse.walk(session, start, depth)
            if profile is None:
                return browse.tree_text(found)
            vendor, _, model = profile.partition("/")
            maker, product, version = await access.build_info(session)
            return browse.profile_text(
                found, start, vendor, model or "new", f"{maker} {product} {version}"
            )

        text: str = await self._with(channel, work)
        return text

    def _settings(self, channel: Channel) -> Settings:
        options: Mapping[str, Any] = getattr(channel, "options", {})
        return settings_of(f"channel {channel.id}", {"url": channel.url, **options})

    async def _with(self, channel: Channel, work: Callable[[Session], Any]) -> Any:
        """Run something over the session that is open, or over one of its own."""
        _need_library()
        from headgate_drivers.opcua.session import Session
        from headgate_drivers.opcua.trust import Trust

        if (session := self._sessions.get(channel.id)) is not None:
            return await work(session)
        settings = self._settings(channel)
        session = await Session.open(channel.id, settings, Trust(settings))
        try:
            return await work(session)
        finally:
            await session.close()


async def _write(
    session: Session, device: Device, layout: Layout, place: Place, raw: Value
) -> Value:
    from headgate_drivers.opcua import access
    from headgate_drivers.opcua.nodes import parent_of, resolve
    from headgate_drivers.opcua.values import raw_of

    root = (await resolve(session, session.objects, [layout.root]))[0]
    method = place.start if raw else place.stop
    where = [place.where, *([method] if method is not None else [])]
    node, *methods = await resolve(session, root, where)
    if methods:
        parent = await parent_of(session, root, method, methods[0])
        code = await access.call(session, parent, methods[0])
    else:
        code = await access.write(session, node, raw)
    if code >> 30 > 1:
        raise DeviceRefused(
            f"{device.id}: {place.name}: status 0x{code:08X}", detail=(code >> 16) & 0xFF,
            code="HG-3323", device=device.id, point=place.name, status=f"0x{code:08X}",
        )  # fmt: skip
    (_, value, _), *_ = await access.read(session, [node])
    return raw_of(value, place.kind, place.element)


async def _build_info(session: Session) -> tuple[str, str, str]:
    from headgate_drivers.opcua.access import build_info

    return await build_info(session)


def _need_library() -> None:
    try:
        import asyncua  # noqa: F401
    except ModuleNotFoundError as error:
        raise PluginError(
            "OPC UA needs asyncua: pip install 'headgate[opcua]'", code="HG-3300",
            library=str(error.name), extra="headgate[opcua]",
        ) from error  # fmt: skip
