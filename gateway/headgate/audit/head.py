"""The head of the log: "up to entry n the log is this", signed, so that it can be shown elsewhere.

A head stands in the log itself and travels up as an event of kind `audit-head`. Whoever holds one finds
every later change of what it covers, also a tail that was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

#: The event that carries a head up.
EVENT: Final = "audit-head"
_LABEL: Final = b"headgate-audit-head-v1"


class Signer(Protocol):
    """Who signs heads: the gateway's own key, or a module that holds it. Called in the log's thread."""

    @property
    def key(self) -> bytes:
        """SM3 of the SubjectPublicKeyInfo, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """An SM2 signature, DER. Raises SecurityError."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Entry `seq` of a log has the digest `sm3`. `log`, `sm3`, `key`, `signature` are hexadecimal."""

    gateway: str
    log: str
    seq: int
    sm3: str
    key: str
    signature: str

    def message(self) -> bytes:
        """What is signed."""
        return statement(self.gateway, self.log, self.seq, self.sm3)

    def fields(self) -> dict[str, str | int | float | bool | None]:
        """As an entry's or an event's fields; the gateway is known from what they stand in."""
        return {
            "log": self.log, "seq": self.seq, "sm3": self.sm3, "key": self.key,
            "signature": self.signature,
        }  # fmt: skip


def statement(gateway: str, log: str, seq: int, sm3: str) -> bytes:
    """The exact bytes under a head's signature: one text per line, so that a shell can make them."""
    return b"\n".join((_LABEL, gateway.encode(), log.encode(), b"%d" % seq, sm3.encode())) + b"\n"


def from_fields(gateway: str, fields: Mapping[str, object]) -> Head | None:
    """The head that an entry's or an event's fields tell; None when they tell none."""
    wanted = {name: fields.get(name) for name in ("log", "seq", "sm3", "key", "signature")}
    try:
        return msgspec.convert({"gateway": gateway, **wanted}, Head)
    except msgspec.ValidationError:
        return None
