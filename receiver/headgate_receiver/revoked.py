"""Gateway certificates that are no longer good: one SM3 fingerprint a line, as `certs show` prints it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from headgate.env import Files
from headgate.errors import ConfigError, Problem

_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{64}")


def read_revoked(path: Path, files: Files) -> frozenset[bytes]:
    """The fingerprints in a file. Empty lines and what follows a `#` are for people.

    Raises:
        ConfigError: the file cannot be read, or lines of it are no fingerprints; every one is named.
    """
    try:
        text = files.read(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(path), "HG-7006", {"reason": str(error)})]) from None
    found: set[bytes] = set()
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if _FINGERPRINT.fullmatch(written):
            found.add(bytes.fromhex(written))
        elif written:
            problems.append(Problem(f"{path}:{number}", "HG-7007", {"text": written[:80]}))
    if problems:
        # A list that is believed in part lets somebody in.
        raise ConfigError(problems)
    return frozenset(found)
