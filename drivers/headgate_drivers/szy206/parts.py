"""Messages that come in parts, counted down to 1 (DIVS): pictures, long reports. Bounded."""

from __future__ import annotations

from headgate_drivers.szy206.frames import Frame

MOST_BYTES = 1024 * 1024


class Assembly:
    """The parts of one message of one station."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._address = ""
        self._parts: dict[int, bytes] = {}
        self._size = 0
        self._whole: list[bytes] = []

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def add(self, part: Frame) -> list[bytes] | None:
        """Take a part; give all once they are there, from the highest number down to 1.

        The first part has the highest number; a higher one, or another beginning, begins anew. The last
        part once more is the whole again: its confirmation was lost.
        """
        number = part.parts or 1
        again = not self._parts and number == 1 and part.address == self._address
        if again and self._whole and self._whole[-1] == part.data:
            return self._whole
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
        whole = [self._parts[each] for each in sorted(self._parts, reverse=True)]
        self.forget()
        self._address, self._whole = part.address, whole
        return whole

    def forget(self) -> None:
        """Begin anew."""
        self._address, self._parts, self._size, self._whole = "", {}, 0, []
