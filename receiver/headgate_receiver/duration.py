"""Lengths of time as people write them on a command line."""

from __future__ import annotations

import re
from typing import Final

from headgate.errors import HeadgateError

_FORM: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|min|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, None: 1.0}


def seconds(written: str) -> float:
    """Seconds of "500ms", "2s", "10min" or "1h". Raises HeadgateError HG-7501."""
    found = _FORM.fullmatch(written.strip())
    if found is None:
        raise HeadgateError(f"{written}: no duration", code="HG-7501", written=written)
    return float(found[1]) * _SECONDS[found[2]]
