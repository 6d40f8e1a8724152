"""What the state hands out: grants, starts of the gateway, dead letters, names of deliveries."""

from __future__ import annotations

import msgspec


class Grant(msgspec.Struct, frozen=True):
    """A grant that was issued: `wrap` is the secret under the local key, or None; `message` as sent."""

    key_id: bytes
    epoch: bytes
    core: bytes
    wrap: bytes | None
    message: bytes | None
    created: int


class Epoch(msgspec.Struct, frozen=True):
    """One start of the gateway. `last_n` is the last n it is known to have committed."""

    epoch: bytes
    boot: bytes
    previous: bytes | None
    last_n: int | None
    started: int


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that a platform refused for good, kept for people to look at; None: no data was kept."""

    uplink: str
    epoch: bytes
    n: int
    key_id: bytes
    reason: str
    at: int
    data: bytes | None = None


class OriginKey(msgspec.Struct, frozen=True):
    """What makes two deliveries the same one."""

    station: str
    function: str
    serial: int
    digest: bytes
