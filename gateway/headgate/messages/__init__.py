"""Every sentence said to a person: a code, Chinese and English, and what to do next.

    from headgate.messages import say, fix, explain, language, render_error

Each room keeps its sentences in its own file here; the first digit of a code names the room:
1 config, 2 plugins, 3 channels and devices, 4 spool, 5 uplinks, 6 keys and envelope, 7 receiver,
8 profiles, 9 runtime and command line. Everything else writes logs; only this package speaks.
"""

from headgate.messages.catalogue import (
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
