"""One item of an answer, as an identifier announces it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "number",
    "second",
    "minute",
    "day",
    "time",
    "month-minute",
    "day-hour",
    "text",
    "digits",
    "hex",
    "bits",
]


class Item(NamedTuple):
    """One item of an answer: its name, bytes, and how they are read."""

    name: str
    size: int
    kind: Kind = "number"
    decimals: int = 0
    unit: str | None = None
    signed: bool = False
