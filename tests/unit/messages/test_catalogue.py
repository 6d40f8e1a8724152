"""The catalogue is whole, and says something useful whatever it is given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate import errors
from headgate.errors import ConfigError, HeadgateError, Problem
from headgate.messages import (
    entries,
    explain,
    fix,
    language,
    render_error,
    render_problem,
    say,
    severity,
)

ROOT = Path(__file__).parents[3]
SOURCES = ("gateway", "drivers", "plugins", "receiver", "simulators", "tools")
CODE = re.compile(r"HG-\d{4}\b")
CHINESE = re.compile(r"[\u4e00-\u9fff]")

# What only tells that something was done may need no next step.
NOTICES = tuple(code for code, entry in entries().items() if entry.severity == "info")


def used_codes() -> dict[str, str]:
    """Each code that the source says, and one file that says it."""
    found: dict[str, str] = {}
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for code in CODE.findall(path.read_text(encoding="utf-8")):
                found.setdefault(code, str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("code", entries())
def test_every_entry_speaks_both_languages_with_the_same_fields(code: str) -> None:
    entry = entries()[code]
    assert re.fullmatch(r"HG-[1-9]\d{3}", code)
    assert entry.en.strip()
    # A sentence that is nothing but fields is as good in either language.
    assert CHINESE.search(entry.zh) or not re.sub(r"\{\w+\}", "", entry.en).strip(" .:-"), entry.zh
    if code not in NOTICES:
        assert entry.fix_en.strip()
        assert CHINESE.search(entry.fix_zh)
    assert bool(entry.fix_en) == bool(entry.fix_zh)
    assert entry.placeholders("en") == entry.placeholders("zh")


@pytest.mark.parametrize("code", entries())
def test_braces_in_a_text_are_fields_and_nothing_else(code: str) -> None:
    entry = entries()[code]
    for text in (entry.en, entry.zh, entry.fix_en, entry.fix_zh):
        left = re.sub(r"\{[a-z][a-z0-9_]*\}", "", text)
        # Literal braces only as a bare pair, as in "tables in { }".
        assert not re.search(r"\{[^ ]|[^ ]\}", left), text


def test_every_code_that_the_source_says_is_in_the_catalogue() -> None:
    missing = {code: where for code, where in used_codes().items() if code not in entries()}
    assert missing == {}


def test_every_error_class_has_an_entry() -> None:
    classes = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, HeadgateError)
    ]
    assert {kind.default_code for kind in classes} <= set(entries())


def test_a_sentence_is_filled_in_for_the_reader() -> None:
    fields = {"key": "baud_rate", "nearest": "baud", "allowed": "baud, parity"}
    assert say("HG-1101", "en", **fields) == (
        "The key `baud_rate` is not known here; did you mean `baud`?"
    )
    assert "是否想写 `baud`" in say("HG-1101", "zh", **fields)
    assert fix("HG-1101", "en", **fields) == "Known keys: baud, parity."


def test_a_missing_field_leaves_a_question_mark_and_raises_nothing() -> None:
    assert "`?`" in say("HG-1100", "en")


def test_a_field_is_not_read_as_a_template() -> None:
    assert "{allowed}" in say("HG-1100", "en", key="{allowed}", allowed="secret")
    assert "secret" not in say("HG-1100", "en", key="{allowed}", allowed="secret")


def test_fields_named_like_the_arguments_are_fields() -> None:
    assert say("HG-9999", "en", code="a", lang="b") == "HG-9999 (code=a, lang=b)"


def test_what_a_device_or_file_says_cannot_steer_the_terminal() -> None:
    text = say("HG-1100", "en", key="\x1b[2J\r\nroot:\u202e", allowed="")
    assert text.isprintable()


def test_an_unknown_code_is_still_told() -> None:
    assert say("HG-9999", "zh", device="g-1") == "HG-9999 (device=g-1)"
    assert fix("HG-9999", "zh") == ""
    assert severity("HG-9999") == "error"
    assert explain("HG-9999") is None


@pytest.mark.parametrize("spelling", ["HG-1203", "hg-1203", "HG1203", "1203", " hg-1203 "])
def test_a_code_is_found_however_it_is_typed(spelling: str) -> None:
    assert explain(spelling) is entries()["HG-1203"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "HEADGATE_LANG": "zh"}, "zh"),
        ({"HEADGATE_LANG": "", "LANG": "zh"}, "zh"),
        ({"LANG": "de_DE"}, "en"),
    ],
)
def test_the_language_is_the_readers(variables: dict[str, str], expected: str) -> None:
    assert language(variables.get) == expected


def test_a_problem_says_where_what_and_what_to_do() -> None:
    problem = Problem("site.toml:4: device[1].interval", "HG-1107", {"value": "5 sec"})
    first, second = render_problem(problem, "en").splitlines()
    assert first == 'site.toml:4: device[1].interval: "5 sec" is not a duration. [HG-1107]'
    assert second.startswith("    Write a number and a unit")


def test_every_problem_of_a_configuration_is_told() -> None:
    error = ConfigError([Problem("a", "HG-1001"), Problem("b", "HG-1004", {"offset": 3})])
    told = render_error(error, "zh")
    assert "HG-1001" in told
    assert "HG-1004" in told


def test_an_error_without_a_sentence_of_its_own_tells_its_text() -> None:
    assert "the cable is cut" in render_error(HeadgateError("the cable is cut"), "en")
    assert "the cable is cut" in render_error(HeadgateError("the cable is cut"), "zh")


@given(
    st.sampled_from(sorted(entries())),
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text() | st.integers() | st.none()
    ),
)
def test_telling_never_raises(code: str, fields: dict[str, object]) -> None:
    for lang in ("zh", "en"):
        told = say(code, lang, **fields)  # type: ignore[arg-type]
        assert told.replace("\n", "").isprintable()
        fix(code, lang, **fields)  # type: ignore[arg-type]
