"""Callers that a listening line did not let in, as audit entries: counts, at most once a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from headgate.audit import Entry

EVERY_US: Final = 60 * 1_000_000
#: What listening lines count of those whom they did not let in, or who are not who they say.
_COUNTS: Final = ("refused", "two-sources")


class LineLike(Protocol):
    """One line at a glance."""

    @property
    def channel(self) -> str: ...
    @property
    def tally(self) -> Mapping[str, int]: ...


class CallerWatch:
    """Told the time, looks at the lines when a minute is over.

    Args:
        tell: takes an entry without waiting.
        lines: how every line stands.
    """

    def __init__(
        self, tell: Callable[[Entry], None], lines: Callable[[], Iterable[LineLike]]
    ) -> None:
        self._tell = tell
        self._lines = lines
        self._seen: dict[str, dict[str, int]] = {}
        self._looked_us: int | None = None

    def look(self, now_us: int) -> None:
        """Tell of each line what it counted since the last look."""
        if self._looked_us is not None and now_us - self._looked_us < EVERY_US:
            return
        self._looked_us = now_us
        for line in self._lines():
            counts = {k: n for k, n in line.tally.items() if k.startswith(_COUNTS)}
            before = self._seen.get(line.channel, {})
            self._seen[line.channel] = counts
            fresh = {k: n - before.get(k, 0) for k, n in counts.items() if n > before.get(k, 0)}
            if fresh:
                self._tell(
                    Entry(
                        kind="peer-refused", who="unknown", what=f"callers of {line.channel}",
                        result="refused", fields={**fresh},
                    )
                )  # fmt: skip
