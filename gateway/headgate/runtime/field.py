"""The field side of a gateway: every line, and every device on it, polled or talking.

What is asked (`PollingDriver`) goes to the poller, what talks (`StreamingDriver`) becomes a stream. Here is
what both have in common: opening the right kind of line, taking over a changed site, health.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from headgate.channels import ManagedChannel, open_channel
from headgate.channels.listening import ListeningPort
from headgate.config import Channel as ChannelEntry
from headgate.config import Site, resolve_options
from headgate.env import Env
from headgate.errors import ChannelClosed, ChannelError
from headgate.model import Reading
from headgate.profiles import judge
from headgate.runtime.health import ChannelHealth, DeviceHealth, DeviceState
from headgate.runtime.listeners import Attendance
from headgate.runtime.origins import Origins
from headgate.runtime.ownline import OwnLine
from headgate.runtime.pipeline import step_for
from headgate.runtime.poller import LookDetail, Poller
from headgate.runtime.port_options import limits_of
from headgate.runtime.roster import Posting, Roster
from headgate.runtime.sink import Sink
from headgate.runtime.streams import Stream, Streams, Talker
from headgate.sdk import (
    Channel,
    Device,
    Driver,
    ListeningDriver,
    PollingDriver,
    Stage,
    StreamingDriver,
)

T = TypeVar("T")

#: Stages with the patterns of the devices they work on, in the order of the site file.
Stages = Sequence[tuple[Sequence[str], Stage]]


class Field:
    """All lines and devices. `learn` is told of a device's table before the first block names it."""

    def __init__(
        self,
        env: Env,
        sink: Sink,
        learn: Callable[[Device], None],
        origins: Callable[[], Origins] | None = None,
    ) -> None:
        self._origins = origins
        self.poller = Poller(env, sink)
        self._env = env
        self._sink = sink
        self._learn = learn
        self._streams = Streams()
        self._lines: dict[str, ManagedChannel] = {}
        self._postings: dict[str, Posting] = {}
        self._drivers: Mapping[str, Driver] = {}
        #: Devices whose last values are kept where they talk by themselves: who commands asks for them.
        self._watched: frozenset[str] = frozenset()

    # ------------------------------------------------------------ start and change

    async def apply(
        self,
        site: Site,
        roster: Roster,
        stages: Stages,
        changed: Collection[str] = (),
        *,
        anew: bool = False,
    ) -> None:
        """Make the lines and devices what the roster says; whoever did not change misses nothing.

        Args:
            changed: channels to be opened anew.
            anew: the stages changed, which concerns every device.
        """
        self._drivers = roster.drivers
        wanted = roster.devices()
        for name in [n for n in self._postings if n not in wanted]:
            await self._dismiss(name)
        present = self._present()
        for channel_id in present - (roster.channels.keys() - set(changed)):
            await self._close(channel_id)
        for channel_id in roster.channels.keys() - self._present():
            if isinstance(roster.drivers[channel_id], PollingDriver):
                line = open_channel(self._env, roster.channels[channel_id])
                options = site.channels[channel_id].options
                line.options = resolve_options(self._env, options, Path(site.base))
                self.poller.add_channel(line)
        for channel_id, driver in roster.drivers.items():
            postings = roster.postings[channel_id]
            if isinstance(driver, PollingDriver):
                await self._poll(postings, stages, anew)
            elif isinstance(driver, StreamingDriver | ListeningDriver):
                await self._listen(site, roster, channel_id, driver, stages, anew)

    async def _poll(self, postings: Sequence[Posting], stages: Stages, anew: bool) -> None:
        for posting in postings:
            # Its own driver: meters and units of Modbus may share one line.
            driver, device = posting.driver, posting.device
            assert isinstance(driver, PollingDriver)
            known = self._postings.get(device.id)
            if known is not None and known.device == device and not anew:
                continue
            self._learn(device)
            self._postings[device.id] = posting
            work = (device, driver, posting.plan, judge(device), step_for(stages, device))
            if known is None:
                self.poller.add(*work)
            else:
                await self.poller.replace(*work)

    async def _listen(
        self,
        site: Site,
        roster: Roster,
        channel_id: str,
        driver: StreamingDriver | ListeningDriver,
        stages: Stages,
        anew: bool,
    ) -> None:
        postings = roster.postings[channel_id]
        devices = [posting.device for posting in postings]
        stream = self._streams.lines.get(channel_id)
        if stream is not None:
            if stream.devices == devices and not anew:
                return
            # A subscription is made for all its devices at once: it begins again with the new ones.
            await self._close(channel_id)
        talkers = []
        for posting in postings:
            self._learn(posting.device)
            self._postings[posting.device.id] = posting
            step = step_for(stages, posting.device)
            talkers.append(Talker(posting.device, judge(posting.device), step))
            if posting.device.id in self._watched:
                talkers[-1].watched = {}
        if isinstance(driver, ListeningDriver):
            assert self._origins is not None
            entry = site.channels[channel_id]
            url = roster.channels[channel_id].url
            port = ListeningPort(self._env, channel_id, url, limits_of(entry.options))
            base = Path(site.base)
            port.options = resolve_options(
                self._env, {"password": entry.password, **entry.options}, base
            )
            attendance = Attendance(
                self._env, self._sink, port, driver, talkers, self._origins(), site.state_folder
            )
            self._streams.add(attendance)
            return
        line = self._open(site, roster, channel_id, driver)
        stream = Stream(self._env, self._sink, line, driver, talkers)
        if isinstance(line, OwnLine):
            line.on_report = stream.report
        elif isinstance(line, ManagedChannel):
            line.on_state = stream.line_changed
        self._streams.add(stream)

    def _open(
        self, site: Site, roster: Roster, channel_id: str, driver: StreamingDriver
    ) -> Channel:
        if driver.transport == "own":
            return own_line(self._env, site, site.channels[channel_id])
        line = open_channel(self._env, roster.channels[channel_id])
        line.open()
        self._lines[channel_id] = line
        return line

    async def change(self, posting: Posting, stages: Stages) -> None:
        """One polled device under another map, as when its firmware was learned: no look is lost."""
        driver, device = posting.driver, posting.device
        assert isinstance(driver, PollingDriver)
        self._learn(device)
        self._postings[device.id] = posting
        step = step_for(stages, device)
        await self.poller.replace(device, driver, posting.plan, judge(device), step)

    # ------------------------------------------------------------ end

    async def _dismiss(self, name: str) -> None:
        posting = self._postings.pop(name)
        if posting.device.channel not in self._streams.lines:
            await self.poller.remove(name)

    async def _close(self, channel_id: str) -> None:
        for name in [n for n, p in self._postings.items() if p.device.channel == channel_id]:
            del self._postings[name]
        if channel_id in self._streams.lines:
            await self._streams.remove(channel_id)
            if (line := self._lines.pop(channel_id, None)) is not None:
                await line.close()
        else:
            await self.poller.remove_channel(channel_id)

    async def stop(self) -> None:
        """Finish the looks in hand, end every line; gaps and the ends of plans are told."""
        await self.poller.stop()
        await self._streams.stop()
        for line in self._lines.values():
            await line.close()
        self._lines.clear()
        self._postings.clear()

    # ------------------------------------------------------------ what is there

    @property
    def devices(self) -> Mapping[str, Device]:
        """Devices by id."""
        return {name: posting.device for name, posting in self._postings.items()}

    @property
    def postings(self) -> Mapping[str, Posting]:
        """Everything that devices are served with, by device id."""
        return self._postings

    def speaker(self, channel_id: str) -> Driver | None:
        """The driver that speaks over a channel."""
        return self._drivers.get(channel_id)

    async def between(self, channel_id: str, action: Callable[[Channel], Awaitable[T]]) -> T:
        """Run `action` on a line: alone between two looks, or beside what a talking line tells.

        Raises:
            KeyError: no such channel.
        """
        stream = self._streams.lines.get(channel_id)
        if stream is not None:
            if not isinstance(stream.line, Channel):
                raise ChannelClosed(f"{channel_id} is a port, and no line to ask over")
            return await action(stream.line)
        return await self.poller.between(channel_id, action)

    async def at(self, device_id: str, action: Callable[[Channel], Awaitable[T]]) -> T:
        """Run `action` on a device's line as `between` does, or on the call that a station is on.

        Raises:
            KeyError: no such device.
            DeviceRefused: a station that is on no call: nothing was sent.
        """
        device = self._postings[device_id].device
        if (port := self.ports().get(device.channel)) is not None:
            return await port.at(device, action)
        return await self.between(device.channel, action)

    def watch(self, devices: Collection[str]) -> frozenset[str]:
        """Keep the last values of these devices from now on, where they talk by themselves.

        Returns:
            Channels that must begin anew: who talks says only what changes, and has begun already.
        """
        self._watched = frozenset(devices)
        return frozenset(
            stream.line.id
            for stream in self._streams.lines.values()
            for talker in stream.talkers.values()
            if talker.watched is None and talker.device.id in self._watched
        )

    def told(self, device: str) -> Mapping[str, Reading] | None:
        """The last values of a watched device that talks by itself; None: it is asked instead.

        Empty while its line is down or it is silent: what it said before may be no longer true.
        """
        posting = self._postings.get(device)
        stream = None if posting is None else self._streams.lines.get(posting.device.channel)
        if posting is None or stream is None:
            return None
        talker = stream.talkers[posting.device.number]
        if stream.state != "up" or talker.health.state is not DeviceState.OK:
            return {}
        return talker.watched or {}

    def tell(self) -> dict[str, str]:
        """The channels of those devices that may know their own firmware, by device id."""
        return {name: p.device.channel for name, p in self._postings.items() if p.tells}

    def line(self, channel_id: str) -> ManagedChannel | None:
        """A byte line of the core; None: no such channel, or its driver owns the connection."""
        if channel_id in self._lines:
            return self._lines[channel_id]
        try:
            return self.poller.channel(channel_id)
        except KeyError:
            return None

    async def read_once(self, device_id: str) -> LookDetail:
        """One look now: between two polls, or at a station that is on line.

        Raises:
            HeadgateError: it talks by itself and cannot be asked, or is not on line.
        """
        device = self._postings[device_id].device
        if (port := self.ports().get(device.channel)) is not None:
            return await port.ask(device)
        if device.channel in self._streams.lines:
            raise ChannelError(f"{device_id} cannot be asked", code="HG-3607", device=device_id)
        return await self.poller.read_once(device_id)

    def ports(self) -> dict[str, Attendance]:
        """Ports that stations dial, by channel id."""
        lines = self._streams.lines.items()
        return {name: line for name, line in lines if isinstance(line, Attendance)}

    def _present(self) -> set[str]:
        return {line.channel for line in self.channel_health()}

    def channel_health(self) -> list[ChannelHealth]:
        """Every line."""
        return [*self.poller.channel_health(), *self._streams.channel_health()]

    def device_health(self) -> list[DeviceHealth]:
        """Every device."""
        return [*self.poller.device_health(), *self._streams.device_health()]


def own_line(env: Env, site: Site, entry: ChannelEntry) -> OwnLine:
    """The line of a driver with a connection of its own, as the site file describes it."""
    return OwnLine(env, entry.id, str(entry.url), _options(env, site, entry))


def _options(env: Env, site: Site, entry: ChannelEntry) -> dict[str, object]:
    """What a driver with a connection of its own is told. Holds secrets: never logged."""
    base = Path(site.base)

    def path(written: str | None) -> str | None:
        return str(site.path(written)) if written else None

    return {
        "url": str(entry.url),
        "username": entry.username,
        "password": resolve_options(env, entry.password, base),
        "timeout_s": entry.timeout.s,
        "connect_timeout_s": entry.connect_timeout.s,
        "reconnect_min_s": entry.reconnect_min.s,
        "reconnect_max_s": entry.reconnect_max.s,
        "ca": path(entry.ca),
        "client_certificate": path(entry.client_certificate),
        "client_key": path(entry.client_key.name) if entry.client_key else None,
        "server_name": entry.server_name,
        "folder": str(site.state_folder),
        "gateway": site.gateway.id,
        **resolve_options(env, dict(entry.options), base),
    }
