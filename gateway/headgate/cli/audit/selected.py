"""Which entries are meant: for `show` and `export`."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from headgate.audit.line import Line
from headgate.errors import HeadgateError


class Wanted(msgspec.Struct, frozen=True):
    """What is asked for. None: all. Times are unix microseconds."""

    since_us: int | None = None
    until_us: int | None = None
    kind: str | None = None
    who: str | None = None

    @property
    def whole(self) -> bool:
        """Whether entries are left out by their time alone, so that they still hang together."""
        return self.kind is None and self.who is None

    def has(self, line: Line) -> bool:
        """Whether an entry is one of them. A kind may be the beginning of one: `command`."""
        return (
            (self.since_us is None or line.wall >= self.since_us)
            and (self.until_us is None or line.wall < self.until_us)
            and (self.kind is None or line.kind.startswith(self.kind))
            and (self.who is None or line.who == self.who)
        )


def wanted(since: str | None, until: str | None, kind: str | None, who: str | None) -> Wanted:
    """From what a person gave.

    Raises:
        HeadgateError: this is no time.
    """
    return Wanted(_instant(since), _instant(until), kind, who)


def _instant(text: str | None) -> int | None:
    """Unix microseconds of "2026-07-01" or "2026-07-01T08:00+08:00"; without a zone UTC, as it is shown."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise HeadgateError(f"no time: {text}", code="HG-4052", given=text) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
