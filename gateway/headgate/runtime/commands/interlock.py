"""Conditions over points: `"{pit/level} > 1.2"`, `"{pump-2/fault} == 0 or {pump-2/remote} == 0"`. Pure.

    condition  := comparison ("or" comparison)*
    comparison := side ("<" | "<=" | ">" | ">=" | "==" | "!=") side
    side       := an expression of `headgate.profiles.expression` over `{device/point}`

Arithmetic is on exact fractions. A point that is not good, or not there, makes the condition undecided,
whatever the rest says: who cannot see does not move anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from headgate.profiles import expression
from headgate.profiles.expression import ExpressionError

Place = tuple[str, str]

_NAME: Final = re.compile(r"\{([^{}/]{1,64})/([^{}]{1,200})\}")
_SIGN: Final = re.compile(r"(<=|>=|==|!=|<|>)")
_OR: Final = re.compile(r"\bor\b")
_HOLDS: Final[Mapping[str, Callable[[Fraction, Fraction], bool]]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class Undecided(Exception):
    """A point that the condition asks for has no good number now; `place` names it."""

    def __init__(self, place: Place) -> None:
        super().__init__("/".join(place))
        self.place = place


class _Comparison(msgspec.Struct, frozen=True):
    left: str
    sign: str
    right: str

    def holds(self, params: Mapping[str, int | float]) -> bool:
        left, right = (expression.evaluate(side, params) for side in (self.left, self.right))
        return _HOLDS[self.sign](left, right)


class Condition(msgspec.Struct, frozen=True):
    """A condition, read. `text` is what the person wrote; `places` are the points it asks for."""

    text: str
    places: tuple[Place, ...]
    alternatives: tuple[_Comparison, ...]

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition.

        Raises:
            ExpressionError: says what is wrong with it.
        """
        places: list[Place] = []

        def name(found: re.Match[str]) -> str:
            place = (found[1].strip(), found[2].strip())
            if place not in places:
                places.append(place)
            return f"$p{places.index(place)}"

        if "$" in text:
            raise ExpressionError("'$' has no meaning here; a point is {device/point}")
        plain = _NAME.sub(name, text)
        if "{" in plain or "}" in plain:
            raise ExpressionError("a point is written {device/point}")
        alternatives = tuple(_comparison(part) for part in _OR.split(plain))
        if not places:
            raise ExpressionError("it asks for no point")
        return cls(text, tuple(places), alternatives)

    def holds(self, values: Mapping[Place, int | float | bool]) -> bool:
        """Whether it holds. `values` has only what is good.

        Raises:
            Undecided: a point is missing, or the arithmetic has no answer (division by zero).
        """
        params: dict[str, int | float] = {}
        for index, place in enumerate(self.places):
            value = values.get(place)
            if value is None:
                raise Undecided(place)
            params[f"p{index}"] = int(value) if isinstance(value, bool) else value
        try:
            # All are worked out, so that one alternative cannot hide that another is undecided.
            found = [each.holds(params) for each in self.alternatives]
        except ExpressionError:
            raise Undecided(self.places[0]) from None
        return any(found)


def _comparison(text: str) -> _Comparison:
    parts = _SIGN.split(text)
    if len(parts) != 3:
        raise ExpressionError(f"{text.strip()[:40]!r} is not one comparison (< <= > >= == !=)")
    left, sign, right = (part.strip() for part in parts)
    for side in (left, right):
        expression.check(side)
    return _Comparison(left, sign, right)
