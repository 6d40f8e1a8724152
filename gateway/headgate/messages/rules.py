"""Rules and reasons inside a sentence, in the reader's language: `rules.toml` holds them.

They arise in English deep in a codec, the TOML reader or the system. What is not known there stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

_PLACE = re.compile(r"\{([a-z]+)\}")
#: A reason may stand inside a reason; no deeper than this.
_DEPTH = 2


@cache
def rules() -> tuple[dict[str, str], tuple[tuple[re.Pattern[str], str], ...]]:
    """(whole texts, patterns with places), English to Chinese."""
    file = files(__package__) / "rules.toml"
    said: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["rules"]
    patterns = []
    for en in said:
        if _PLACE.search(en):
            # split gives text and names in turns
            parts = _PLACE.split(en)
            texts = [
                re.escape(part) if at % 2 == 0 else f"(?P<{part}>.+?)"
                for at, part in enumerate(parts)
            ]
            patterns.append((re.compile("".join(texts)), said[en]))
    return said, tuple(patterns)


def in_chinese(text: str, depth: int = 0) -> str:
    """A rule or reason in Chinese; the text itself where it is none that is known."""
    whole, patterns = rules()
    if text in whole:
        return whole[text]
    if depth < _DEPTH and len(text) <= 400:
        for pattern, said in patterns:
            found = pattern.fullmatch(text)
            if found is not None:
                told = {key: in_chinese(part, depth + 1) for key, part in found.groupdict().items()}
                return "".join(
                    told.get(part, part) if at % 2 else part
                    for at, part in enumerate(_PLACE.split(said))
                )
    return text
