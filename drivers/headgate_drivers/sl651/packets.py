"""Bodies sent in several packets (mode M3, clause 6.3.1.2 and tables 18 to 23).

Only the first packet has the serial number and the time. The centre answers once: when all are
there, or to name one packet that it wants again.
"""

from __future__ import annotations

import msgspec

from headgate_drivers.sl651.codec import understand
from headgate_drivers.sl651.fields import Function
from headgate_drivers.sl651.frames import COUNTS, ENDS, LONGEST_BODY, Control, Frame

#: The most that one body in packets may be; a station's picture has a few hundred kilobytes.
MOST_BYTES = 4 * 1024 * 1024
#: The same of what is read item by item: a year of one element by the hour has 35 KB.
MOST_ITEMS_BYTES = 256 * 1024


class Assembly:
    """The packets of one body of one station: in any order, any of them twice."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.total = 0
        self._most = most_bytes
        self._first: Frame | None = None
        self._parts: dict[int, bytes] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def add(self, packet: Frame) -> Frame | None:
        """Take a packet; give the whole as one frame, once all are there.

        A packet of something else begins anew; so does a first packet that says something else. More
        than `most_bytes` are dropped (256 KB of anything but a picture), and `total` is 0 then. What was
        wrong with the body stands in the flaws of the whole's message.
        """
        if not packet.total:
            return None
        if not self._belongs(packet):
            self.forget()
        most = self._most
        if packet.function != Function.PICTURE:
            most = min(most, MOST_ITEMS_BYTES)
        if packet.number not in self._parts:
            if self._size + len(packet.body) > most:
                self.forget()
                return None
            self._parts[packet.number] = packet.body
            self._size += len(packet.body)
        self._first = self._first or packet
        self.total = packet.total
        if len(self._parts) < self.total:
            return None
        whole = msgspec.structs.replace(
            packet,
            body=b"".join(self._parts[number] for number in range(1, self.total + 1)),
            number=self.total,
            end=Control.ETX if Control.ETX in ENDS[packet.direction] else packet.end,
        )
        self.forget()
        return msgspec.structs.replace(whole, message=understand(whole))

    def _belongs(self, packet: Frame) -> bool:
        first = self._first
        if first is None:
            return True
        said = self._parts.get(packet.number)
        return (
            (first.address, first.centre, first.function, first.total, first.coding)
            == (packet.address, packet.centre, packet.function, packet.total, packet.coding)
        ) and (packet.number != 1 or said is None or said == packet.body)

    def missing(self) -> tuple[int, ...]:
        """The numbers that are not there yet, lowest first: each is asked for by itself."""
        return tuple(n for n in range(1, self.total + 1) if n not in self._parts)

    def forget(self) -> None:
        """Begin anew."""
        self.total, self._first, self._parts, self._size = 0, None, {}, 0


def split(frame: Frame, most: int = LONGEST_BODY) -> list[Frame]:
    """A frame as packets whose bodies, counts and all, have at most `most` bytes.

    Raises:
        ValueError: no room for data, or more than 4095 packets.
    """
    room = min(most, LONGEST_BODY) - COUNTS[frame.coding]
    if room < 1 or len(frame.body) > room * 0xFFF:
        raise ValueError(f"{len(frame.body)} bytes in packets of {most}")
    parts = [frame.body[at : at + room] for at in range(0, len(frame.body), room)] or [b""]
    return [
        msgspec.structs.replace(
            frame,
            body=part,
            total=len(parts),
            number=number,
            end=Control.ETX if number == len(parts) else Control.ETB,
            message=None,
        )
        for number, part in enumerate(parts, 1)
    ]
