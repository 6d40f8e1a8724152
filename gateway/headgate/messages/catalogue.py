"""The catalogue: look a sentence up by its code, fill it in, in the reader's language.

Nothing here raises on the way to a person: an unknown code, a missing field or a hostile value
gives a poorer sentence, never a traceback in front of a technician.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol

import msgspec

from headgate.messages.rules import in_chinese

Language = Literal["zh", "en"]
Severity = Literal["error", "warning", "info"]

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LONGEST = 400
#: What names the nearest right word, for when there is none: a clause, or a sentence.
_NEAREST_REST = re.compile(
    r"\s*[(（][^()（）]*\{nearest\}[^()（）]*[)）]"
    r"|(?P<stop>[;；])[^.。?？;；]*\{nearest\}[^.。?？]*[.?。？]"
)
_NEAREST = re.compile(r"[^.。?？]*\{nearest\}[^.。?？]*[.?。？]")
_STOP = {";": ".", "；": "。", None: ""}


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence of the catalogue and what to do about it, in both languages.

    `{name}` in a text stands for a field. `reserved` marks a code that nothing says yet.
    """

    en: str
    zh: str
    fix_en: str
    fix_zh: str
    severity: Severity = "error"
    reserved: bool = False

    def text(self, lang: Language) -> str:
        """The sentence, fields still open."""
        return self.zh if lang == "zh" else self.en

    def fix(self, lang: Language) -> str:
        """What to do, fields still open."""
        return self.fix_zh if lang == "zh" else self.fix_en

    def placeholders(self, lang: Language) -> frozenset[str]:
        """Names of the fields that the sentence and its fix want."""
        return frozenset(_PLACEHOLDER.findall(self.text(lang) + self.fix(lang)))


class _Problem(Protocol):
    @property
    def where(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, object]: ...


class _Error(Protocol):
    @property
    def code(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, object]: ...


@cache
def entries() -> Mapping[str, Entry]:
    """Every entry by code, in order. Raises ValueError when a file of ours is broken (a bug)."""
    found: dict[str, Entry] = {}
    for file in files(__package__).iterdir():
        if not file.name.endswith(".toml") or file.name == "rules.toml":
            continue
        for code, raw in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if code in found:
                raise ValueError(f"{code} stands in {file.name} and in another file")
            found[code] = msgspec.convert(raw, Entry)
    return dict(sorted(found.items()))


def explain(code: str) -> Entry | None:
    """The entry of a code, None when there is none. Accepts `HG-1203`, `hg1203` and `1203`."""
    digits = re.sub(r"(?i)^\s*(hg)?-?", "", code).strip()
    return entries().get(f"HG-{digits}")


def severity(code: str) -> Severity:
    """How bad it is; an unknown code is an error."""
    entry = entries().get(code)
    return entry.severity if entry else "error"


def say(code: str, lang: Language, /, **fields: object) -> str:
    """The sentence of a code, filled in. An unknown code gives the code and its fields."""
    entry = entries().get(code)
    if entry is None:
        told = ", ".join(f"{key}={_plain(value)}" for key, value in fields.items())
        return f"{code} ({told})" if told else code
    return _fill(entry.text(lang), lang, fields)


def fix(code: str, lang: Language, /, **fields: object) -> str:
    """What to do about it, filled in; empty for an unknown code."""
    entry = entries().get(code)
    return "" if entry is None else _fill(entry.fix(lang), lang, fields)


def language(variable: Callable[[str], str | None]) -> Language:
    """The reader's language, from the environment: HEADGATE_LANG, LC_ALL, LC_MESSAGES, LANG.

    The first that is set decides: `zh...` is Chinese, everything else English.
    """
    for name in ("HEADGATE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = variable(name)
        if value:
            return "zh" if value.strip().lower().startswith("zh") else "en"
    return "en"


def render_problem(problem: _Problem, lang: Language) -> str:
    """Where, what, and on the next line what to do: one mistake in something a person wrote."""
    lines = [
        f"{_plain(problem.where)}: {say(problem.code, lang, **problem.fields)} [{problem.code}]"
    ]
    advice = fix(problem.code, lang, **problem.fields)
    if advice:
        lines.append(f"    {advice}")
    return "\n".join(lines)


def render_error(error: _Error, lang: Language) -> str:
    """What a person is told of a `HeadgateError`: all problems of a `ConfigError`, else sentence and fix.

    The error's own English text is at hand as `{text}`, for codes that many causes share.
    """
    problems: Sequence[_Problem] = getattr(error, "problems", ())
    if problems:
        return "\n".join(render_problem(problem, lang) for problem in problems)
    fields = {"text": str(error), **error.fields}
    lines = [f"{say(error.code, lang, **fields)} [{error.code}]"]
    advice = fix(error.code, lang, **fields)
    if advice:
        lines.append(f"    {advice}")
    return "\n".join(lines)


def _fill(template: str, lang: Language, fields: Mapping[str, object]) -> str:
    if fields.get("nearest") in ("", "-"):
        template = _NEAREST_REST.sub(lambda cut: _STOP[cut["stop"]], template)
        template = _NEAREST.sub("", template).strip()

    def told(match: re.Match[str]) -> str:
        text = _plain(fields.get(match[1], "?"))
        return in_chinese(text) if lang == "zh" else text

    # Not str.format: a missing field must not raise, and a field never reaches into an object.
    return _PLACEHOLDER.sub(told, template)


def _plain(value: object) -> str:
    """A field as text that cannot steer a terminal, of bounded length."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, (list, tuple, set, frozenset)):
        text = ", ".join(str(part) for part in value)
    else:
        text = str(value)
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )
