"""A device's points into what is asked and what is cut, whole frames into columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from headgate.sdk import (
    Block,
    Device,
    Problem,
    ProfileError,
    Quality,
    Status,
    status_word,
)
from headgate_drivers.serial.codec import Check, Number, Rule
from headgate_drivers.serial.rules import MISSING, Frame, Misfit, frame_of, template
from headgate_drivers.serial.values import Found, Place, place_of

#: More separated fields than this are not looked at.
MOST_FIELDS = 128


class Group(NamedTuple):
    """Points that come in one frame: that of a sentence, or the answer to a request."""

    sentence: str
    request: bytes
    points: tuple[int, ...]


class Layout(msgspec.Struct, frozen=True):
    """One device as its frames are read."""

    device: Device
    frame: Frame
    places: tuple[Place, ...]
    groups: tuple[Group, ...]
    #: The device's own address as frames tell it; None when they tell none.
    address: int | str | None

    @property
    def rule(self) -> Rule:
        """How its frames are cut."""
        return self.frame.rule

    def groups_in(self, content: bytes) -> list[Group]:
        """What of this device a frame brings; empty when it is another's."""
        if self.address is not None and self.address_in(content) != self.address:
            return []
        return [group for group in self.groups if self._names(content, group.sentence)]

    def address_in(self, content: bytes) -> int | str | None:
        """The address that a frame tells; None when none is there."""
        place = self.frame.address
        if isinstance(place, Number):
            return place.of(content)
        if place is None:
            return None
        fields = self.fields(content)
        if not -len(fields) <= place < len(fields):
            return None
        return _address(fields[place].decode("latin-1"))

    def _names(self, content: bytes, sentence: str) -> bool:
        if not sentence:
            return True
        body = content[len(self.rule.start) :]
        if not self.frame.nmea:
            return body.startswith(sentence.encode())
        name = body.partition(b",")[0].decode("latin-1")
        # NMEA 0183: two letters of talker, three of sentence; proprietary ones begin with P.
        return name == sentence or (len(name) == 5 and name[0] != "P" and name[2:] == sentence)

    def fields(self, content: bytes) -> list[bytes]:
        """What stands between the separators, start and check left out."""
        if not self.frame.separator:
            return []
        body = content[len(self.rule.start) : _body_end(self.rule.check, content)]
        return body.split(self.frame.separator, MOST_FIELDS)

    def values(self, content: bytes, group: Group) -> dict[int, Found]:
        """(raw value or None, why not) of each point of a group, by point index."""
        fields = self.fields(content)
        return {index: self.places[index].of(content, fields) for index in group.points}

    def block(self, at_us: int, found: dict[int, Found]) -> Block:
        """A block of the points in `found`; of the others it does not speak."""
        points = self.device.points
        said = {
            points[index].point.name: (
                value,
                Quality.BAD if status else Quality.GOOD,
                status_word(status) if status else 0,
            )
            for index, (value, status) in found.items()
        }
        return self.device.partial(at_us, said)


def layout_of(device: Device, *, polled: bool) -> Layout:
    """How a device is read.

    Raises:
        ProfileError: all that is wrong with its frame, points and address.
    """
    frame = frame_of(device)
    problems: list[Problem] = []
    places: list[Place] = []
    wanted: dict[tuple[str, str], list[int]] = {}
    for index, point in enumerate(device.points):
        where = f'device "{device.id}": point "{point.point.name}"'
        try:
            places.append(place_of(point, bool(frame.separator)))
            request = str(point.source.get("request") or frame.request)
            if polled and not request:
                raise Misfit("request", MISSING, "serial-polled asks with one")
            if not polled and request:
                raise Misfit("request", request, 'driver = "serial-polled"')
            sentence = str(point.source.get("sentence") or "")
            wanted.setdefault((sentence, request), []).append(index)
        except Misfit as misfit:
            problems.append(Problem(where, "HG-3400", misfit.fields))
    address: int | str | None = None
    try:
        address = _own_address(device, frame)
        groups = [
            Group(sentence, _request(request, device, frame), tuple(indices))
            for (sentence, request), indices in wanted.items()
        ]
    except Misfit as misfit:
        where = f'device "{device.id}": {misfit.fields["key"]}'
        problems.append(Problem(where, "HG-3400", misfit.fields))
        groups = []
    if problems:
        raise ProfileError(problems)
    return Layout(device, frame, tuple(places), tuple(groups), address)


def _own_address(device: Device, frame: Frame) -> int | str | None:
    if frame.address is None:
        return None
    address = _address(str(device.address))
    if isinstance(frame.address, Number):
        try:
            if not isinstance(address, int):
                raise ValueError(address)
            frame.address.write(address)
        except ValueError:
            raise Misfit("address", device.address, f"{frame.address.size} bytes") from None
    return address


def _request(text: str, device: Device, frame: Frame) -> bytes:
    if not text:
        return b""
    try:
        return template(text, device.address, frame.address, frame.rule.check)
    except ValueError as error:
        raise Misfit("request", text, str(error)) from None


def _address(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) < 20 else text


def _body_end(check: Check | None, content: bytes) -> int:
    """Where a frame's fields end."""
    if check is None:
        return len(content)
    at = check.place.at + len(content) if check.place.at < 0 else check.place.at
    begin = at - len(check.mark)
    if check.mark and content[max(0, begin) : max(0, at)] != check.mark:
        return len(content)  # it has no check value, which is allowed: else it were not whole
    return max(0, begin)


def failed(group: Group, status: Status) -> dict[int, Found]:
    """The points of a group that brought nothing, and why."""
    return dict.fromkeys(group.points, (None, status))


def keys_of(layouts: Sequence[Layout]) -> list[Rule]:
    """The different rules of some devices, each once."""
    return list(dict.fromkeys(layout.rule for layout in layouts))
