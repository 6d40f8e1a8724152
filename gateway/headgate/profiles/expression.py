"""Numbers that depend on one device's own parameters: `"-$a"`, `"$f0 * 0.5 + 1"`.

    expression := term (("+" | "-") term)*
    term       := factor (("*" | "/") factor)*
    factor     := ("+" | "-") factor | number | "$" name | "(" expression ")"

Arithmetic is on exact fractions, so that a scale of `0.1` stays one tenth until the very end. There
is nothing else in the language: no names but parameters, no calls, no powers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

#: Longer ones are refused: a bound on the work, and on what a person can check.
LIMIT = 200

Number = int | float | str

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d{1,3})?|\.\d+)|\$([A-Za-z_]\w*)|([-+*/()]))")


class ExpressionError(ValueError):
    """Text that is not an expression, or one that has no finite answer."""


def exact(number: int | float) -> Fraction:
    """The decimal a person wrote, exactly: 0.1 is one tenth, not the nearest binary64.

    Raises:
        ExpressionError: not a finite number.
    """
    if isinstance(number, int):
        return Fraction(number)
    if number != number or number in (float("inf"), float("-inf")):
        raise ExpressionError("not a finite number")
    return Fraction(Decimal(repr(number)))


def names(number: Number) -> tuple[str, ...]:
    """The parameters that `number` refers to, in order of appearance.

    Raises:
        ExpressionError: not an expression.
    """
    if not isinstance(number, str):
        return ()
    return tuple(dict.fromkeys(text for kind, text in _tokens(number) if kind == "name"))


def evaluate(number: Number, params: Mapping[str, int | float]) -> Fraction:
    """The exact value of a number or an expression.

    Raises:
        ExpressionError: not an expression, a division by zero, or a parameter that is no number.
        KeyError: a parameter that is not in `params`.
    """
    if not isinstance(number, str):
        return exact(number)
    parser = _Parser(tuple(_tokens(number)), params)
    value = parser.sum()
    parser.end()
    return value


def check(number: Number) -> None:
    """Raise ExpressionError unless `number` is well formed, whatever the parameters will be."""
    if not isinstance(number, str):
        exact(number)
        return
    parser = _Parser(tuple(_tokens(number)), None)
    parser.sum()
    parser.end()


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    if len(text) > LIMIT:
        raise ExpressionError(f"longer than {LIMIT} characters")
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"nothing known at {text[at:].strip()[:20]!r}")
        number, name, sign = found.groups()
        yield ("number", number) if number else ("name", name) if name else ("sign", sign)
        at = found.end()


class _Parser:
    """Recursive descent; depth is bounded by the length of the text."""

    def __init__(
        self, tokens: tuple[tuple[str, str], ...], params: Mapping[str, int | float] | None
    ) -> None:
        self._tokens = tokens
        self._at = 0
        self._params = params

    def _take(self, *signs: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "sign" and text in signs:
                self._at += 1
                return text
        return None

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise ExpressionError(f"{self._tokens[self._at][1]!r} was not expected")

    def sum(self) -> Fraction:
        value = self._product()
        while sign := self._take("+", "-"):
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while sign := self._take("*", "/"):
            factor = self._factor()
            if sign == "*":
                value *= factor
            elif factor:
                value /= factor
            elif self._params is not None:
                raise ExpressionError("division by zero")
        return value

    def _factor(self) -> Fraction:
        if sign := self._take("+", "-"):
            return self._factor() if sign == "+" else -self._factor()
        if self._take("("):
            value = self.sum()
            if not self._take(")"):
                raise ExpressionError("a closing parenthesis is missing")
            return value
        if self._at == len(self._tokens):
            raise ExpressionError("something is missing at the end")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return exact(float(text)) if set(text) & set(".eE") else Fraction(int(text))
        if kind == "name":
            return self._param(text)
        raise ExpressionError(f"{text!r} was not expected")

    def _param(self, name: str) -> Fraction:
        if self._params is None:
            return Fraction(1)
        value = self._params[name]
        # A text parameter reaches this place only when nobody checked it; bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ExpressionError(f"${name} is not a number")
        return exact(value)
