"""An entry as a person reads it, in either language; and its time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from headgate.audit.kinds import KINDS
from headgate.audit.line import Line
from headgate.messages import Language, say

_PLACEHOLDER: Final = re.compile(r"\{([a-z_0-9]+)\}")
_RESULTS: Final = {"ok": "成功", "refused": "拒绝", "failed": "失败"}


def sentence(line: Line, language: Language) -> str:
    """What an entry says. A kind that is not in the table gives its parts; nothing here raises."""
    kind = KINDS.get(line.kind)
    template = "{kind}: {who}, {what}" if kind is None else kind.zh if language == "zh" else kind.en
    parts = {**line.fields, "kind": line.kind, "who": line.who, "what": line.what}

    def told(match: re.Match[str]) -> str:
        value = parts.get(match[1], "?")
        return _printable("-" if value is None else str(value))

    text = _PLACEHOLDER.sub(told, template)
    if line.code:
        reason = say(line.code, language, **line.fields)
        text += f"：{reason}" if language == "zh" else f": {reason}"
    return text


def result_word(line: Line, language: Language) -> str:
    """How it ended, in the reader's language."""
    return _RESULTS.get(line.result, line.result) if language == "zh" else line.result


def time_of(line: Line) -> str:
    """Wall time in UTC, as the box knew it; `?` behind it where nobody vouched for the clock."""
    return iso(line.wall) + (
        "" if line.clock == "synced" else "?" if line.clock == "unsynced" else "~"
    )


def iso(wall_us: int | None) -> str:
    """A wall time in UTC; "-" where none is known."""
    if wall_us is None:
        return "-"
    try:
        at = datetime.fromtimestamp(wall_us / 1e6, UTC)
    except (OverflowError, ValueError, OSError):
        return str(wall_us)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
