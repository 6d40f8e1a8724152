"""Whether signed records of an epoch fit together: each names the one before it (uplink.md, section 5).

A record that does not fit, though both signatures hold, means that the signing key is used in two places. All
of it is stored; what is missing in between shows in the view `chain_gaps`.
"""

from __future__ import annotations

from headgate_receiver.store import OpenRecord, Sink


class Links:
    """Looks at each signed record beside its neighbours. Remembers what this turn will commit."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.begin()

    def begin(self) -> None:
        """A new turn: what came in the last one is in the store."""
        self._fresh: dict[tuple[str, bytes, int], tuple[bytes, bytes]] = {}

    def fit(self, record: OpenRecord) -> bool:
        """Whether a record and its neighbours follow each other, as far as they are here."""
        signed = record.signed
        if signed is None:
            return True
        gateway, epoch, n = record.gateway, record.epoch, record.n
        self._fresh[gateway, epoch, n] = signed.link, signed.previous
        before, after = self._of(gateway, epoch, n - 1), self._of(gateway, epoch, n + 1)
        return (before is None or before[0] == signed.previous) and (
            after is None or after[1] == signed.link
        )

    def _of(self, gateway: str, epoch: bytes, n: int) -> tuple[bytes, bytes] | None:
        """The link of a record and the one that it names before it."""
        fresh = self._fresh.get((gateway, epoch, n))
        return self._sink.link(gateway, epoch, n) if fresh is None else fresh
