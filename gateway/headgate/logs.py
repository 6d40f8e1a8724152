"""The log on standard error: one line per event, JSON or text, with the event's own fields.

What a log call gives as `extra` becomes fields; nothing else does. Secrets never reach a log call of ours;
should one stand in what a library says, `keep_out` has it left out all the same. A flood of one event is
thinned out: after a burst, one line says how many were held back.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: So many lines of one event per window pass.
_BURST, _WINDOW_S = 20, 10.0

#: What never stands in a line of the log. Shorter texts are left: they would eat half of every sentence.
_SECRETS: set[str] = set()
_SHORTEST_SECRET = 6
LEFT_OUT = "[secret]"


def keep_out(secret: str) -> None:
    """From now on no line of the log holds this text, nor any line of it: a key in PEM has many."""
    for part in {secret, *secret.splitlines()}:
        if len(part) >= _SHORTEST_SECRET and not part.startswith("-----"):
            _SECRETS.add(part)
            # As JSON writes it, where that is another text.
            _SECRETS.add(json.dumps(part, ensure_ascii=False)[1:-1])


def _without_secrets(line: str) -> str:
    for secret in sorted(_SECRETS, key=len, reverse=True):
        if secret in line:
            line = line.replace(secret, LEFT_OUT)
    return line


def set_up(level: str, form: str) -> None:
    """Send everything of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(_Thinned())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Libraries tell their own story at their own pace; ours names the same events with devices and codes.
    for noisy in ("mqtt", "asyncio", "pymodbus"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "room": record.name.removeprefix("headgate."),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return _without_secrets(json.dumps(said, ensure_ascii=False, default=str))


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        line = (
            f"{_at(record)} {record.levelname.lower():<7} {record.getMessage()}  {fields}".rstrip()
        )
        return _without_secrets(
            line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")
        )


class _Thinned(logging.Filter):
    """Lets a burst of each event through, then one line per window with the count of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        since, count = self._seen.get(key, (record.created, 0))
        if record.created - since >= _WINDOW_S:
            if count > _BURST:
                record.held_back = count - _BURST
            since, count = record.created, 0
        self._seen[key] = (since, count + 1)
        return count < _BURST
