"""Fire alarm transmitters of GB/T 26875.3-2011 that dial in: what they send is durable, then confirmed.

A fire or a fault goes upstream as an alarm, before anything else and without waiting for room. What is asked
of a transmitter is asked again as clause 6.5 says: ten seconds, three times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from headgate.sdk import (
    AttendingDriver,
    Block,
    Channel,
    ChannelTimeout,
    Deliver,
    Device,
    DeviceRefused,
    Errand,
    Problem,
    ProfileError,
    Quality,
    Roll,
    Told,
    shown,
    zone_problems,
)
from headgate_drivers.gb26875.codec import Codec
from headgate_drivers.gb26875.errands import ERRANDS, asked, told
from headgate_drivers.gb26875.frames import Command, Fault, Frame, encode
from headgate_drivers.gb26875.points import POINT_KEYS, Building, Said, items_of, looks
from headgate_drivers.gb26875.replies import ANSWER_S, RESENDS
from headgate_drivers.gb26875.talk import Known, Talk

_LARGEST = 2**48 - 1


class Gb26875Driver(AttendingDriver):
    """A centre for fire alarm transmitters, one call at a time."""

    name: ClassVar[str] = "gb26875"
    schemes: ClassVar[tuple[str, ...]] = ("gb26875+listen", "gb26875+listen+udp")
    point_keys = POINT_KEYS

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, Known] = {}
        #: How long a transmitter has to answer.
        self.answer_s = ANSWER_S

    def codec(self) -> Codec:
        """For recorded bytes."""
        return Codec()

    def check(self, device: Device) -> None:
        """Raises ProfileError: an address that is none, an item that is none, a zone that is none."""
        problems = []
        address = str(device.address)
        if not address.isdecimal() or not 0 < int(address) <= _LARGEST or address[0] == "0":
            fields: dict[str, str | int | float] = {"device": device.id, "address": address}
            problems.append(Problem(f'device "{device.id}": address', "HG-3671", fields))
        try:
            items_of(device)
        except ProfileError as error:
            problems += error.problems
        problems += zone_problems(device)
        if problems:
            raise ProfileError(problems)

    def replay(self, device: Device, frames: Iterable[tuple[bytes, bytes]]) -> Block:
        """What recorded bytes told last of each point; its time is 0.

        Raises:
            ProfileError: a device that cannot be read.
        """
        names, codec, building = items_of(device), Codec(), Building()
        said: dict[str, Said] = {}
        for _, data in frames:
            for found in codec.feed(data):
                frame = found if isinstance(found, Frame) else found.frame
                if frame is None or (isinstance(found, Fault) and found.code != "bad_field"):
                    continue
                if frame.message is not None:
                    building.alarms(device, frame.message, 0)
                    for look in looks(frame.message, names, building):
                        said.update(look.said)
                if "clock" in names:  # a recording has no other clock than the transmitter's own
                    said[names["clock"]] = 0.0, Quality.GOOD, 0
        return device.partial(0, said)

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call."""
        await Talk(channel, roll, deliver, self._about, self.questions).run()

    def _about(self, device: Device) -> Known:
        return self._known.setdefault(device.number, Known())

    def errands(self, device: Device) -> Mapping[str, Errand]:
        """Questions about itself and the building, its clock, who is on duty."""
        return ERRANDS

    async def errand(
        self, channel: Channel, device: Device, name: str, arguments: Mapping[str, str]
    ) -> Sequence[Told]:
        """Ask, and again after ten seconds or a denial, three times (clause 6.5).

        Raises:
            DeviceRefused: it was denied each time (HG-3672), an argument is none, it has said nothing yet.
            ChannelTimeout: no answer (HG-3673). ChannelClosed: the call ended.
        """
        known = self._known.get(device.number)
        if known is None:
            raise DeviceRefused("it has said nothing yet", code="HG-3658", device=device.id)
        serial, denied = known.centre.number(), False
        for _ in range(1 + RESENDS):
            now = shown(device, channel.wall_us())
            # Anew for each: a clock that is set must be told what time it is then.
            matter = asked(device, name, arguments, now)
            frame = known.centre.say(matter.command, matter.message, serial, now)
            try:
                answer: Frame = await self.questions.ask(
                    channel, device, serial, encode(frame), fits=matter.fits, answer_s=self.answer_s
                )
            except ChannelTimeout:
                continue
            denied = answer.command == Command.DENY
            if not denied:
                return told(answer)
        tries, seconds = 1 + RESENDS, self.answer_s
        if denied:
            raise DeviceRefused("denied", code="HG-3672", device=device.id, tries=tries)
        raise ChannelTimeout(
            "no answer", code="HG-3673", device=device.id, tries=tries, seconds=seconds
        )
