"""Whether one gateway lives twice: what the links between its starts say. Source: uplink.md, section 2.

Three things are told, each once, as an alarm whose source is the receiver:

- `epoch-fork`: two starts name the same one before them. A clone, or an image that was restored.
- `epoch-beyond`: a start went on after the point up to which the next one knows it. The clone of a box
  that runs on, an image restored from before, or a disk that lost what it had promised.
- `epoch-anew`: a second start knows none before it. The state folder was lost or replaced, or another
  box has this identity.

A fourth is found in the links between signed records (`links.py`):

- `chain-fork`: a record does not follow the one before it, though the gateway signed both.

All that comes is stored all the same: records of two lives have different epochs and never meet.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from headgate.envelope.ranges import RangeSet
from headgate.model import EpochLink, Event, Item
from headgate_receiver.store import Before, Fork, Sink

log = logging.getLogger(__name__)

#: The event in which a gateway tells the link of an epoch whose first record it has no more.
TOLD: Final = "epoch"
_REMEMBERED: Final = 20_000
_Name = tuple[str, bytes]


class Link(msgspec.Struct, frozen=True):
    """An epoch and what it says of the one before."""

    epoch: bytes
    previous: bytes | None
    last_n: int | None


def links(epoch: bytes, n: int, items: Sequence[Item]) -> list[Link]:
    """Every link that a record brings: its own, and those told of epochs whose first record is gone."""
    found = []
    for item in items:
        if type(item) is EpochLink and n == 0:
            found.append(Link(epoch, item.previous, item.last_n))
        elif type(item) is Event and (told := told_link(item)) is not None:
            found.append(told)
    return found


def told_link(event: Event) -> Link | None:
    """The link that an event tells; None where it is another event, or makes no sense."""
    if event.kind != TOLD:
        return None
    epoch, previous = event.fields.get("epoch"), event.fields.get("previous")
    last_n = event.fields.get("last_n")
    if not isinstance(epoch, str) or not isinstance(previous, str):
        return None
    try:
        names = bytes.fromhex(epoch), bytes.fromhex(previous)
    except ValueError:
        return None
    if len(names[0]) != 8 or len(names[1]) != 8:
        return None
    return Link(*names, last_n if type(last_n) is int and last_n >= 0 else None)


class Forks:
    """Looks at links and numbers as they come. Remembers only what the store has or will have."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        #: The lowest last n that a later start names of an epoch; None: none was named.
        self._ends: OrderedDict[_Name, int | None] = OrderedDict()
        self._fresh: dict[tuple[str, bytes | None], set[bytes]] = {}

    def begin(self) -> None:
        """A new turn: what came in the last one is in the store."""
        self._fresh = {}
        while len(self._ends) > _REMEMBERED:
            self._ends.popitem(last=False)

    def linked(self, gateway: str, link: Link, stored_before: RangeSet | None) -> list[Fork]:
        """What a link shows. `stored_before`: what is stored of the epoch that it names."""
        known = self._sink.before(gateway, link.epoch)
        if known == Before(link.previous or b"", link.last_n):
            return []
        fresh = self._fresh.setdefault((gateway, link.previous), set())
        others = {*self._sink.successors(gateway, link.previous), *fresh, link.epoch}
        fresh.add(link.epoch)
        found = []
        if len(others) > 1:
            code = "epoch-anew" if link.previous is None else "epoch-fork"
            found.append(Fork(gateway, link.previous, tuple(sorted(others)), code))
        if link.previous is not None and link.last_n is not None:
            name = gateway, link.previous
            end = self._end(name)
            self._ends[name] = link.last_n if end is None else min(end, link.last_n)
            last = None if stored_before is None else stored_before.last
            if last is not None and last > link.last_n:
                found.append(Fork(gateway, link.previous, (link.epoch,), "epoch-beyond"))
        return found

    def came(self, gateway: str, epoch: bytes, n: int) -> Fork | None:
        """What the number of a record shows."""
        name = gateway, epoch
        end = self._end(name)
        if end is None or n <= end:
            return None
        # Said once; what comes after is the same story.
        self._ends[name] = None
        return Fork(gateway, epoch, (), "epoch-beyond")

    def _end(self, name: _Name) -> int | None:
        if name not in self._ends:
            self._ends[name] = self._sink.end(*name)
        return self._ends[name]


def text(fork: Fork) -> str:
    """The alarm's text, in the words of the module's docstring."""
    epochs = ", ".join(each.hex() for each in fork.epochs)
    previous = "" if fork.previous is None else fork.previous.hex()
    if fork.code == "epoch-anew":
        return (
            f"epochs {epochs} know none before them: the state was lost, or two boxes have one name"
        )
    if fork.code == "chain-fork":
        return f"record {fork.n} of epoch {previous} does not fit those beside it: two boxes sign"
    if fork.code == "epoch-beyond":
        return f"epoch {previous} went on after the point up to which the next start knows it"
    return f"epochs {epochs} all follow {previous}: a clone, or a restored image"


#: OPC 10000-9 severities of the alarms.
SEVERITY: Final = {
    "epoch-fork": 900,
    "epoch-beyond": 700,
    "epoch-anew": 500,
    "chain-fork": 900,
}
