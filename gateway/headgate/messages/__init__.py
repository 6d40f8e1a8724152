"""Every sentence said to a person: a code, Chinese and English, and what to do next.

    from headgate.messages import say, fix, explain, language, render_error

Each room keeps its sentences in its own file here (`config.toml` holds HG-1xxx, ...). Everything
else writes logs; only this package speaks.
"""

from headgate.messages.catalogue import (
    ROOMS,
    Entry,
    Language,
    Severity,
    entries,
    explain,
    fix,
    language,
    render_error,
    render_problem,
    say,
    severity,
)

__all__ = [
    "ROOMS",
    "Entry",
    "Language",
    "Severity",
    "entries",
    "explain",
    "fix",
    "language",
    "render_error",
    "render_problem",
    "say",
    "severity",
]
