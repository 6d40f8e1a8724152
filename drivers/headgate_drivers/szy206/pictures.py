"""Pictures that come in parts, counted down to 1 (DIVS). Bounded; a part may come twice."""

from __future__ import annotations

from headgate_drivers.szy206.frames import Frame

MOST_BYTES = 1024 * 1024


class Assembly:
    """The parts of one picture of one station."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._address = ""
        self._parts: dict[int, bytes] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def add(self, part: Frame) -> bytes | None:
        """Take a part; give the picture once all are there, from the highest number down to 1.

        The first part has the highest number; a higher one, or another beginning, begins anew.
        """
        number = part.parts or 1
        highest = max(self._parts, default=0)
        other = number in self._parts and self._parts[number] != part.data
        if part.address != self._address or number > highest or other:
            self.forget()
            self._address = part.address
        if number not in self._parts:
            if self._size + len(part.data) > self._most:
                self.forget()
                return None
            self._parts[number] = part.data
            self._size += len(part.data)
        if set(self._parts) != set(range(1, max(self._parts) + 1)):
            return None
        whole = b"".join(self._parts[each] for each in sorted(self._parts, reverse=True))
        self.forget()
        return whole

    def forget(self) -> None:
        """Begin anew."""
        self._address, self._parts, self._size = "", {}, 0
