"""The link certificate that enrolment brought, for links whose site file names none.

Its key lies sealed on disk, so it is handed from memory to memory: whoever holds the identity says once
where to ask, and every new connection asks again. A renewed certificate is shown from then on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec


class Pair(msgspec.Struct, frozen=True):
    """A certificate with the CAs below the root behind it, and its private key, both PEM."""

    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return "<link pair>"


Ask = Callable[[], Pair | None]
_HOLDERS: dict[str, Ask] = {}


def hold(gateway: str, ask: Ask | None) -> None:
    """From now on `ask` answers for this gateway; None: nobody does."""
    if ask is None:
        _HOLDERS.pop(gateway, None)
    else:
        _HOLDERS[gateway] = ask


def held(gateway: str | None) -> Pair | None:
    """The pair of a gateway now; None before enrolment, and where nobody holds an identity."""
    ask = _HOLDERS.get(gateway or "")
    return ask() if ask is not None else None


@contextmanager
def as_files(pair: Pair) -> Iterator[tuple[str, str]]:
    """Names under which a library that reads files alone finds the two; they never touch a disk."""
    descriptors = []
    try:
        for content in (pair.chain, pair.key):
            descriptors.append(os.memfd_create("headgate-link", os.MFD_CLOEXEC))
            os.write(descriptors[-1], content)
        yield tuple(f"/proc/self/fd/{each}" for each in descriptors)  # type: ignore[misc]
    finally:
        for each in descriptors:
            os.close(each)
