"""Variants of a profile: a point laid over the shared one, firmware ranges checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.profiles import firmware
from headgate.profiles.fields import Report, nearest
from headgate.profiles.firmware import FirmwareRange
from headgate.profiles.lines import Path
from headgate.profiles.schema import Profile

Table = dict[str, Any]


def lay_over(
    report: Report, path: Path, own_points: Sequence[Table], base: Sequence[tuple[Path, Table]]
) -> list[tuple[Path, Table]]:
    """The base points with a variant's own laid over them: same name, these keys win."""
    points = list(base)
    # A base point without a proper name is reported where it is read.
    places = {str(point.get("name")): at for at, (_, point) in enumerate(points)}
    removed: set[int] = set()
    seen: set[str] = set()
    for i, own in enumerate(own_points):
        here: Path = (*path, "point", i)
        name = own.get("name")
        if not isinstance(name, str):
            report.problem(here, "HG-8005", key="name")
            continue
        if name in seen:
            report.problem(here, "HG-8012", name=name)
        seen.add(name)
        at = places.get(name)
        keys = {key: value for key, value in own.items() if key != "remove"}
        if own.get("remove") is True:
            if at is None or len(own) > 2:
                report.problem(here, "HG-8016", name=name, nearest=nearest(name, places))
            else:
                removed.add(at)
        elif "remove" in own:
            report.problem(
                (*here, "remove"),
                "HG-8007",
                key="remove",
                value=str(own["remove"]),
                allowed="true",
            )
        elif at is None:
            points.append((here, keys))
        else:
            report.inherits[here] = points[at][0]
            points[at] = (here, {**_without_other_conversion(points[at][1], keys), **keys})
    return [point for at, point in enumerate(points) if at not in removed]


def check_firmware(report: Report, profile: Profile) -> None:
    """Report bounds that are no versions, ranges that overlap or are empty, and holes as notices."""
    scheme = profile.firmware_scheme
    for i, variant in enumerate(profile.variants):
        _check_range(report, ("variant", i, "firmware"), scheme, variant.firmware)
    if report.problems or len(profile.variants) == 1:
        return
    overlaps, holes = firmware.survey(scheme, profile.variants)
    at = {variant.name: i for i, variant in enumerate(profile.variants)}
    for overlap in overlaps:
        report.problem(
            ("variant", at[overlap.second], "firmware"),
            "HG-8017",
            first=overlap.first,
            second=overlap.second,
        )
    for hole in holes:
        report.notice(
            ("variant", 0),
            "HG-8051",
            profile=profile.id,
            above=hole.above or "…",
            below=hole.below or "…",
        )


def _check_range(report: Report, path: Path, scheme: firmware.Scheme, span: FirmwareRange) -> None:
    bounds = [("from", span.from_), ("below", span.below)]
    bounds += [("one_of", text) for text in span.one_of]
    for key, text in bounds:
        if text is None:
            continue
        if (key == "one_of") != (scheme == "exact"):
            report.problem((*path, key), "HG-8025", key=key, other=f'firmware_scheme = "{scheme}"')
            continue
        try:
            firmware.parse(scheme, text)
        except ValueError:
            report.problem((*path, key), "HG-8019", value=text, scheme=scheme)
            return
    if (
        scheme != "exact"
        and span.from_ is not None
        and span.below is not None
        and firmware.parse(scheme, span.from_) >= firmware.parse(scheme, span.below)
    ):
        report.problem(path, "HG-8020", above=span.from_, below=span.below)


_CONVERSIONS = ({"scale", "offset"}, {"polynomial"}, {"lookup", "between"}, {"bits"})


def _without_other_conversion(base: Table, own: Table) -> Table:
    """`base` without its conversion, when `own` brings one of another kind."""
    kinds = [kind for kind in _CONVERSIONS if kind & own.keys()]
    if not kinds:
        return base
    stale = set().union(*(kind for kind in _CONVERSIONS if kind not in kinds))
    return {key: value for key, value in base.items() if key not in stale}
