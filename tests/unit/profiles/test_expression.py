from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.profiles.expression import LIMIT, ExpressionError, check, evaluate, names

PARAMS = {"a": 2.5, "b": 4, "small": 0.1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$a", "2.5"),
        ("-$a", "-2.5"),
        ("$a * 0.5", "1.25"),
        ("1 + 2 * $b", "9"),
        ("(1 + 2) * $b", "12"),
        ("10 - 3 - 2", "5"),
        ("8 / 4 / 2", "1"),
        ("2 * -$b", "-8"),
        ("1e-3*$b", "0.004"),
        (".5", "0.5"),
    ],
)
def test_expressions_mean_what_school_taught(text: str, value: str) -> None:
    assert evaluate(text, PARAMS) == Fraction(value)


def test_a_decimal_stays_the_decimal_that_was_written() -> None:
    assert evaluate(0.1, {}) == Fraction(1, 10)
    assert evaluate("$small * 3", PARAMS) == Fraction(3, 10)
    assert evaluate("0.1 + 0.2", {}) == Fraction(3, 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "1 +",
        "* 2",
        "(1",
        "1)",
        "1 2",
        "a",
        "$",
        "$1",
        "2 ** 3",
        "__import__('os')",
        "1,5",
        "1e999",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        check(text)


def test_a_long_text_is_refused_before_it_costs_anything() -> None:
    check("(" * 90 + "1" + ")" * 90)
    with pytest.raises(ExpressionError):
        check("(" * LIMIT + "1" + ")" * LIMIT)


def test_dividing_by_a_parameter_that_is_zero_is_found_when_the_parameter_is_known() -> None:
    check("1 / $a")
    with pytest.raises(ExpressionError):
        evaluate("1 / $a", {"a": 0})


def test_parameters_are_named_in_order_and_once() -> None:
    assert names("$b * $a + $b") == ("b", "a")
    assert names(3.0) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_parameter_that_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ExpressionError):
        evaluate("$a", {"a": value})


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**9), st.integers(-(10**9), 10**9))
def test_arithmetic_is_exact(a: int, b: int, c: int) -> None:
    assert (
        evaluate("($a + $c) / $b - $c * $a", {"a": a, "b": b, "c": c}) == Fraction(a + c, b) - c * a
    )


@given(st.text(max_size=40))
def test_hostile_text_is_an_expression_error_or_an_expression(text: str) -> None:
    try:
        check(text)
    except ExpressionError:
        return
    names(text)
