"""What a receipt names, once the core has verified it. Pure.

The core frees records; this tells the window which of them need not be waited for any longer.
Source: docs/reference/uplink.md, section 9.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import msgspec

#: Size limit of a receipt, checked before anything is decoded.
MOST_BYTES = 64 * 1024

_HEAD = 4
_REFUSED, _DID_NOT_OPEN = 1, 4


class _Receipt(msgspec.Struct, frozen=True, array_like=True):
    body: bytes
    signature: bytes


class _Body(msgspec.Struct, frozen=True, array_like=True):
    label: str
    gateway: str
    epoch: bytes
    serial: int
    floor: int
    stored: tuple[tuple[int, int], ...]
    # Any: msgspec cannot tell str from bytes inside a union.
    verdicts: tuple[tuple[int, int, Any], ...]


_receipt = msgspec.msgpack.Decoder(_Receipt)
_body = msgspec.msgpack.Decoder(_Body)


class Named(msgspec.Struct, frozen=True):
    """The records of one epoch that a receipt settles, for good or as refused."""

    epoch: bytes
    floor: int
    stored: tuple[tuple[int, int], ...]
    refused: frozenset[int]
    unopened: tuple[tuple[int, str], ...]

    def settles(self, epoch: bytes, n: int) -> bool:
        """Whether this record need not be waited for."""
        if epoch != self.epoch:
            return False
        if n < self.floor or n in self.refused:
            return True
        at = bisect_right(self.stored, n, key=lambda pair: pair[0]) - 1
        return at >= 0 and n <= self.stored[at][1]


def named(message: bytes) -> Named | None:
    """What a verified receipt names; None when it has a form we do not know."""
    try:
        body = _body.decode(_receipt.decode(message[_HEAD:]).body)
    except msgspec.MsgspecError:
        return None
    return Named(
        body.epoch,
        body.floor,
        tuple(sorted(body.stored)),
        frozenset(n for n, code, _ in body.verdicts if code == _REFUSED),
        tuple((n, str(detail)) for n, code, detail in body.verdicts if code == _DID_NOT_OPEN),
    )
