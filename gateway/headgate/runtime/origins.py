"""Which deliveries of stations are on disk already: a station that got no acknowledgement sends again.

A name is remembered once its record is committed, and outlives a power cut: in `state.db`, and, where that
was not written yet, in the clear indexes of the newest records, which are read at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.model import Block, Origin
from headgate.runtime.batch import Committed
from headgate.spool import ClearIndex, Position, State
from headgate.spool.browse import newest_indexes
from headgate.spool.remembered import OriginKey

#: Segments that may hold what was not noted in `state.db` yet; it is written each second.
_NEWEST = 2
#: Names of what lies in memory: it holds less itself. One that is forgotten here is stored once more.
_MOST_HELD = 100_000


class Origins:
    """Names of what was delivered. A delivery of several blocks has a name for each.

    Args:
        holding: whether records lie in memory only, because the disk refuses them.
        index_at: the clear index of a record, None when it is gone.
    """

    def __init__(
        self,
        provider: CryptoProvider,
        state: State,
        holding: Callable[[], bool] = lambda: False,
        index_at: Callable[[Position], ClearIndex | None] = lambda position: None,
    ) -> None:
        self._provider = provider
        self._state = state
        self._holding, self._index_at = holding, index_at
        #: What the disk refused: kept in memory, perhaps on disk later, perhaps given up for room.
        self._held: dict[bytes, tuple[OriginKey, bytes, int, Position]] = {}
        self._known: dict[bytes, OriginKey] = {}
        self._coming: dict[bytes, OriginKey] = {}

    def recall(self, env: Env, folder: Path) -> None:
        """Read what the newest records tell, from a spool folder."""
        noted = {key.digest for key in self._state.origins()}
        for index in newest_indexes(env, folder, _NEWEST):
            for digest in index.origins:
                # Whose it was stands inside of what is sealed; the digest alone says that it is here.
                self._known[digest] = nameless = OriginKey("", "", 0, digest)
                if digest not in noted:
                    # Where the power flickers, each start begins a segment: then it is not among the newest.
                    self._state.keep_origin(nameless, bytes(8), 0)

    def named(self, blocks: Sequence[Block], origin: Origin) -> list[tuple[Block, bytes]]:
        """The blocks with their origin, those that are here already left out."""
        found = []
        for index, block in enumerate(blocks):
            digest = self._digest(origin, index)
            key = OriginKey(origin.station, origin.function, origin.serial, digest)
            if digest in self._held:
                self._look_again(digest)
            if digest in self._known or digest in self._coming or digest in self._held:
                continue  # on disk, or on its way there: `durable` waits for that, too
            if self._state.origin(key) or self._state.origin(OriginKey("", "", 0, digest)):
                continue
            self._coming[digest] = key
            own = Origin(origin.station, origin.function, origin.serial, origin.observed_us, digest)
            found.append((msgspec.structs.replace(block, origin=own), digest))
        return found

    def _look_again(self, digest: bytes) -> None:
        """What was held in memory is on disk now, or was given up, or is held still."""
        if self._holding():
            return
        key, epoch, n, position = self._held.pop(digest)
        index = self._index_at(position)
        if index is not None and digest in index.origins:
            self._state.keep_origin(key, epoch, n)

    def held(self, blocks: Sequence[Block], origin: Origin) -> bool:
        """Whether some of a delivery lies in memory only: it must not be acknowledged."""
        return bool(self._held) and any(
            self._digest(origin, index) in self._held for index in range(len(blocks))
        )

    def _digest(self, origin: Origin, index: int) -> bytes:
        return self._provider.sm3(
            b"%b\0%b\0%d\0%d\0%b"
            % (
                origin.station.encode(), origin.function.encode(), origin.serial, index,
                origin.digest,
            )
        )[:16]  # fmt: skip

    def committed(self, committed: Committed) -> None:
        """What a commit made durable is known from now on; what the disk refused is not."""
        if not self._coming:
            return
        for record, position in zip(committed.records, committed.positions, strict=False):
            for digest in record.index.origins:
                if (key := self._coming.pop(digest, None)) is None:
                    continue
                if committed.refusal is None:
                    self._state.keep_origin(key, record.epoch, record.n)
                else:
                    self._held[digest] = key, record.epoch, record.n, position
        while len(self._held) > _MOST_HELD:
            del self._held[next(iter(self._held))]

    def kept(self, digests: Iterable[bytes]) -> None:
        """These are done with although no record holds them: a stage let nothing of them through."""
        for digest in digests:
            if (key := self._coming.pop(digest, None)) is not None:
                self._state.keep_origin(key, bytes(8), 0)
