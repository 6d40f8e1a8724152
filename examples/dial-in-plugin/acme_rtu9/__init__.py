"""Acme RTU-9 stations that dial in. Lines: Acme RTU-9 manual rev B, chapter 7 (an invented station)."""

from datetime import datetime
from pathlib import Path
from typing import ClassVar

from acme_rtu9.codec import Codec, Fault, Line, line
from headgate.sdk import (
    MOST_FAULTS,
    AttendingDriver,
    Channel,
    Deliver,
    Device,
    DeviceRefused,
    Driver,
    Origin,
    Problem,
    ProfileError,
    Quality,
    Roll,
    SpoolError,
    Unframed,
    Value,
    hookimpl,
    unix_us,
    zone_problems,
)

__all__ = ["RTU9", "headgate_drivers", "headgate_profiles"]

#: What a report's words are, behind its serial number and time.
FIELDS = ("level_mm", "battery_mv")


class RTU9(AttendingDriver):
    """The centre of such stations; `attend` is one call."""

    name = "acme-rtu9"
    schemes = ("acme-rtu9+listen", "acme-rtu9+listen+udp")
    point_keys: ClassVar = {"field": "level_mm, battery_mv, or gate_cm, which can be set"}

    def check(self, device: Device) -> None:
        """Before anything is opened: points that the station does not have, a zone that is none."""
        problems = list(zone_problems(device))
        for each in device.points:
            if each.source.get("field") not in (*FIELDS, "gate_cm"):
                where = f"{device.profile}: {each.point.name}"
                problems.append(
                    Problem(where, "HG-8000", {"text": f"no field of it: {each.source}"})
                )
        if problems:
            raise ProfileError(problems)

    def codec(self) -> Codec:
        """For `headgate decode` and `headgate trace --decode`."""
        return Codec()

    async def attend(self, channel: Channel, roll: Roll, deliver: Deliver) -> None:
        """One call: what is right is stored and acknowledged, in that order."""
        codec, faults = Codec(), 0
        async for piece in channel.frames(Unframed()):
            for found in codec.feed(piece.payload):
                if isinstance(found, Fault):
                    roll.faulty(channel, found.code, piece.payload)
                    faults += 1
                    if faults == MOST_FAULTS:
                        return  # whoever that is speaks something else
                    continue
                device = roll.claim(found.station, channel)
                if device is None:
                    return  # a stranger
                faults = 0
                await self._line(found, channel, device, deliver)

    async def _line(self, said: Line, channel: Channel, device: Device, deliver: Deliver) -> None:
        if said.kind == "DID":
            self.questions.heard(channel, device, said.words[:1], said)
        elif said.kind == "REP" and len(said.words) == 2 + len(FIELDS):
            await self._report(said, channel, device, deliver)

    async def _report(self, said: Line, channel: Channel, device: Device, deliver: Deliver) -> None:
        serial, stamp, *values = said.words
        try:
            at = datetime.strptime(stamp, "%Y%m%d%H%M%S")  # noqa: DTZ007 - of no zone but the station's
            told = dict(zip(FIELDS, (int(value) for value in values), strict=True))
            # What a repetition has in common with the first time, and nothing else has.
            origin = Origin(said.station, "REP", int(serial), None, ",".join(said.words).encode())
        except ValueError:
            return  # a right check and a wrong value: not acknowledged, so somebody will look
        good = {
            each.point.name: (told[str(each.source["field"])], Quality.GOOD, 0)
            for each in device.points
            if each.source["field"] in told
        }
        block = device.partial(channel.now_us(), good, device_time_us=unix_us(device, at))
        try:
            await deliver([block], origin)
        except SpoolError:
            return  # not on disk, so not acknowledged: the station keeps it
        await channel.send(line("ACK", said.station, serial))

    async def write(self, channel: Channel, device: Device, point: str, raw: Value) -> Value:
        """Set the gate's opening, in centimetres; what the station answers is what it did."""
        if not isinstance(raw, int) or not 0 <= raw <= 500:
            raise DeviceRefused(f"{device.id}: a gate opens 0 to 500 cm, not {raw}")
        order = line("SET", device.address, "gate", raw)
        answer = await self.questions.ask(
            channel, device, ("gate",), order, fits=lambda did: did.words[1:] == (str(raw),)
        )
        return int(answer.words[1])


@hookimpl
def headgate_drivers() -> list[type[Driver]]:
    return [RTU9]


@hookimpl
def headgate_profiles() -> list[Path]:
    return [Path(__file__).parent / "profiles"]
