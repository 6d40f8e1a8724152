"""What is selected: one-use tokens in memory, one for each device, good for seconds of the boot clock."""

from __future__ import annotations

from typing import Final

import msgspec

from headgate.envelope.command import Content
from headgate.runtime.commands.allowed import Refusal

TOKEN_SIZE: Final = 16


class Selection(msgspec.Struct, frozen=True):
    """One device, reserved for one content of one issuer. `request` is the SM3 of the SELECT's body.

    `pending`: a fresh reading is still awaited; nobody has been told the token.
    """

    token: bytes
    content: Content
    issuer: bytes
    who: str
    uplink: str
    request: bytes
    born_us: int
    number: int = 0
    pending: bool = False


class Selections:
    """The tokens that are out. Times are boottime, which nobody sets."""

    def __init__(self, life_us: int) -> None:
        self.life_us = life_us
        self._held: dict[str, Selection] = {}

    def holder(self, device: str, now_us: int) -> Selection | None:
        """Who has selected a device now."""
        held = self._held.get(device)
        if held is None or held.pending or now_us - held.born_us < self.life_us:
            return held
        return None

    def left_ms(self, selection: Selection, now_us: int) -> int:
        """How long a token is still good for."""
        return max(0, self.life_us - (now_us - selection.born_us)) // 1000

    def put(self, selection: Selection) -> None:
        """Reserve a device."""
        self._held[selection.content.device] = selection

    def drop(self, device: str) -> Selection | None:
        """Free a device; what was selected, be it too old."""
        return self._held.pop(device, None)

    def over(self, now_us: int) -> list[Selection]:
        """Selections that have become too old; each is told once."""
        held = [s for s in self._held.values() if not s.pending]
        old = [s for s in held if now_us - s.born_us >= self.life_us]
        for selection in old:
            del self._held[selection.content.device]
        return old

    def all(self) -> list[Selection]:
        """Everything that is out."""
        return list(self._held.values())

    def redeem(
        self, token: bytes | None, content: Content, issuer: bytes, now_us: int
    ) -> Selection:
        """The selection that a token stands for; it is used up, also when it does not fit.

        Raises:
            Refusal: HG-6504 unknown, another issuer's, used or too old; HG-6505 other content.
        """
        held = self.holder(content.device, now_us)
        if held is None or held.pending or held.issuer != issuer:
            # Somebody else's selection is not touched by a stranger to it.
            raise Refusal("not selected", code="HG-6504")
        del self._held[content.device]
        if token is None or token != held.token:
            raise Refusal("another token", code="HG-6504")
        if content != held.content or _exact(content) != _exact(held.content):
            raise Refusal("another content", code="HG-6505")
        return held


def _exact(content: Content) -> bytes:
    # 1 equals 1.0 and True to Python, and to nobody else.
    return msgspec.msgpack.encode(content)
