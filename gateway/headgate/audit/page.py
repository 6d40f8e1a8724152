"""The table of kinds in `docs/reference/audit.md`: made from the table that the code itself uses."""

from __future__ import annotations

from collections.abc import Iterator

from headgate.audit.kinds import KINDS


def kinds_table() -> str:
    """Markdown, one row per kind."""
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    yield "| kind | what it says | 含义 | a flood of it |"
    yield "|---|---|---|---|"
    for name, kind in KINDS.items():
        flood = "is counted" if kind.limited else ""
        yield f"| `{name}` | {kind.en} | {kind.zh} | {flood} |"
