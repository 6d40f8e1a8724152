"""The text of a `profile.toml` into a `Profile`, or into everything that is wrong with it. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.errors import Problem
from headgate.profiles.fields import Report, build, check_unit, keys_of, unknown_keys
from headgate.profiles.firmware import FirmwareRange
from headgate.profiles.lines import Path, index
from headgate.profiles.points import read_point, read_source
from headgate.profiles.registers import BASES
from headgate.profiles.schema import (
    SCHEMA,
    Decoded,
    Identify,
    Param,
    PointSpec,
    Profile,
    Scalar,
    Variant,
)
from headgate.profiles.variants import Table, check_firmware, lay_over

#: A profile larger than this is not a profile.
MAX_BYTES = 1_000_000
MAX_POINTS = 2_000
MAX_VARIANTS = 64

_TOP = (
    "schema", "vendor", "model", "title", "title_zh", "driver", "source", "firmware_scheme",
    "address_base", "params", "quirks", "frame", "identify", "point", "variant",
)  # fmt: skip
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

#: The keys of each driver's points, by driver name: `Driver.point_keys`.
PointKeys = Mapping[str, Mapping[str, str]]


def decode(data: bytes, file: str, point_keys: PointKeys | None = None) -> Decoded:
    """Read one profile.

    Args:
        data: the file's bytes.
        file: what to call it in messages.
        point_keys: the point keys of every driver that is known; points of another driver may
            hold any key that is not a near miss of one of ours.
    """
    if len(data) > MAX_BYTES:
        return _broken(file, "HG-8002", size=len(data), limit=MAX_BYTES)
    try:
        text = data.decode("utf-8-sig")
        table = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _broken(f"{file}:{line}", "HG-8003", detail="not UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        return _broken(f"{file}:{line}", "HG-8003", detail=str(error).split(" (at ")[0])
    except RecursionError:
        return _broken(file, "HG-8004")
    return _Decoder(Report(file, index(text)), table, point_keys).profile()


def _broken(where: str, code: str, **fields: str | int | float) -> Decoded:
    return Decoded(None, (Problem(where, code, fields),))


class _Decoder:
    def __init__(self, report: Report, table: Table, point_keys: PointKeys | None) -> None:
        self.report = report
        self.table = table
        self.params: dict[str, Param] = {}
        driver = table.get("driver")
        self.point_keys = None
        if point_keys is not None and isinstance(driver, str):
            self.point_keys = point_keys.get(driver)

    def profile(self) -> Decoded:
        report, table = self.report, self.table
        unknown_keys(report, (), table, _TOP)
        if table.get("schema") != SCHEMA:
            report.problem(
                ("schema",),
                "HG-8007",
                key="schema",
                value=str(table.get("schema")),
                allowed=str(SCHEMA),
            )
        for key in ("vendor", "model"):
            if isinstance(table.get(key), str) and not _ID.fullmatch(table[key]):
                report.problem(
                    (key,), "HG-8007", key=key, value=table[key], allowed="a-z 0-9 . _ -"
                )
        self.params = self._params()
        variants = self._variants()
        made = build(
            report, (), table, Profile,
            variants=tuple(variants), params=self.params, identify=self._identify(), where=report.file,
        )  # fmt: skip
        if made is not None and not report.problems:
            check_firmware(report, made)
        problems = tuple(report.problems)
        return Decoded(None if problems else made, problems, tuple(report.notices))

    def _table(self, path: Path, holder: Mapping[str, Any], key: str) -> Table:
        value = holder.get(key, {})
        if isinstance(value, dict):
            return value
        self.report.problem(
            (*path, key), "HG-8007", key=key, value=str(value)[:60], allowed=f"[{key}]"
        )
        return {}

    def _tables(self, path: Path, holder: Mapping[str, Any], key: str, limit: int) -> list[Table]:
        value = holder.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.report.problem(
                (*path, key), "HG-8007", key=key, value=str(value)[:60], allowed=f"[[{key}]]"
            )
            return []
        if len(value) > limit:
            self.report.problem((*path, key), "HG-8023", key=key, count=len(value), limit=limit)
            return []
        return value

    # ------------------------------------------------------------ params, quirks, identify

    def _params(self) -> dict[str, Param]:
        declared: dict[str, Param] = {}
        for name, given in self._table((), self.table, "params").items():
            path: Path = ("params", name)
            if not isinstance(given, dict) or not _NAME.fullmatch(name):
                self.report.problem(
                    path, "HG-8007", key=name, value=str(given)[:60], allowed="name = { unit, ... }"
                )
                continue
            unknown_keys(self.report, path, given, keys_of(Param))
            param = build(self.report, path, given, Param)
            if param is not None:
                self._check_param(path, param, given)
                declared[name] = msgspec.structs.replace(param, required=param.default is None)
        return declared

    def _check_param(self, path: Path, param: Param, given: Table) -> None:
        check_unit(self.report, (*path, "unit"), param.unit)
        if param.default is not None and given.get("required") is True:
            self.report.problem((*path, "required"), "HG-8025", key="default", other="required")
        if param.default is None and given.get("required") is False:
            self.report.problem(path, "HG-8005", key="default")
        if param.default is not None and (wrong := param.misfit(param.default)):
            self.report.problem(
                (*path, "default"),
                "HG-8007",
                key="default",
                value=str(param.default),
                allowed=wrong,
            )

    def _quirks(self, path: Path, holder: Mapping[str, Any]) -> dict[str, Scalar]:
        """`[quirks]`, and `[frame]` with its keys as `frame.key`: how frames are cut is the driver's too."""
        found: dict[str, Scalar] = {}
        for name, prefix in (("quirks", ""), ("frame", "frame.")):
            for key, value in self._table(path, holder, name).items():
                if isinstance(value, (str, int, float, bool)):
                    found[prefix + key] = value
                    continue
                self.report.problem(
                    (*path, name, key),
                    "HG-8007",
                    key=key,
                    value=str(value)[:60],
                    allowed='1 | "text" | true',
                )
        return found

    def _identify(self) -> tuple[Identify, ...]:
        """`[identify]`, or several `[[identify]]` that are tried in order."""
        several = isinstance(self.table.get("identify", []), list)
        if several:
            tables = self._tables((), self.table, "identify", 8)
        else:
            tables = [self._table((), self.table, "identify")]
        rules = []
        for i, table in enumerate(tables):
            path: Path = ("identify", i) if several else ("identify",)
            ours = {key: value for key, value in table.items() if key != "format"}
            source = read_source(self.report, path, ours, self.point_keys, self._base())
            rule = build(self.report, path, table, Identify, source=source)
            if rule is not None:
                rules.append(rule)
        return tuple(rules)

    # ------------------------------------------------------------ variants and their points

    def _variants(self) -> list[Variant]:
        base = self._tables((), self.table, "point", MAX_POINTS)
        quirks = self._quirks((), self.table)
        tables = self._tables((), self.table, "variant", MAX_VARIANTS)
        placed: list[tuple[Path, Table]] = [(("point", i), point) for i, point in enumerate(base)]
        if not tables:
            if not base:
                self.report.problem((), "HG-8005", key="[[point]]")
            return [Variant("all", when_unknown=True, points=self._points(placed), quirks=quirks)]
        variants: list[Variant] = []
        for i, table in enumerate(tables):
            path: Path = ("variant", i)
            unknown_keys(
                self.report,
                path,
                table,
                ("name", "firmware", "when_unknown", "point", "quirks", "frame"),
            )
            if isinstance(span := table.get("firmware"), dict):
                unknown_keys(self.report, (*path, "firmware"), span, keys_of(FirmwareRange))
            changes = self._tables(path, table, "point", MAX_POINTS)
            points = self._points(lay_over(self.report, path, changes, placed))
            own = {**quirks, **self._quirks(path, table)}
            variant = build(self.report, path, table, Variant, points=points, quirks=own)
            if variant is not None:
                if any(other.name == variant.name for other in variants):
                    self.report.problem(path, "HG-8012", name=variant.name)
                variants.append(variant)
        unknown = sum(variant.when_unknown for variant in variants)
        if unknown != 1 and len(variants) == len(tables):
            self.report.problem(("variant", 0), "HG-8018", count=unknown)
        return variants

    def _base(self) -> int:
        base = self.table.get("address_base", 0)
        if isinstance(base, int) and not isinstance(base, bool) and base in BASES:
            return base
        words = " | ".join(str(known) for known in BASES)
        self.report.problem(
            ("address_base",), "HG-8007", key="address_base", value=str(base)[:60], allowed=words
        )
        return 0

    def _points(self, placed: list[tuple[Path, Table]]) -> tuple[PointSpec, ...]:
        base = self._base()
        if len(placed) > MAX_POINTS:
            self.report.problem((), "HG-8023", key="point", count=len(placed), limit=MAX_POINTS)
            return ()
        found = []
        names: set[str] = set()
        for path, table in placed:
            point = read_point(self.report, path, table, self.point_keys, self.params, base)
            if point is None:
                continue
            if point.name in names:
                self.report.problem(path, "HG-8012", name=point.name)
            names.add(point.name)
            found.append(point)
        return tuple(found)
