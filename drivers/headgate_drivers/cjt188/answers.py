"""Meters' answers, cut out of whatever comes on the pair."""

from __future__ import annotations

from collections.abc import Hashable

from headgate.sdk import Frame
from headgate_drivers.cjt188.codec import Codec
from headgate_drivers.cjt188.frames import Fault, encode
from headgate_drivers.cjt188.frames import Frame as Telegram


class Answers:
    """Cuts meters' answers out of what comes; the key is the address, or None with `anybody`.

    Our own request, heard again on a pair that echoes, is passed over. `damaged` counts what was none.
    """

    unique_keys = False

    def __init__(self, function: int | None = None, *, anybody: bool = False) -> None:
        self.damaged = 0
        self._function = function
        self._anybody = anybody

    def next(self, buffer: bytearray) -> Frame | None:
        """The next answer of any meter, whatever it says."""
        codec = Codec("master", buffer)
        while (event := codec.next()) is not None:
            found = event.frame if isinstance(event, Fault) else event
            if found is None:
                self.damaged += 1
            elif found.reply and self._function in (None, found.function):
                key: Hashable = None if self._anybody else found.address
                return Frame(key, encode(found))
        return None


def answer_of(payload: bytes) -> Telegram | None:
    """A whole answer read, also one whose values are no numbers."""
    for event in Codec().feed(payload):
        return event.frame if isinstance(event, Fault) else event
    return None
