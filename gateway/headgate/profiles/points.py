"""One `[[point]]` table into a `PointSpec`: keys, unit, conversion, parameters, sentinels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from headgate.profiles import expression
from headgate.profiles.fields import Report, build, check_unit, keys_of, nearest, unknown_keys
from headgate.profiles.lines import Path
from headgate.profiles.registers import normalise
from headgate.profiles.schema import Param, PointSpec, Scalar, raw_sentinel

_OURS = tuple(key for key in keys_of(PointSpec) if key != "source")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def read_point(
    report: Report,
    path: Path,
    table: Mapping[str, Any],
    point_keys: Mapping[str, str] | None,
    params: Mapping[str, Param],
    base: int,
) -> PointSpec | None:
    """The point that `table` declares, None when something in it is wrong (reported)."""
    before = len(report.problems)
    source = read_source(report, path, table, point_keys, base)
    point = build(report, path, table, PointSpec, source=source)
    if point is None:
        return None
    if not _NAME.fullmatch(point.name):
        report.problem(
            (*path, "name"), "HG-8007", key="name", value=point.name, allowed="a-z 0-9 _ . -"
        )
    check_unit(report, (*path, "unit"), point.unit)
    _check_conversion(report, path, point)
    _check_numbers(report, path, point, params)
    for value in point.sentinels:
        try:
            raw_sentinel(point.column, value)
        except ValueError:
            report.problem((*path, "sentinels"), "HG-8015", value=str(value), type=point.type)
    if point.interval_s is not None and not 0 < point.interval_s <= 31_536_000:
        report.problem(
            (*path, "interval_s"),
            "HG-8007",
            key="interval_s",
            value=point.interval_s,
            allowed="> 0",
        )
    return point if len(report.problems) == before else None


def read_source(
    report: Report,
    path: Path,
    table: Mapping[str, Any],
    point_keys: Mapping[str, str] | None,
    base: int,
) -> dict[str, Scalar]:
    """The driver's own keys of a point, checked as far as we can."""
    if point_keys is not None:
        unknown_keys(report, path, table, (*_OURS, *point_keys))
    source: dict[str, Scalar] = {}
    for key, value in table.items():
        if key in _OURS:
            continue
        # A short key may well be a driver's own word: `bit` is not a misspelt `bits`.
        if point_keys is None and len(key) > 3 and difflib.get_close_matches(key, _OURS, 1, 0.8):
            report.problem(
                (*path, key),
                "HG-8006",
                key=key,
                nearest=nearest(key, _OURS),
                allowed=", ".join(_OURS),
            )
        if isinstance(value, (str, int, float, bool)):
            source[key] = value
        else:
            report.problem(
                (*path, key), "HG-8007", key=key, value=str(value)[:60], allowed='1 | "text" | true'
            )
    register, area = source.get("register"), source.get("area")
    if (
        isinstance(register, int)
        and not isinstance(register, bool)
        and isinstance(area, str | None)
    ):
        try:
            source["register"], area = normalise(base, register, area)
        except ValueError:
            report.problem(
                (*path, "register"), "HG-8021", register=register, area=area or "-", base=base
            )
        if area is not None:
            source["area"] = area
    return source


def _check_conversion(report: Report, path: Path, point: PointSpec) -> None:
    kinds = []
    if point.scale is not None or point.offset is not None:
        kinds.append("scale")
    kinds += [key for key in ("polynomial", "lookup", "bits") if getattr(point, key) is not None]
    if len(kinds) > 1:
        report.problem(
            (*path, kinds[1]), "HG-8013", point=point.name, first=kinds[0], second=kinds[1]
        )
    numeric = kinds + [key for key in ("range", "deadband") if getattr(point, key) is not None]
    if numeric and point.column in ("text", "bytes", "bool"):
        report.problem((*path, numeric[0]), "HG-8014", key=numeric[0], type=point.type)
    if point.polynomial == ():
        report.problem(
            (*path, "polynomial"), "HG-8007", key="polynomial", value="[]", allowed="[c0, c1, ...]"
        )
    if point.lookup is not None and len(point.lookup) < 1:
        report.problem(
            (*path, "lookup"), "HG-8007", key="lookup", value="[]", allowed="[[raw, value], ...]"
        )
    if point.bits is not None:
        bits = point.bits
        if (
            point.column in ("f32", "f64")
            or bits.shift < 0
            or bits.width < 1
            or bits.shift + bits.width > 64
        ):
            report.problem(
                (*path, "bits"), "HG-8007", key="bits", value=f"{bits.shift}, {bits.width}",
                allowed="{ shift = 0..63, width = 1.. }",
            )  # fmt: skip


def _check_numbers(
    report: Report, path: Path, point: PointSpec, params: Mapping[str, Param]
) -> None:
    for key, number in point.numbers():
        try:
            expression.check(number)
            used = expression.names(number)
        except expression.ExpressionError as error:
            report.problem(
                (*path, key), "HG-8010", key=key, value=str(number)[:60], detail=str(error)
            )
            continue
        for name in used:
            if name not in params:
                report.problem((*path, key), "HG-8011", param=name, nearest=nearest(name, params))
            elif params[name].type == "text":
                report.problem((*path, key), "HG-8011", param=name, nearest="-")
