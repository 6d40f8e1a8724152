"""Which variant of a profile a unit gets: firmware versions compared, ranges checked, one chosen.

Ranges are half-open and their bounds carry their names: `from` is inside, `below` is outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple, TypeVar

import msgspec

Scheme = Literal["dotted", "integer", "date", "exact"]
#: Comparable within one scheme; under `exact` only for equality.
Version = tuple[int, ...]


class FirmwareRange(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`from` <= firmware < `below`; None is unbounded. `one_of` is for the scheme `exact` alone."""

    from_: str | None = None
    below: str | None = None
    one_of: tuple[str, ...] = ()


class HasFirmware(msgspec.Struct, frozen=True):
    """What `choose` needs of a variant."""

    name: str
    firmware: FirmwareRange = FirmwareRange()
    when_unknown: bool = False


V = TypeVar("V", bound=HasFirmware)


def parse(scheme: Scheme, text: str) -> Version:
    """A version that compares as its maker means it: 1.9.9 < 2 == 2.0.0 < 2.10 < 10.0 when dotted.

    A leading `v` and spaces around are not part of a version.

    Raises:
        ValueError: `text` is not of this scheme.
    """
    text = text.strip()
    if scheme == "exact":
        if not text:
            raise ValueError("empty")
        return tuple(ord(character) for character in text)
    text = text.removeprefix("v").removeprefix("V").strip()
    if len(text) > 64 or not text.isascii():
        raise ValueError(text)
    if scheme == "integer":
        if not text.isdigit():
            raise ValueError(text)
        return (int(text),)
    if scheme == "date":
        found = re.fullmatch(r"(\d{4})([-./]?)(\d{2})\2(\d{2})", text)
        if found is None:
            raise ValueError(text)
        day = date(int(found[1]), int(found[3]), int(found[4]))
        return (day.year, day.month, day.day)
    if not re.fullmatch(r"\d+(\.\d+)*", text):
        raise ValueError(text)
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


class Overlap(NamedTuple):
    """Two variants that claim the same firmware."""

    first: str
    second: str


class Hole(NamedTuple):
    """Firmware nobody claims: from `above` (None: the oldest) to `below` (None: the newest)."""

    above: str | None
    below: str | None


def survey(scheme: Scheme, variants: Sequence[V]) -> tuple[list[Overlap], list[Hole]]:
    """Every overlap and every hole in the ranges of `variants`.

    Under `exact` there is no order, so there are no holes to report.

    Raises:
        ValueError: a bound that is not of this scheme.
    """
    if scheme == "exact":
        return _survey_exact(variants), []
    spans = []
    for variant in variants:
        low, high = variant.firmware.from_, variant.firmware.below
        spans.append((low is not None, parse(scheme, low) if low else (), low, high, variant.name))
    spans.sort(key=lambda span: span[:2])
    overlaps: list[Overlap] = []
    holes: list[Hole] = []
    # `reach` is how far firmware is covered by the variants seen so far, and by whom.
    reach: str | None = None
    holder: str | None = None
    for _, _, low, high, name in spans:
        if holder is None:
            if low is not None:
                holes.append(Hole(None, low))
        elif reach is None or low is None or parse(scheme, low) < parse(scheme, reach):
            overlaps.append(Overlap(holder, name))
        elif parse(scheme, reach) < parse(scheme, low):
            holes.append(Hole(reach, low))
        if holder is None or (
            reach is not None and (high is None or parse(scheme, high) > parse(scheme, reach))
        ):
            reach, holder = high, name
    if reach is not None:
        holes.append(Hole(reach, None))
    return overlaps, holes


def _survey_exact(variants: Sequence[V]) -> list[Overlap]:
    overlaps: list[Overlap] = []
    owner: dict[str, str] = {}
    for variant in variants:
        for text in variant.firmware.one_of:
            first = owner.setdefault(text.strip(), variant.name)
            if first != variant.name:
                overlaps.append(Overlap(first, variant.name))
    return overlaps


def covers(scheme: Scheme, span: FirmwareRange, firmware: str) -> bool:
    """Whether `firmware` lies in `span`. Raises ValueError when it is not of this scheme."""
    version = parse(scheme, firmware)
    if scheme == "exact":
        return version in [parse(scheme, text) for text in span.one_of]
    if span.from_ is not None and version < parse(scheme, span.from_):
        return False
    return span.below is None or version < parse(scheme, span.below)


def choose(scheme: Scheme, variants: Sequence[V], firmware: str | None) -> tuple[V, str | None]:
    """The variant of a unit that says `firmware`, and the code of a notice or None.

    A unit that says nothing gets the variant marked `when_unknown`, and so does one whose firmware
    lies in a hole (HG-8052) or cannot be read in this scheme (HG-8053): measuring with the
    likeliest map and saying so is better than not measuring.
    """
    unknown = next(variant for variant in variants if variant.when_unknown)
    if firmware is None:
        return unknown, None
    try:
        for variant in variants:
            if covers(scheme, variant.firmware, firmware):
                return variant, None
    except ValueError:
        # A profile without ranges gives every firmware the same map: nothing to compare.
        return unknown, "HG-8053" if len(variants) > 1 else None
    return unknown, "HG-8052"
