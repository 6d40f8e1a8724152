"""What a person at the box has done on a line, between its looks: write a point, trace, discover.

Each call of the local API is one method; its name is the call's. Nothing here opens a port of its own:
that would be "port busy" for the gateway, or for the technician.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from headgate.channels import Direction
from headgate.env import Env
from headgate.errors import HeadgateError
from headgate.model import Event, Item, Value
from headgate.profiles import Library
from headgate.runtime.api import Handler
from headgate.runtime.audited import who
from headgate.runtime.commands.allowed import Allowed
from headgate.runtime.commands.local import Local
from headgate.runtime.field import Field
from headgate.runtime.inverse import check_writable, raw_for, same
from headgate.runtime.listeners import Attendance
from headgate.runtime.portline import PortLine
from headgate.runtime.roster import Drivers, nearest
from headgate.sdk import Channel, Device, Told
from headgate.sdk.asking import arguments_of

log = logging.getLogger(__name__)

#: Frames that wait for a slow reader of a trace; what comes beyond is counted, not kept.
TRACE_LIMIT = 10_000
#: Lines of a station's answer that an event keeps, and characters of each; measured values are stored as any.
MOST_TOLD = 64
LONGEST_TOLD = 256
#: A trace of a silent line says that it is still there.
STILL_HERE_S = 5.0


class Errands:
    """The calls of a technician, over the field and what may be written down of them."""

    def __init__(
        self,
        env: Env,
        field: Field,
        put_item: Callable[[Item], object],
        library: Callable[[], Library],
        drivers: Callable[[], Drivers],
        local: Local,
    ) -> None:
        self._local = local
        self._drivers = drivers
        self._env = env
        self._field = field
        self._put_item = put_item
        self._library = library

    def handlers(self) -> Mapping[str, Handler]:
        """Calls by name."""
        return {
            "write": self.write, "trace": self.trace, "discover": self.discover,
            "stations": self.stations,
            "ask": self.ask,
        }  # fmt: skip

    # ------------------------------------------------------------ write

    async def write(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Set one point, in its own unit, and say what reads back. Every attempt is written down.

        Without `confirmed` nothing is sent: the answer says what would be.
        """
        device_id, name = str(request.get("device", "")), str(request.get("point", ""))
        postings = self._field.postings
        if device_id not in postings:
            near = nearest(device_id, postings)
            raise HeadgateError("no device", code="HG-9120", device=device_id, nearest=near)
        posting = postings[device_id]
        places = {place.point.name: place for place in posting.device.points}
        if name not in places:
            near = nearest(name, places)
            raise HeadgateError(
                "no point", code="HG-9144", device=device_id, point=name, nearest=near
            )
        place = places[name]
        # First: no control of the site would let a point be written that its profile does not.
        check_writable(device_id, place, request.get("value"))
        allowed = self._local.control((device_id, name))
        raw = raw_for(device_id, place, request.get("value"))
        said: dict[str, Any] = {
            "device": device_id, "point": name, "unit": place.point.unit,
            "value": request.get("value"), "raw": raw,
        }  # fmt: skip
        if allowed is not None:
            said |= {
                "lease": str(allowed.control.lease),
                "on_lease_end": allowed.control.on_lease_end,
            }
        if request.get("confirmed") is not True:
            yield {**said, "written": False}
            return
        if allowed is not None:
            yield await self._commanded(allowed, said, who(request))
            return
        frames: list[tuple[Direction, str]] = []
        line = self._field.line(posting.device.channel)

        def tap(direction: Direction, data: bytes, at_us: int) -> None:
            frames.append((direction, data.hex(" ")))

        async def put(channel: Channel) -> Value:
            if line is not None:
                line.add_tap(tap)
            try:
                return await posting.driver.write(channel, posting.device, name, raw)
            finally:
                if line is not None:
                    line.remove_tap(tap)

        port = self._field.ports().get(posting.device.channel)
        try:
            if port is None:
                back = await self._field.between(posting.device.channel, put)
            else:
                with port.seen(posting.device) as seen:
                    back = await port.at(posting.device, put)
                frames += [(each.direction, bytes.fromhex(each.hex).hex(" ")) for each in seen]
        except HeadgateError as error:
            self._note(said, "failed", None, error.code)
            raise
        except (NotImplementedError, KeyError):
            self._note(said, "failed", None, "HG-9145")
            raise HeadgateError("no write", code="HG-9145", driver=posting.driver.name) from None
        kept = same(place.point, raw, back)
        self._note(said, "done" if kept else "differs", back, "" if kept else "HG-9146")
        yield {**said, "written": True, "back": back, "kept": kept, "frames": frames}

    async def _commanded(self, allowed: Allowed, said: dict[str, Any], peer: str) -> dict[str, Any]:
        """A write by hand of a point that has a control: as any command, with the same lease."""
        done = await self._local.write(allowed, said["value"], peer)
        state = {"confirmed": "done", "failed": "differs"}.get(done.state, "failed")
        self._note(said, state, done.raw if state == "done" else done.value, done.code)
        if done.state not in ("confirmed", "failed"):
            raise HeadgateError(done.text, code=done.code, **done.fields)
        kept = done.state == "confirmed"
        back = done.raw if kept else done.value
        return {
            **said,
            "written": True,
            "back": back,
            "kept": kept,
            "frames": [],
            "code": done.code,
        }

    def _note(self, said: Mapping[str, Any], state: str, back: Value, code: str) -> None:
        """In the log, and upstream as an event: who reads the values later must know that one was set."""
        fields: dict[str, str | int | float | bool | None] = {
            "device": said["device"], "point": said["point"], "value": str(said["value"]),
            "raw": str(said["raw"]), "back": None if back is None else str(back), "state": state,
            "code": code,
        }  # fmt: skip
        self._put_item(Event("written", self._env.clock.boottime_us(), fields))
        log.warning("point written by hand", extra=fields)

    # ------------------------------------------------------------ trace

    async def trace(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Every byte that goes over a line, as it goes, until the caller hangs up or `seconds` are over."""
        channel_id = str(request.get("channel", ""))
        port = self._field.ports().get(channel_id)
        line = self._field.line(channel_id) if port is None else PortLine(port, self._env)
        if line is None:
            raise self._no_channel(channel_id)
        seconds = request.get("seconds")
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + float(seconds)
        frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue(TRACE_LIMIT)
        dropped = 0

        def tap(direction: Direction, data: bytes, at_us: int, who: str = "") -> None:
            nonlocal dropped
            frame = {"way": direction, "hex": data.hex(" "), "at_us": at_us}
            try:
                frames.put_nowait({**frame, "who": who} if who else frame)
            except asyncio.QueueFull:
                dropped += 1

        clock = self._env.clock
        now_us, wall_us = clock.boottime_us(), clock.wall_us()
        yield {"channel": line.id, "url": line.url, "now_us": now_us, "wall_us": wall_us}
        line.add_tap(tap)
        try:
            while end is None or loop.time() < end:
                wait = STILL_HERE_S if end is None else min(STILL_HERE_S, end - loop.time())
                frame: dict[str, Any] | None = None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        frame = await frames.get()
                yield {"dropped": dropped, "state": str(line.state)} if frame is None else frame
            while not frames.empty():
                yield frames.get_nowait()
        finally:
            line.remove_tap(tap)

    # ------------------------------------------------------------ stations

    async def stations(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Who is on the line of each port that stations dial, and who called that the site does not name."""
        now_us = self._env.clock.boottime_us()
        for name, port in self._field.ports().items():
            yield {
                "channel": name,
                "url": port.line.url,
                "state": port.state,
                "on_line": msgspec.to_builtins(port.on_line()),
                "off_line": port.off_line(),
                "strangers": [
                    {
                        "station": each.station, "peer": each.peer, "times": each.times,
                        "ago_s": (now_us - each.at_us) / 1e6,
                    }
                    for each in port.port.strangers
                ],
            }  # fmt: skip

    async def ask(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Ask a station that is on a call something besides its values, or set its clock.

        Without `errand` the answer says what it can be asked. What changes something is done only when it is
        `confirmed`: without it the answer says what would be. An answer is told upstream as an event.
        """
        device, port = self._station(str(request.get("device", "")))
        errands = port.errands(device)
        name = str(request.get("errand", ""))
        if not name:
            yield {"device": device.id, "errands": msgspec.to_builtins(dict(errands))}
            return
        errand = errands.get(name)
        if errand is None:
            raise HeadgateError(
                f"no errand {name}", code="HG-3654", device=device.id, errand=name,
                nearest=nearest(name, errands), known=", ".join(errands) or "-",
            )  # fmt: skip
        words = request.get("arguments")
        arguments = arguments_of(errand, [str(w) for w in words] if isinstance(words, list) else [])
        if arguments is None:
            wanted = " ".join(errand.arguments) or "-"
            raise HeadgateError(
                f"{name} takes {wanted}", code="HG-3656", errand=name, wanted=wanted
            )
        said = {"device": device.id, "errand": name, "arguments": arguments}
        if errand.changes and request.get("confirmed") is not True:
            yield {**said, "changes": True, "asked": False}
            return
        try:
            answered = await port.errand(device, name, arguments)
        except HeadgateError as error:
            self._asked(said, (), error.code)
            raise
        self._asked(said, answered.told, "")
        yield {
            **said, "changes": errand.changes, "asked": True,
            "told": [
                {"name": t.name, "value": _shown(t.value), "unit": t.unit, "at": t.at}
                for t in answered.told
            ],
            "frames": [(f.direction, bytes.fromhex(f.hex).hex(" ")) for f in answered.frames],
            "own_clock": port.port.wall_us() is not None,
        }  # fmt: skip

    def _station(self, named: str) -> tuple[Device, Attendance]:
        """A device on a port, by its id or its address."""
        ports = self._field.ports()
        ours = {n: d for n, d in self._field.devices.items() if d.channel in ports}
        by_address = [d for d in ours.values() if str(d.address) == named]
        device = ours.get(named) or (by_address[0] if len(by_address) == 1 else None)
        if device is None:
            if named in self._field.devices:
                raise HeadgateError("no station", code="HG-3693", device=named)
            near = nearest(named, ours)
            raise HeadgateError("no station", code="HG-9120", device=named, nearest=near)
        return device, ports[device.channel]

    def _asked(self, said: Mapping[str, Any], told: Sequence[Told], code: str) -> None:
        """Upstream as an event: what a station says of itself is kept where its values are."""
        fields: dict[str, str | int | float | bool | None] = {
            "device": said["device"], "errand": said["errand"],
            "arguments": " ".join(said["arguments"].values()), "lines": len(told), "code": code,
        }  # fmt: skip
        for each in told[:MOST_TOLD]:
            when = f"{each.at} " if each.at else ""
            unit = f" {each.unit}" if each.unit else ""
            fields[f"{when}{each.name}"] = f"{_shown(each.value)}{unit}"[:LONGEST_TOLD]
        self._put_item(Event("station-asked", self._env.clock.boottime_us(), fields))

    # ------------------------------------------------------------ discover

    async def discover(self, request: Mapping[str, Any]) -> AsyncIterator[Any]:
        """Look at each address of a line whether anybody is there, who it is and which profile fits."""
        channel_id = str(request.get("channel", ""))
        lines = {line.channel: line for line in self._field.channel_health()}
        if channel_id not in lines:
            raise self._no_channel(channel_id)
        from headgate.runtime.discover import search_of  # a technician's day, not every start

        library = self._library()
        for each in library.profiles.named():
            library.profiles.read(each)
            await asyncio.sleep(0)  # fifty files at once would make looks late
        able = self._drivers().able(lines[channel_id].url.partition(":")[0])
        search = search_of(request, self._field, library, able, channel_id)
        async for told in search.run():
            yield told

    def _no_channel(self, channel_id: str) -> HeadgateError:
        known = {line.channel: line for line in self._field.channel_health()}
        return HeadgateError(
            f"no line {channel_id}",
            code="HG-9147",
            channel=channel_id,
            nearest=nearest(channel_id, known),
        )


def _shown(value: Value) -> str | int | float | bool | None:
    return value.hex() if isinstance(value, bytes) else value
