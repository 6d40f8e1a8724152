"""A profile and one device's own facts into a `Device`: what is announced and read. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec

from headgate.errors import Problem, ProfileError
from headgate.model import BitField, Conversion, Linear, Lookup, Point, PointTable, Polynomial
from headgate.profiles.expression import ExpressionError, Number, evaluate
from headgate.profiles.fields import nearest
from headgate.profiles.firmware import choose
from headgate.profiles.raw_range import raw_range
from headgate.profiles.schema import PointSpec, Profile, Scalar, Variant, raw_sentinel
from headgate.sdk.device import Device, DevicePoint

#: Integers up to here are the same in binary64.
_EXACT = 2**53


class Match(NamedTuple):
    """The variant a unit gets, and why it was not a clear case (None: it was)."""

    variant: Variant
    notice: Problem | None


#: Points worked out before, by variant and the numbers of the device. A fleet of devices that are alike
#: then shares them: that is what most of its memory and its start would be spent on.
Alike = dict[
    tuple[int, tuple[tuple[str, int | float], ...]], tuple[Variant, tuple[DevicePoint, ...]]
]


def match(profile: Profile, firmware: str | None, where: str = "") -> Match:
    """The variant for a unit that says `firmware`; `where` names the unit in the notice."""
    variant, code = choose(profile.firmware_scheme, profile.variants, firmware)
    if code is None:
        return Match(variant, None)
    fields: dict[str, str | int | float] = {
        "profile": profile.id, "firmware": firmware or "", "variant": variant.name,
        "scheme": profile.firmware_scheme,
    }  # fmt: skip
    return Match(variant, Problem(where or profile.id, code, fields))


def resolve(
    profile: Profile,
    *,
    device_id: str,
    number: int,
    channel: str,
    address: str | int,
    sm3: Callable[[bytes], bytes],
    name: str = "",
    labels: Mapping[str, str] | None = None,
    firmware: str | None = None,
    params: Mapping[str, Scalar] | None = None,
    interval_us: int | None = None,
    timeout_s: float = 1.0,
    retries: int = 1,
    alike: Alike | None = None,
) -> Device:
    """One device with its profile worked in: everything a driver and the announced table need.

    Points of one column type are put side by side (in the profile's order otherwise), so that a
    block has as few columns as there are types. `params` is what the site file tells of this unit,
    `firmware` what the unit says of itself; the rest is carried over into `Device`. `sm3` names the
    table: it is given the table's msgpack bytes. `alike`, when given, is shared by the devices of one
    library and filled as they come.

    Raises:
        ProfileError: parameters missing, unknown or out of range, or a conversion that has no finite
            numbers with them; every one of them, together.
    """
    where = f'device "{device_id}"'
    variant = match(profile, firmware, where).variant
    full = _params(profile, params or {}, where)
    numbers = {key: value for key, value in full.items() if isinstance(value, (int, float))}
    points = _points(variant, numbers, f"{where}: {profile.id}", {} if alike is None else alike)
    announced = {
        p.label: str(full[key]) for key, p in profile.params.items() if p.label and key in full
    }
    announced.update(labels or {})
    table = PointTable(
        number=number,
        device=device_id,
        points=tuple(p.point for p in points),
        name=name,
        labels=announced,
        vendor=profile.vendor,
        model=profile.model,
        firmware=firmware,
        profile=f"{profile.id}@{variant.name}",
        interval_us=interval_us,
    )
    return Device(
        id=device_id,
        number=number,
        channel=channel,
        address=address,
        points=points,
        table=table,
        table_hash=sm3(msgspec.msgpack.encode(table, order="deterministic")),
        name=name,
        vendor=profile.vendor,
        model=profile.model,
        firmware=firmware,
        profile=table.profile,
        labels=announced,
        params=full,
        quirks=variant.quirks,
        interval_us=interval_us,
        timeout_s=timeout_s,
        retries=retries,
        identify=tuple({**rule.source, "format": rule.format} for rule in profile.identify),
    )


def check_params(profile: Profile, params: Mapping[str, Scalar], where: str) -> tuple[Problem, ...]:
    """What is wrong with a device's parameters: missing, unknown, of the wrong kind, out of range."""
    problems: list[Problem] = []
    for key, value in params.items():
        if key not in profile.params:
            fields: dict[str, str | int | float] = {
                "param": key, "profile": profile.id, "nearest": nearest(key, profile.params),
                "allowed": ", ".join(profile.params) or "-",
            }  # fmt: skip
            problems.append(Problem(f"{where}: params.{key}", "HG-8031", fields))
        elif wrong := profile.params[key].misfit(value):
            problems.append(
                Problem(
                    f"{where}: params.{key}",
                    "HG-8032",
                    # A number in quotes must look like one.
                    {"param": key, "value": msgspec.json.encode(value).decode(), "allowed": wrong},
                )
            )
    for key, param in profile.params.items():
        if param.required and key not in params:
            fields = {
                "param": key, "profile": profile.id, "unit": param.unit,
                "title": " / ".join(filter(None, (param.title, param.title_zh))) or key,
            }  # fmt: skip
            problems.append(Problem(f"{where}: params", "HG-8030", fields))
    return tuple(problems)


def _params(profile: Profile, given: Mapping[str, Scalar], where: str) -> dict[str, Scalar]:
    problems = check_params(profile, given, where)
    if problems:
        raise ProfileError(problems)
    defaults = {key: p.default for key, p in profile.params.items() if p.default is not None}
    return {**defaults, **given}


class _NumberError(Exception):
    def __init__(self, key: str, detail: str) -> None:
        super().__init__(key)
        self.key = key
        self.detail = detail


class _Numbers:
    """The numbers of one point, with the device's parameters put in."""

    def __init__(self, params: Mapping[str, int | float]) -> None:
        self._params = params

    def exact(self, key: str, number: Number) -> Fraction:
        try:
            return evaluate(number, self._params)
        except ExpressionError as error:
            raise _NumberError(key, str(error)) from error

    def float(self, key: str, number: Number) -> float:
        try:
            return float(self.exact(key, number))
        except OverflowError as error:
            raise _NumberError(key, "too large") from error


def _points(
    variant: Variant, numbers: Mapping[str, int | float], where: str, alike: Alike
) -> tuple[DevicePoint, ...]:
    """The points of a variant with one device's numbers, those of one column type side by side."""
    # The variant stands beside its points, so that no other can have its id while they are kept.
    key = (id(variant), tuple(sorted(numbers.items())))
    if key in alike:
        return alike[key][1]
    problems: list[Problem] = []
    points: list[DevicePoint] = []
    for spec in variant.points:
        try:
            points.append(_point(spec, numbers))
        except _NumberError as error:
            fields: dict[str, str | int | float] = {
                "point": spec.name, "key": error.key, "detail": error.detail,
            }  # fmt: skip
            problems.append(Problem(where, "HG-8033", fields))
    if problems:
        raise ProfileError(problems)
    types = list(dict.fromkeys(p.point.type for p in points))
    points.sort(key=lambda p: types.index(p.point.type))
    alike[key] = variant, tuple(points)
    return alike[key][1]


def _point(spec: PointSpec, params: Mapping[str, int | float]) -> DevicePoint:
    numbers = _Numbers(params)
    conversion = _conversion(spec, numbers)
    span = None
    if spec.range is not None:
        low, high = (numbers.float("range", bound) for bound in spec.range)
        if low > high:
            raise _NumberError("range", f"{low:g} > {high:g}")
        span = (low, high)
    point = Point(
        name=spec.name,
        type=spec.column,
        unit=spec.unit,
        conversion=conversion,
        range=span,
        deadband=None if spec.deadband is None else numbers.float("deadband", spec.deadband),
        access=spec.access,
        data_class=spec.class_,
        title=spec.title,
    )
    source: dict[str, str | int | float | bool | None] = {"type": spec.type, **spec.source}
    if spec.interval_s is not None:
        source["interval_s"] = spec.interval_s
    sentinels = tuple(raw_sentinel(spec.column, value) for value in spec.sentinels)
    return DevicePoint(point, source, sentinels, raw_range(point))


def _conversion(spec: PointSpec, numbers: _Numbers) -> Conversion | None:
    if spec.scale is not None or spec.offset is not None:
        multiply, divide = _ratio(numbers.exact("scale", 1 if spec.scale is None else spec.scale))
        offset = numbers.float("offset", 0 if spec.offset is None else spec.offset)
        if not math.isfinite(multiply):
            raise _NumberError("scale", "too large")
        return Linear(multiply, divide, offset)
    if spec.polynomial is not None:
        return Polynomial(tuple(numbers.float("polynomial", c) for c in spec.polynomial))
    if spec.lookup is not None:
        pairs = tuple(
            (numbers.float("lookup", x), numbers.float("lookup", y)) for x, y in spec.lookup
        )
        if any(a[0] >= b[0] for a, b in pairwise(pairs)):
            raise _NumberError("lookup", "raw values must rise")
        return Lookup(pairs, spec.between)
    if spec.bits is not None:
        return BitField(spec.bits.shift, spec.bits.width)
    return None


def _ratio(scale: Fraction) -> tuple[float, float]:
    """`scale` as multiply and divide: a raw 235 at 0.1 is 235 / 10 = 23.5, never 23.500000000000004."""
    if max(abs(scale.numerator), scale.denominator) <= _EXACT:
        return float(scale.numerator), float(scale.denominator)
    try:
        return float(scale), 1.0
    except OverflowError:
        return math.inf, 1.0
