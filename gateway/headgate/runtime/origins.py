"""Which deliveries of stations are on disk already: a station that got no acknowledgement sends again.

A name is remembered once its record is committed, and outlives a power cut: in `state.db`, and, where that
was not written yet, in the clear indexes of the newest records, which are read at the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from headgate.crypto.provider import CryptoProvider
from headgate.env import Env
from headgate.model import Block, Origin
from headgate.runtime.batch import Committed
from headgate.spool import State
from headgate.spool.browse import newest_indexes
from headgate.spool.remembered import OriginKey

#: Segments that may hold what was not noted in `state.db` yet; it is written each second.
_NEWEST = 2


class Origins:
    """Names of what was delivered. A delivery of several blocks has a name for each."""

    def __init__(self, provider: CryptoProvider, state: State) -> None:
        self._provider = provider
        self._state = state
        self._known: dict[bytes, OriginKey] = {}
        self._coming: dict[bytes, OriginKey] = {}

    def recall(self, env: Env, folder: Path) -> None:
        """Read what the newest records tell, from a spool folder."""
        for index in newest_indexes(env, folder, _NEWEST):
            for digest in index.origins:
                # Whose it was stands inside of what is sealed; the digest alone says that it is here.
                self._known[digest] = OriginKey("", "", 0, digest)

    def named(self, blocks: Sequence[Block], origin: Origin) -> list[tuple[Block, bytes]]:
        """The blocks with their origin, those that are here already left out."""
        found = []
        for index, block in enumerate(blocks):
            digest = self._provider.sm3(
                b"%b\0%b\0%d\0%d\0%b"
                % (
                    origin.station.encode(), origin.function.encode(), origin.serial, index,
                    origin.digest,
                )
            )[:16]  # fmt: skip
            key = OriginKey(origin.station, origin.function, origin.serial, digest)
            if digest in self._known or digest in self._coming:
                continue  # on disk, or on its way there: `durable` waits for that, too
            if self._state.origin(key) is not None:
                continue
            self._coming[digest] = key
            own = Origin(origin.station, origin.function, origin.serial, origin.observed_us, digest)
            found.append((msgspec.structs.replace(block, origin=own), digest))
        return found

    def committed(self, committed: Committed) -> None:
        """What a commit made durable is known from now on."""
        if committed.refusal is not None or not self._coming:
            return
        for record in committed.records:
            for digest in record.index.origins:
                if (key := self._coming.pop(digest, None)) is not None:
                    self._state.keep_origin(key, record.epoch, record.n)

    def kept(self, digests: Iterable[bytes]) -> None:
        """These are done with although no record holds them: a stage let nothing of them through."""
        for digest in digests:
            if (key := self._coming.pop(digest, None)) is not None:
                self._state.keep_origin(key, bytes(8), 0)
