"""Inside a Chinese sentence the reason is Chinese, too; and a nearest word that is none is not spoken of."""

from __future__ import annotations

import re
import tomllib

import pytest

from headgate.channels import check_url
from headgate.messages import entries, fix, render_problem, say
from headgate.messages.rules import in_chinese, rules

ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}")


@pytest.mark.parametrize(
    ("en", "zh"),
    [
        ("no host", "缺少主机地址"),
        ("baud=fast: 50 to 4e+06", "baud=fast：应为 50 至 4e+06"),
        ("4 bytes", "4 个字节"),
        ("[Errno 111] Connect call failed ('10.0.0.1', 502)", "连接被拒绝 ('10.0.0.1', 502)"),
        ("Invalid value (column 7)", "值无效（第 7 列）"),
        ("something of a vendor's", "something of a vendor's"),
    ],
)
def test_a_reason_in_chinese(en: str, zh: str) -> None:
    assert in_chinese(en) == zh


@pytest.mark.parametrize(
    "url",
    [
        "modbus+rtu://dev/ttyS1",
        "modbus+tcp://",
        "modbus+rtu:///dev/ttyS1?stop=3",
        "serial:///dev/a?baud=x",
    ],
)
def test_a_url_that_is_none_is_told_in_one_language(url: str) -> None:
    [problem] = check_url("bus", url)
    sentence = say(problem.code, "zh", **problem.fields)
    assert not ENGLISH.search(sentence), sentence


@pytest.mark.parametrize(
    "text", ["a = ", "a = 1 2", "[a", 'a = "x', "a = [1", "a = 1\na = 2", "1979-13-99"]
)
def test_what_the_toml_reader_says_is_known(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as refused:
        tomllib.loads(text)
    said = str(refused.value).split(" (at ")[0]
    assert in_chinese(said) != said, said


def test_every_pattern_takes_over_all_it_finds() -> None:
    for en, zh in rules()[0].items():
        places = re.findall(r"\{([a-z]+)\}", en)
        assert sorted(places) == sorted(re.findall(r"\{([a-z]+)\}", zh)), en


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_nearest_word_is_not_spoken_of(language: str) -> None:
    for code, entry in entries().items():
        if "{nearest}" not in entry.text(language) + entry.fix(language):  # type: ignore[arg-type]
            continue
        fields = dict.fromkeys(entry.placeholders(language), "x") | {"nearest": "-"}  # type: ignore[arg-type]
        sentence = say(code, language, **fields)  # type: ignore[arg-type]
        advice = fix(code, language, **fields)  # type: ignore[arg-type]
        told = f"{sentence} {advice}"
        assert not re.search(r"[Nn]earest|[Dd]id you mean|最接近|是否指|是否为|-[?？.。]", told), (
            told
        )
        assert sentence


def test_a_nearest_word_is_spoken_of_where_there_is_one() -> None:
    assert "radar-level" in fix("HG-8040", "zh", nearest="generic/radar-level")


def test_a_field_of_a_person_is_not_taken_for_a_rule() -> None:
    class Told:
        where, code = "site.toml:3", "HG-8040"
        fields = {"profile": "acme/x", "nearest": "-", "allowed": "-"}  # noqa: RUF012

    assert "acme/x" in render_problem(Told(), "zh")
