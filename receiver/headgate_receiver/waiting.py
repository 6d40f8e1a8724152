"""Records that wait for a grant or a table, kept with everything else until it comes.

A convenience: the gateway keeps them too, so what is held is bounded and the rest comes again.
"""

from __future__ import annotations

from typing import Final

from headgate.crypto.provider import CryptoProvider
from headgate_receiver.store import Batch, Held, Sink

MAX_HELD: Final = 64 * 1024 * 1024


class Waiting:
    """What waits, in memory and in the batch of this turn.

    `batch` is set at the beginning of each turn.
    """

    def __init__(self, provider: CryptoProvider, sink: Sink, batch: Batch, limit: int) -> None:
        self._provider = provider
        self.batch = batch
        self._limit = limit
        self._held = {each.digest: each for each in sink.held()}
        self.size = sum(len(each.data) for each in self._held.values())

    def hold(self, data: bytes, sender: str, waits_for: bytes) -> None:
        """Keep a record until `release(waits_for)`; not when there is no room, or it is kept already."""
        digest = self._provider.sm3(data)
        if digest in self._held or self.size + len(data) > self._limit:
            return
        held = Held(digest, sender, waits_for, data)
        self._held[digest] = held
        self.size += len(data)
        self.batch.held.append(held)

    def release(self, key: bytes) -> list[Held]:
        """What waited for this grant or table, to be judged again; it waits no more."""
        waiting = [each for each in self._held.values() if each.waits_for == key]
        for held in waiting:
            del self._held[held.digest]
            self.size -= len(held.data)
            if held in self.batch.held:
                self.batch.held.remove(held)
            else:
                self.batch.released.append(held.digest)
        return waiting
