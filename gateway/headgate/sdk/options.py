"""A plugin's options, read with every mistake kept: the one way to be strict and kind to the writer.

options = Options("uplink city", context.options)
wait_s = options.duration("receipt_timeout", default_s=60.0, low_s=1.0)
style = options.choice("per", ("block", "point"), default="block")
options.check()          # ConfigError with all mistakes, not the first
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from headgate.errors import ConfigError, Problem

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(us|ms|s|min|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class Options:
    """Reads options one by one. A wrong one becomes a problem and its default is used meanwhile.

    Args:
        where: where they stand, for the person who wrote them (`uplink city`).
        given: the options as the site file has them.
    """

    def __init__(self, where: str, given: Mapping[str, Any]) -> None:
        self._where = where
        self._given = given
        self._known: set[str] = set()
        self.problems: list[Problem] = []

    def text(self, key: str, default: str | None = None, *, longest: int = 65_536) -> str | None:
        """A text."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self._wrong(key, "text", value)
            return default
        if len(value) > longest:
            self.problem(key, "HG-1114", length=len(value), limit=longest)
            return default
        return value

    def number(self, key: str, default: float, *, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._wrong(key, "a number", value)
            return default
        if not low <= value <= high:
            self.problem(key, "HG-1106", value=value, low=low, high=high)
            return default
        return value

    def whole(self, key: str, default: int, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(key, "a whole number", value)
            return default
        if not low <= value <= high:
            self.problem(key, "HG-1106", value=value, low=low, high=high)
            return default
        return value

    def duration(
        self, key: str, default_s: float, *, low_s: float = 0.0, high_s: float = 31_536_000.0
    ) -> float:
        """A length of time in seconds, written "5s" or "10min"."""
        value = self._take(key)
        if value is None:
            return default_s
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            self.problem(key, "HG-1107", value=str(value))
            return default_s
        seconds = float(match[1]) * _SECONDS[match[2]]
        if not low_s <= seconds <= high_s:
            self.problem(key, "HG-1106", value=str(value), low=f"{low_s:g}s", high=f"{high_s:g}s")
            return default_s
        return seconds

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """One of a few words."""
        value = self._take(key)
        if value is None or value in allowed:
            return default if value is None else str(value)
        words = ", ".join(allowed)
        near = get_close_matches(str(value), allowed, 1)
        if near:
            self.problem(key, "HG-1105", value=str(value), nearest=near[0], allowed=words)
        else:
            self.problem(key, "HG-1104", value=str(value), allowed=words)
        return default

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self._wrong(key, "true or false", value)
        return default

    def table(self, key: str) -> Mapping[str, Any]:
        """A table of further values; empty when it is not there."""
        value = self._take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._wrong(key, "a table", value)
            return {}
        return value

    def problem(self, key: str, code: str, /, **fields: str | int | float) -> None:
        """Note a mistake of the plugin's own finding."""
        self.problems.append(Problem(f"{self._where}: {key}", code, fields))

    def check(self, also: Sequence[str] = ()) -> None:
        """Raise ConfigError when anything was wrong; a key nobody asked for and not in `also` is."""
        known = sorted(self._known | set(also))
        for key in self._given:
            if key not in known:
                near = get_close_matches(key, known, 1)
                if near:
                    self.problem(key, "HG-1101", key=key, nearest=near[0], allowed=", ".join(known))
                else:
                    self.problem(key, "HG-1100", key=key, allowed=", ".join(known))
        if self.problems:
            raise ConfigError(self.problems)

    def _take(self, key: str) -> Any:
        self._known.add(key)
        return self._given.get(key)

    def _wrong(self, key: str, expected: str, found: object) -> None:
        self.problem(key, "HG-1103", expected=expected, found=type(found).__name__)
