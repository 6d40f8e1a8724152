"""The starts of the gateway, as remembered: which came before which, and how far each came."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import msgspec

from headgate.spool.remembered import Epoch

Link = tuple[bytes | None, int | None]


class Epochs:
    """Starts by their epoch. Keeps the last `most`, and those that something is still remembered of.

    Args:
        note: called with each start that is new or has changed.
        forget: called with each epoch that is forgotten.
    """

    def __init__(
        self, most: int, note: Callable[[Epoch], None], forget: Callable[[bytes], None]
    ) -> None:
        self._most = most
        self._note = note
        self._forget = forget
        self._epochs: dict[bytes, Epoch] = {}
        #: The epoch of this start; empty until it has begun.
        self.current = b""

    def known(self, epochs: dict[bytes, Epoch]) -> None:
        """What the database has."""
        self._epochs = epochs

    def begin(self, epoch: bytes, boot: bytes, found: Link, kept: Callable[[], Set[bytes]]) -> Link:
        """Start an epoch; the (previous epoch, last n committed there) to be announced in its link.

        Args:
            found: newest epoch and highest n of the spool's scan. It counts wherever it knows the epoch: the
                database is behind by a flush, or gone, or from a backup. It is behind only when the newest
                records were settled and let go.
            kept: epochs that must not be forgotten.
        """
        previous = self._before(found)
        if previous[0] in self._epochs and previous[1] is not None:
            # The spool may forget it: its last record may rot, or be delivered and let go.
            self.committed(previous[0], previous[1])
        started = max((known.started for known in self._epochs.values()), default=0) + 1
        known = self._epochs[epoch] = Epoch(epoch, boot, previous[0], None, started)
        self.current = epoch
        self._note(known)
        self._forget_old(kept)
        return previous

    def _before(self, found: Link) -> Link:
        epoch, last_n = found
        newest = max(
            (known for known in self._epochs.values() if known.last_n is not None),
            key=lambda known: known.started, default=None,
        )  # fmt: skip
        if epoch is None:
            return (newest.epoch, newest.last_n) if newest else (None, None)
        known = self._epochs.get(epoch)
        if newest is None:
            return epoch, last_n
        if known is None:
            # Of a memory from a backup, or begun anew: what a start named as the one before it is older.
            named = any(each.previous == epoch for each in self._epochs.values())
            return (newest.epoch, newest.last_n) if named else (epoch, last_n)
        if known.started < newest.started:
            return newest.epoch, newest.last_n
        return epoch, max((n for n in (last_n, known.last_n) if n is not None), default=None)

    def _forget_old(self, kept: Callable[[], Set[bytes]]) -> None:
        """A box that starts again and again keeps the links of its last starts, and what is in the spool."""
        if len(self._epochs) <= self._most:
            return
        needed = kept()
        for known in self.all()[: -self._most]:
            if known.epoch not in needed:
                del self._epochs[known.epoch]
                self._forget(known.epoch)

    def committed(self, epoch: bytes, n: int) -> None:
        """A record of this epoch is durable."""
        known = self._epochs[epoch]
        if known.last_n is None or n > known.last_n:
            self._epochs[epoch] = known = msgspec.structs.replace(known, last_n=n)
            self._note(known)

    def all(self) -> Sequence[Epoch]:
        """Every start remembered, oldest first."""
        return sorted(self._epochs.values(), key=lambda known: known.started)
