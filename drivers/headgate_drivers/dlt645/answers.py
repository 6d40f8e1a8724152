"""Meters' answers, cut out of whatever comes on the pair."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from headgate.sdk import Frame
from headgate_drivers.dlt645.codec import Codec
from headgate_drivers.dlt645.frames import Fault, encode, same_meter
from headgate_drivers.dlt645.frames import Frame as Telegram


class Answers:
    """Cuts meters' answers out of what comes; the key is the address that was asked, or another's own.

    Our own request, heard again on a pair that echoes, is passed over. `damaged` counts what was none.
    """

    unique_keys = False

    def __init__(self, functions: Iterable[int], address: str) -> None:
        self.damaged = 0
        self._functions = frozenset(functions)
        self._address = address

    def next(self, buffer: bytearray) -> Frame | None:
        """The next answer of any meter, whatever it says."""
        codec = Codec("master", buffer)
        while (event := codec.next()) is not None:
            found = event.frame if isinstance(event, Fault) else event
            if found is None:
                self.damaged += event.consumed > 2 if isinstance(event, Fault) else 0
            elif found.reply and found.function in self._functions:
                mine = same_meter(self._address, found.address)
                key: Hashable = self._address if mine else found.address
                return Frame(key, encode(found))
        return None


def answer_of(payload: bytes) -> Telegram | None:
    """A whole answer read, also one whose values are no numbers."""
    for event in Codec().feed(payload):
        return event.frame if isinstance(event, Fault) else event
    return None


def answer_in(said: bytes, functions: Iterable[int], address: str) -> Telegram | None:
    """The answer of this meter in recorded bytes; None where there is none."""
    frame = Answers(functions, address).next(bytearray(said))
    return answer_of(frame.payload) if frame is not None and frame.key == address else None
