"""The three shapes of a driver: we ask, it tells us, it dials us.

A driver checks its options in `__init__`, off the network. One instance serves all channels of its
schemes. Errors from the tree in `headgate.errors` are all that may leave it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from headgate.errors import Problem
from headgate.model import Alarm, Block, Gap, Identity, Origin, Value
from headgate.sdk.asking import Told
from headgate.sdk.channel import Channel, Listener
from headgate.sdk.device import Device
from headgate.sdk.stream import StreamCodec

OnStartFailure = Literal["retry", "fail", "skip"]


class Driver(ABC):
    """What every driver says of itself."""

    #: The name that profiles use (`driver = "modbus"`).
    name: ClassVar[str]
    #: URL schemes of the channels it speaks over (`modbus+tcp`).
    schemes: ClassVar[tuple[str, ...]] = ()
    #: "own" when the library behind the driver owns its connection (OPC UA, BLE).
    transport: ClassVar[Literal["channel", "own"]] = "channel"
    on_start_failure: ClassVar[OnStartFailure] = "retry"
    #: Keys a profile's point may hold for this driver, with a short description each.
    point_keys: ClassVar[Mapping[str, str]] = {}

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
        """What is wrong with the `options` of a channel's entry, off the network. Pure."""
        return ()

    def codec(self) -> StreamCodec[Any] | None:
        """A codec for bytes that somebody recorded (`headgate decode`). Pure.

        None: what bytes mean cannot be told without knowing what was asked.
        """
        return None

    def says(self, frame: Any) -> Iterable[Told]:
        """What a frame of `codec` means, a line each, where its fields do not say it by themselves. Pure."""
        return ()

    async def identify(self, channel: Channel, device: Device) -> Identity | None:
        """What the device says of itself; None when it cannot tell."""
        return None

    async def present(self, channel: Channel, device: Device) -> bool:
        """Whether anybody answers at the device's address, with whatever answer. For discovery.

        Raises:
            ChannelClosed: the line is down, so nothing is known.
            NotImplementedError: this driver cannot look.
        """
        raise NotImplementedError(f"driver {self.name} does not discover")

    async def addresses(self, channel: Channel, device: Device) -> Sequence[str]:
        """The addresses of those who answer a question put to everybody, where the protocol has one.

        For discovery of devices whose addresses are too many to be counted through. `device` says the
        line settings (quirk `line`) and how long to wait.

        Raises:
            ChannelClosed: the line is down.
            NotImplementedError: there is no such question.
        """
        raise NotImplementedError(f"driver {self.name} does not ask everybody")

    def line_bytes(self, device: Device, plan: Any) -> Sequence[tuple[int, int]]:
        """(bytes sent, bytes received) of each request of one look, where it goes over a bus. Pure."""
        return ()

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Write one raw value and return what reads back. Only points the profile calls writable."""
        raise NotImplementedError(f"driver {self.name} does not write")


class PollingDriver(Driver):
    """We ask: Modbus, DL/T 645, CJ/T 188."""

    def plan(self, device: Device) -> Any:
        """Turn the device's points into the fewest requests. Pure; kept by the core and given back to `read`.

        Raises:
            ProfileError: a point this driver cannot read, with the point's name.
        """
        return None

    @abstractmethod
    async def read(self, channel: Channel, device: Device, plan: Any) -> Block:
        """One look at one device: raw values in columns.

        A part that failed is data (bad quality and a status). Raise only when the whole look failed:
        ChannelTimeout and ChannelClosed come from the channel by themselves, ProtocolError and
        DeviceRefused are the driver's; the core turns each into a block of bad quality.
        """


class StreamingDriver(Driver):
    """It tells us: OPC UA subscriptions, BLE adverts, chatty serial sensors."""

    def check(self, device: Device) -> None:
        """Say before anything is opened what this driver cannot do with a device. Pure.

        Raises:
            ProfileError: what is wrong with its profile or address, all of it.
        """
        return

    def heard(self, device: Device, data: bytes) -> Mapping[str, Block]:
        """What bytes of a line told, by the address of whoever said it ("" where frames tell none).

        For discovery: `device` carries the points of a profile that may fit, its own address does not
        matter. Pure, and never raises on hostile bytes.

        Raises:
            ProfileError: points that this driver cannot read.
            NotImplementedError: it cannot be told from bytes alone.
        """
        raise NotImplementedError(f"driver {self.name} does not overhear")

    @abstractmethod
    def listen(
        self, channel: Channel, devices: Sequence[Device]
    ) -> AsyncIterator[Block | Alarm | Gap]:
        """Blocks, and alarms that the devices raise themselves, as they come, until the line is lost.

        An alarm is on disk within milliseconds, whatever else waits, and before the driver is resumed: a
        protocol that wants it acknowledged may be answered then. A gap is what a device says that
        it lost itself: values that its own queue could not keep.
        """


class Delivery:
    """What a device that dialled us sent, and the promise that it is safe.

    Only after `await delivery.durable()` returned may the protocol's acknowledgement leave. `alarms` are
    conditions that the device raises or clears itself; they stand before the blocks and wait for nothing.
    """

    def __init__(
        self, blocks: Sequence[Block], origin: Origin, alarms: Sequence[Alarm] = ()
    ) -> None:
        self.blocks = tuple(blocks)
        self.origin = origin
        self.alarms = tuple(alarms)
        self._wait: Callable[[], Awaitable[None]] | None = None

    def bind(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Called by the core when it has taken the delivery over."""
        self._wait = wait

    async def durable(self) -> None:
        """Return after commit, also when a stage filtered everything or it was a known resend.

        Raises:
            SpoolError: the spool refused; do not acknowledge.
        """
        if self._wait is None:
            raise ValueError("a delivery is durable only after it was yielded to the core")
        await self._wait()


class ListeningDriver(Driver):
    """It dials us: SL 651, HJ 212, SZY 206, GB/T 26875, DTU."""

    def check(self, device: Device) -> None:
        """Say before anything is opened what this driver cannot do with a device. Pure.

        Raises:
            ProfileError: what is wrong with its profile or address, all of it.
        """
        return

    @abstractmethod
    def serve(self, listener: Listener, devices: Sequence[Device]) -> AsyncIterator[Delivery]:
        """Deliveries as they come, over all connections of the listener."""
