"""Packets that are parts of one (clause 6.3.2, annex C.49 and C.50): PNUM says how many, PNO which.

Each part has a QN of its own and is answered by itself. A part is cut between items and repeats DataTime,
so it can be read by itself too.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from headgate_drivers.hj212 import data
from headgate_drivers.hj212.data import Record
from headgate_drivers.hj212.frames import LONGEST_DATA, Flag, Packet, segment

#: The most that the parts of one packet may be.
MOST_BYTES = 1024 * 1024


class Assembly:
    """The parts of one packet of one device: in any order, any of them twice."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._key: tuple[str, ...] = ()
        self._parts: dict[int, Packet] = {}
        self._size = 0
        self.total = 0

    @property
    def size(self) -> int:
        """How many characters are kept."""
        return self._size

    def add(self, part: Packet) -> Packet | None:
        """Take a part; give the whole, once all are there. A part of something else begins anew.

        The whole has PNUM and PNO of none and the parts' items in their order. More than `most_bytes` are
        dropped, and `total` is 0 then.
        """
        if part.pnum <= 1:
            return part
        # Each part has its own QN: device, command and time are what they share.
        key = (part.mn, part.st, part.cn, str(part.pnum), _time(part))
        if key != self._key:
            self.forget()
        self._key, self.total = key, part.pnum
        if part.pno not in self._parts:
            if self._size + len(part.cp) > self._most:
                self.forget()
                return None
            self._parts[part.pno] = part
            self._size += len(part.cp)
        if len(self._parts) < self.total:
            return None
        ordered = [self._parts[number] for number in sorted(self._parts)]
        self.forget()
        return msgspec.structs.replace(ordered[0], pnum=0, pno=0, cp=_joined(ordered))

    def missing(self) -> tuple[int, ...]:
        """The numbers of the parts that are not there yet, lowest first."""
        return tuple(n for n in range(1, self.total + 1) if n not in self._parts)

    def forget(self) -> None:
        """Begin anew."""
        self._key, self._parts, self._size, self.total = (), {}, 0, 0


def _time(part: Packet) -> str:
    return data.read(part.cp)[0].time or part.qn


def _joined(parts: list[Packet]) -> str:
    records: list[Record] = []
    for part in parts:
        for record in data.read(part.cp):
            if records and record.time in (None, records[-1].time):
                before = records.pop()
                record = Record(
                    before.time,
                    before.items + tuple(item for item in record.items if item not in before.items),
                    before.factors + record.factors,
                )
            records.append(record)
    return data.write(records)


def split(packet: Packet, most: int = LONGEST_DATA) -> list[Packet]:
    """A packet as parts of at most `most` bytes of data; itself where it has room.

    The first keeps the QN, each later one has the next millisecond.

    Raises:
        ValueError: one item alone has no room.
    """
    if len(segment(packet)) <= most:
        return [packet]
    flag = packet.flag or Flag(0, split=True, answer=False)
    flag = Flag(flag.version, split=True, answer=flag.answer)
    empty = msgspec.structs.replace(packet, flag=flag, pnum=9999, pno=9999, cp="")
    room = most - len(segment(empty))
    found: list[Record] = []
    for record in data.read(packet.cp):
        # Every part repeats DataTime; what has no factor stands in the first one.
        current = Record(record.time, record.items, ())
        for factor in record.factors:
            longer = Record(current.time, current.items, (*current.factors, factor))
            if len(data.write([longer]).encode()) > room and (current.factors or current.items):
                found.append(current)
                longer = Record(record.time, (), (factor,))
            current = longer
        found.append(current)
    for each in found:
        if len(data.write([each]).encode()) > room:
            raise ValueError(f"one item alone is longer than {room} bytes")
    return [
        msgspec.structs.replace(
            packet,
            qn=_later(packet, number - 1),
            flag=flag,
            pnum=len(found),
            pno=number,
            cp=data.write([each]),
        )
        for number, each in enumerate(found, 1)
    ]


def _later(packet: Packet, milliseconds: int) -> str:
    at = packet.asked_at
    if at is None:
        return packet.qn
    at += timedelta(milliseconds=milliseconds)
    return f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03}"
