"""What entries of a site file are written with: descriptions in two languages, bounds, ids and names."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

Scalar = str | int | float | bool


def doc(en: str, zh: str, **rules: Any) -> Meta:
    """A description in both languages, with msgspec's own rules (ge, le, pattern, max_length)."""
    return Meta(description=en, extra={"zh": zh}, **rules)


def span(low: str, high: str) -> Meta:
    """Bounds of a duration or a size, as a person writes them."""
    return Meta(extra={"low": low, "high": high})


#: An id stands in topics, file names and metrics: short, lower case, no spaces.
Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$",
        extra={"rule": "1 to 64 of a-z 0-9 . _ -"},
    ),
]
GatewayId = Annotated[
    str, Meta(pattern=r"^[a-z0-9-]{1,64}$", extra={"rule": "1 to 64 of a-z 0-9 -"})
]
Text = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
FilePath = Annotated[str, Meta(min_length=1, max_length=1000)]
Labels = dict[str, Text]
