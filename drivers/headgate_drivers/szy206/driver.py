"""Stations of SZY 206-2016 and SL/T 427-2021 that dial in: a centre for them, what it asks, what it moves."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from headgate.sdk import (
    AttendingDriver,
    Block,
    Channel,
    Deliver,
    Device,
    DeviceRefused,
    Errand,
    Origin,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Question,
    Roll,
    SpoolError,
    Told,
    Value,
    shown,
    zone_problems,
)
from headgate_drivers.szy206 import body, errands
from headgate_drivers.szy206.codec import Codec
from headgate_drivers.szy206.errands import ERRANDS, KINDS, SET_CLOCK, lines
from headgate_drivers.szy206.frames import PICTURES, Afn, Fault, encode
from headgate_drivers.szy206.frames import Frame as Telegram
from headgate_drivers.szy206.items import Message
from headgate_drivers.szy206.parts import Assembly
from headgate_drivers.szy206.points import POINT_KEYS, Said, items_of, said_by
from headgate_drivers.szy206.replies import Centre
from headgate_drivers.szy206.switching import MOVES, Outcome, concerns, move, outcome
from headgate_drivers.szy206.talk import EDITIONS, Talk, picture_of, reading_of

log = logging.getLogger(__name__)

#: What a time field holds where nobody knows the time; stations' times have no zone.
_UNKNOWN = datetime(2000, 1, 1)  # noqa: DTZ001
_QUIRKS = (
    ("label", ("auto", "5", "7")), ("words", ("low", "high")), ("edition", ("auto", *EDITIONS)),
    ("asked", ("all", "no", *KINDS)), ("echoes", ("no", "yes")),
)  # fmt: skip


class Szy206Driver(AttendingDriver):
    """A centre for water resources stations, one call at a time."""

    name: ClassVar[str] = "szy206"
    schemes: ClassVar[tuple[str, ...]] = ("szy206+listen", "szy206+listen+udp")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        #: Of each call its port's options, who has which password; and where values go.
        self._calls: dict[Channel, tuple[Mapping[str, Any], Deliver]] = {}
        #: Stations whose time labels have no month.
        self._short: set[str] = set()

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address, an item, a zone or a quirk that is none."""
        problems = []
        address = str(device.address)
        fields: dict[str, str | int | float] = {"device": device.id}
        if len(address) != 10 or not set(address) <= set("0123456789ABCDEF"):
            where = f'device "{device.id}": address'
            problems.append(Problem(where, "HG-3661", fields | {"address": address}))
        for key, allowed in _QUIRKS:
            value = device.quirk(key, allowed[0])
            if value not in allowed:
                wrong = fields | {"key": key, "value": value}
                problems.append(Problem(f"{device.id}: quirks.{key}", "HG-3662", wrong))
        try:
            items_of(device)
        except ProfileError as error:
            problems += error.problems
        problems += zone_problems(device)
        if problems:
            raise ProfileError(problems)

    def check_channel(self, channel: str, options: Mapping[str, Any]) -> Sequence[Problem]:
        """`stations`: a table by address, with the password by reference of those that are moved."""
        table = options.get("stations", {})
        unknown = sorted(set(options) - {"stations"})
        right = isinstance(table, Mapping) and all(
            isinstance(entry, Mapping) and set(entry) == {"password"} for entry in table.values()
        )
        if right and not unknown:
            return ()
        key = unknown[0] if unknown else "stations"
        return (Problem(f'channel "{channel}": options.{key}', "HG-3665", {"key": key}),)

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """What recorded bytes told last of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        names, codec, pictures = items_of(device), Codec(), Assembly()
        said: dict[str, Said] = {}
        told: Telegram | None = None
        for sent, data in frames:
            told = next((each for each in _whole(sent) if each.afn in MOVES), told)
            for found in codec.feed(data):
                frame = found.frame if isinstance(found, Fault) else found
                if frame is None or not frame.up:
                    continue
                if frame.afn in PICTURES:
                    parts = pictures.add(frame)
                    if parts is not None and "picture" in names:
                        said[names["picture"]] = picture_of(b"".join(parts))
                elif (message := body.read(frame, reading_of(device))) is not None:
                    said.update(said_by(message, names))
                    done = _outcome(device, told, frame, message)
                    if done is not None and done.item in names:
                        said[names[done.item]] = done.value, Quality.GOOD, 0
                        continue
                    if (
                        "clock" in names and message.label is not None
                    ):  # a recording has no other clock than the station's own
                        said[names["clock"]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    # ------------------------------------------------------------ what it is asked and told

    def question(self, device: Device, wall_us: int | None) -> Question | None:
        """Values now (B0): several kinds at once, or the one that quirk `asked` names."""
        asked = device.quirk("asked", "all")
        if asked == "no":
            return None
        kind = KINDS[asked]
        data = encode(Centre(str(device.address)).ask_values(kind))
        return Question(data, f"{Afn.ASK_VALUES:02X}.{kind:X}")

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Pumps, valves and gates, the quota, the working mode: sent once; what the answer says of it.

        Raises:
            DeviceRefused: nothing was sent.
            ChannelTimeout, ChannelClosed, ProtocolError: it may have been done, or not.
        """
        wanted = move(device, point, raw)
        centre, now = self._centre(channel, device), shown(device, channel.wall_us()) or _UNKNOWN
        command = wanted(centre, now)

        def fits(frame: Telegram) -> bool:
            return concerns(command, frame.message)

        answer: Telegram = await self.questions.ask(
            channel, device, command.afn, encode(command), fits=fits
        )
        done = _outcome(device, command, answer, answer.message)
        if done is None:
            # No refusal: the standard has none, and one that only repeats the command may have done it.
            raise ProtocolError(
                f"{device.id} did not say that it did it", code="HG-3666", device=device.id,
                point=point,
            )  # fmt: skip
        await self._did(channel, device, point, command, done.value)
        return done.value

    async def _did(
        self, channel: Channel, device: Device, point: str, command: Telegram, value: Value
    ) -> None:
        """What a station did is a value of its point: most tell it in no report."""
        call = self._calls.get(channel)
        if call is None:
            return
        now_us = channel.now_us()
        block = device.partial(now_us, {point: (value, Quality.GOOD, 0)})
        told = b"%d %b" % (now_us, command.data)
        origin = Origin(str(device.address), f"{command.afn:02X}.0", 0, None, told)
        try:
            await call[1]([block], origin)
        except SpoolError as error:
            log.warning("not stored", extra={"device": device.id, "reason": str(error)})

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """Questions 50 to 65, B0, B1 and 61, and the clock, 11."""
        return {} if device.quirk("asked", "all") == "no" else ERRANDS

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        """One of `errands`: what the station answered, line by line."""
        now = shown(device, channel.wall_us())
        if name == SET_CLOCK and now is None:
            raise DeviceRefused("the clock is not trusted", code="HG-3657", device=device.id)
        bare = Centre(str(device.address))
        centre = self._centre(channel, device) if name == SET_CLOCK else bare
        frame = errands.question(centre, device, name, arguments, now or _UNKNOWN)
        answer: Telegram = await self.questions.ask(channel, device, frame.afn, encode(frame))
        if answer.afn in PICTURES:
            return [Told("parts", answer.parts or 1)]
        if answer.message is None:
            raise ProtocolError(f"{device.id}: an answer without data")
        return [*lines(answer.message), *_off(answer.message, now)]

    def _centre(self, channel: Channel, device: Device) -> Centre:
        """Who may move something there: with the station's password.

        Raises:
            DeviceRefused: the site file has none (HG-3663).
        """
        address = str(device.address)
        table = self._calls[channel][0].get("stations", {}) if channel in self._calls else {}
        entry = table.get(address, {})
        password = entry.get("password") if isinstance(entry, Mapping) else None
        if not isinstance(password, str) or len(password) != 4 or not password.isdecimal():
            raise DeviceRefused(
                f"{device.id} has no password", code="HG-3663", device=device.id, address=address
            )
        return Centre(address, password, long_label=address not in self._short)

    def heard(self, channel: Channel, device: Device, frame: Telegram, long_label: bool) -> None:
        """A right frame of a station: what it may answer, and how long its labels are."""
        (self._short.discard if long_label else self._short.add)(frame.address)
        self.questions.heard(channel, device, frame.afn, frame)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        self._calls[channel] = roll.options, deliver
        try:
            await Talk(channel, roll, deliver, self.heard).run()
        finally:
            del self._calls[channel]


def _whole(data: bytes) -> list[Telegram]:
    return [each for each in Codec().feed(data) if isinstance(each, Telegram)]


def _outcome(
    device: Device, command: Telegram | None, answer: Telegram, message: Message | None
) -> Outcome | None:
    if command is None or command.afn != answer.afn:
        return None
    return outcome(command, message, echoes=device.quirk("echoes", "no") == "yes")


def _off(message: Message, now: datetime | None) -> list[Told]:
    """How far a station's clock, where it told it, is before ours."""
    told = dict(message.texts).get("clock")
    if told is None or now is None:
        return []
    return [Told("off", round((datetime.fromisoformat(told) - now).total_seconds()), "s")]
