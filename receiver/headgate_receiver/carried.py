"""Records that came in a file instead of over the link: the same checks, the same store, no receipts.

The gateway keeps them until a receipt says that they are stored; sent again over the link, they are
recognised and acknowledged then.
"""

from __future__ import annotations

import itertools

from headgate.envelope.carry import carrier, frames
from headgate_receiver.core import Core
from headgate_receiver.store import Sink

#: Records that are committed together.
_TURN = 256


async def take(core: Core, sink: Sink, data: bytes) -> dict[str, int]:
    """Take in a file: `carried` records were in it, `stored` are new, `refused` were not believed.

    Raises:
        EnvelopeError: it is no such file, or damaged: what stands before the damage is stored.
        StoreError: the store refuses.
    """
    sender = carrier(data)
    counts = {"carried": 0, "stored": 0, "refused": 0}
    coming = frames(data)
    while True:
        core.begin()
        some = False
        try:
            for kind, body in itertools.islice(coming, _TURN):
                some = True
                if kind == "grant":
                    await core.grant(body, sender)
                else:
                    counts["carried"] += 1
                    core.record(body, sender)
        finally:
            batch, _ = core.end()
            if not batch.empty:
                sink.commit(batch)
            counts["stored"] += len(batch.records)
            counts["refused"] += len(batch.refusals)
        if not some:
            return counts
