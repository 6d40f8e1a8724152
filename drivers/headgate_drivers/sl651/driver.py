"""Stations of SL 651-2014 that dial in: what they report is on disk before it is confirmed.

Modes M1 to M4: a station on a call is also asked (36 to 51), told the time (4A) and commanded (4C to 4F).
A frame that is wrong is not answered (clause 6.3.1.2), so the station sends again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from headgate.sdk import (
    AttendingDriver,
    Block,
    Channel,
    Deliver,
    Device,
    DeviceRefused,
    Errand,
    Problem,
    ProfileError,
    ProtocolError,
    Quality,
    Question,
    Roll,
    Told,
    Value,
    shown,
    zone_problems,
)
from headgate_drivers.sl651.answers import lines, off_by
from headgate_drivers.sl651.codec import Codec
from headgate_drivers.sl651.errands import ERRANDS, SET_CLOCK, frames
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import Fault, encode
from headgate_drivers.sl651.frames import Frame as Telegram
from headgate_drivers.sl651.items import Message
from headgate_drivers.sl651.packets import Assembly
from headgate_drivers.sl651.points import POINT_KEYS, Said, items_of, looks
from headgate_drivers.sl651.replies import Centre
from headgate_drivers.sl651.switching import FUNCTIONS, function_of, move
from headgate_drivers.sl651.talk import CLOCK_OFF, UNKNOWN, Listens, Talk

#: How long a state that is not the wanted one may still be followed by another; quirk `settle_s`.
SETTLE_S = 1.0


class Sl651Driver(AttendingDriver):
    """A centre for stations of SL 651, one call at a time."""

    name: ClassVar[str] = "sl651"
    schemes: ClassVar[tuple[str, ...]] = ("sl651+listen", "sl651+listen+udp")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        #: How each station spoke last: a question must bear its centre, password and coding.
        self._heads: dict[str, Telegram] = {}
        #: What each told last of its pumps, valves and gates on its present call, by function.
        self._told: dict[tuple[Channel, str, int], Message] = {}

    def question(self, device: Device, wall_us: int | None) -> Question | None:
        """Function 37: what it measures now (clause 6.6.4.10); None for stations that know no questions."""
        head = self._heads.get(str(device.address))
        if head is None or device.quirk("asked", "yes") == "no":
            return None
        centre = Centre(head.centre, head.address, head.password, head.coding)
        now = shown(device, wall_us) or UNKNOWN
        return Question(encode(centre.ask(Function.ASK_NOW, now)), f"{Function.ASK_NOW:02X}")

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def says(self, frame: Telegram) -> Iterable[Told]:
        """The elements by their names."""
        return () if frame.message is None else lines(frame.message)

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address that is no station's, an item that is none."""
        problems = []
        if not _is_address(str(device.address)):
            fields: dict[str, str | int | float] = {
                "device": device.id, "address": str(device.address),
            }  # fmt: skip
            problems.append(Problem(f'device "{device.id}": address', "HG-3611", fields))
        try:
            items_of(device)
        except ProfileError as error:
            problems += error.problems
        problems += zone_problems(device)
        if problems:
            raise ProfileError(problems)

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """What the last report of recorded bytes told last of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        names, codec, packets = items_of(device), Codec(), Assembly()
        said: dict[str, Said] = {}
        for _, data in frames:
            for found in codec.feed(data):
                frame = found.frame if isinstance(found, Fault) else found
                if frame is not None and frame.total:
                    frame = packets.add(frame)
                if frame is not None and frame.message is not None:
                    said = {}
                    for look in looks(frame.message, names, frame.function):
                        said.update(look.said)
                    if "clock" in names:  # a recording has no other clock than the station's own
                        said[names["clock"]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    # ------------------------------------------------------------ what it is told and asked

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Pumps, valves, gates, quota (4C to 4F), sent once; what the station's answer says of the point.

        Raises:
            DeviceRefused: nothing was sent.
            ChannelTimeout, ChannelClosed: it may have been done, or not.
            ProtocolError: the answer says nothing of the point.
        """
        station = str(device.address)
        place = next((p for p in device.points if p.point.name == point), None)
        function = None if place is None else function_of(str(place.source.get("item", "")))
        told = None if function is None else self._told.get((channel, station, function))
        wanted = move(device, point, raw, told)
        centre, now = self._centre(device), shown(device, channel.wall_us()) or UNKNOWN

        def fits(frame: Telegram) -> bool:
            return frame.message is not None and wanted.back(frame.message) == raw

        answer: Telegram = await self.questions.ask(
            channel, device, wanted.function, encode(wanted.frame(centre, now)), fits=fits
        )
        if not fits(answer):
            # It told how things were before they moved, or tells a change of its own: the next word counts.
            settled = float(device.quirks.get("settle_s", SETTLE_S))
            later = await self.questions.next(channel, device, wanted.function, settled)
            answer = answer if later is None else later
        back = None if answer.message is None else wanted.back(answer.message)
        if back is None:
            raise ProtocolError(f"{device.id}: an answer that says nothing of {point}")
        return back

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """Functions 36 to 3A, 41, 43 to 46, 50, 51, and the clock, 4A."""
        return {} if device.quirk("asked", "yes") == "no" else ERRANDS

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        """One of `errands`: what the station answered, line by line."""
        wall = shown(device, channel.wall_us())
        if name == SET_CLOCK and wall is None:
            raise DeviceRefused("the clock is not trusted", code="HG-3657", device=device.id)
        told: list[Told] = []
        asked = frames(self._centre(device), device, name, arguments, wall or UNKNOWN)
        for question in asked:
            answer = await self._answer(channel, device, question)
            told += lines(answer)
        if name == SET_CLOCK and wall is not None:
            off = off_by(answer, wall)
            if off is not None and abs(off) > CLOCK_OFF:  # twice then, clause 6.6.4.24
                now = shown(device, channel.wall_us()) or wall
                again = self._centre(device).set_clock(now)
                answer = await self._answer(channel, device, again)
        if name in (SET_CLOCK, "clock"):
            told.append(Told("clock", "" if answer.sent_at is None else str(answer.sent_at)))
            since = shown(device, channel.wall_us())
            off = None if since is None else off_by(answer, since)
            if off is not None:
                told.append(Told("off", round(off.total_seconds()), "s"))
        return told

    async def _answer(self, channel: Channel, device: Device, question: Telegram) -> Message:
        answer: Telegram = await self.questions.ask(
            channel, device, question.function, encode(question)
        )
        if answer.message is None:
            raise ProtocolError(f"{device.id}: an answer without a body")
        return answer.message

    def _centre(self, device: Device) -> Centre:
        """Whom a station takes a question of: the centre, password and coding that it speaks with itself.

        Raises:
            DeviceRefused: it has said nothing yet.
        """
        head = self._heads.get(str(device.address))
        if head is None:
            raise DeviceRefused("it has said nothing yet", code="HG-3658", device=device.id)
        return Centre(head.centre, head.address, head.password, head.coding)

    def spoke(self, frame: Telegram) -> None:
        """How a station speaks: a question must bear its centre, password and coding."""
        self._heads[frame.address] = msgspec.structs.replace(frame, body=b"", message=None)

    def heard(self, channel: Channel, device: Device, frame: Telegram) -> None:
        """A whole frame of a station: what it may answer, and what it tells of its pumps and gates."""
        if frame.message is None:
            return
        if frame.function in FUNCTIONS and frame.message.items:
            self._told[channel, frame.address, frame.function] = frame.message
        self.questions.heard(channel, device, frame.function, frame)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        try:
            await Talk(channel, roll, deliver, Listens(self.spoke, self.heard)).run()
        finally:
            for key in [key for key in self._told if key[0] is channel]:
                del self._told[key]


def _is_address(text: str) -> bool:
    return len(text) == 10 and all(digit in "0123456789ABCDEF" for digit in text)
