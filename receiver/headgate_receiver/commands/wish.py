"""What somebody wants moved, in their words, and the content that everybody then signs. Pure."""

from __future__ import annotations

import math

import msgspec

from headgate.envelope.command import CommandValue, Content, Operation

#: How long a command is good for unless somebody says otherwise: time to fetch a second person.
USUAL_WINDOW_S = 600
USUAL_LEASE_S = 900
#: A gateway whose clock is a little behind would refuse what begins now.
_EARLIER_US = 60 * 1_000_000

_TRUE = frozenset({"true", "on", "yes", "开", "启", "启动", "是"})
_FALSE = frozenset({"false", "off", "no", "关", "停", "停止", "否"})


class Wish(msgspec.Struct, frozen=True):
    """One point, what it shall be, and for how long. `value` in the point's unit, of the point's type."""

    gateway: str
    device: str
    point: str
    value: CommandValue | None
    unit: str = "1"
    lease_s: int = USUAL_LEASE_S
    operation: Operation = Operation.SET

    @classmethod
    def release(cls, gateway: str, device: str, point: str, unit: str = "1") -> Wish:
        """Give a point back before its lease is over."""
        return cls(gateway, device, point, None, unit, 0, Operation.RELEASE)


def content_of(
    wish: Wish, command: bytes, now_us: int, window_s: float = USUAL_WINDOW_S
) -> Content:
    """The content of a command.

    Args:
        command: its id, 16 random bytes.
        now_us: unix microseconds.
        window_s: how long it is good for from now on; at most 24 h less a minute.
    """
    return Content(
        wish.gateway, wish.device, wish.point, wish.operation, wish.value, wish.unit, command,
        now_us - _EARLIER_US, now_us + round(window_s * 1_000_000), wish.lease_s,
    )  # fmt: skip


def value_of(text: str, type_: str | None) -> CommandValue:
    """What a person typed, as a value of a point's type.

    Args:
        type_: as the point table names it (`bool`, `u16`, `f32`, ...); None: by its looks, where a point
            of type bool wants a word (`true`, `on`, `开`) and everything else a number.

    Raises:
        ValueError: it is none.
    """
    word = text.strip().lower()
    if type_ == "bool" or (type_ is None and word in _TRUE | _FALSE):
        if word in _TRUE | {"1"}:
            return True
        if word in _FALSE | {"0"}:
            return False
        raise ValueError(f"{text!r}: true or false")
    try:
        return int(word)
    except ValueError:
        number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{text!r}: not a number that can be set")
    return number
