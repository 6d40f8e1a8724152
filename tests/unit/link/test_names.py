"""Which name a certificate is good for: RFC 6125, and the ways around it."""

from __future__ import annotations

import pytest

from headgate.crypto.extensions import Names
from headgate.link.names import bears, listed

BROKER = Names(
    ("broker.example", "*.gates.city.example", "xn--kcrv9v9ln.example"), ("10.0.3.1", "fd00::7")
)


@pytest.mark.parametrize(
    "asked",
    [
        "broker.example", "BROKER.Example", "broker.example.", "a.gates.city.example",
        "10.0.3.1", "fd00::7", "fd00:0:0::0007", "水利局.example",
    ],
)  # fmt: skip
def test_a_name_that_it_bears(asked: str) -> None:
    assert bears(BROKER, asked)


@pytest.mark.parametrize(
    "asked",
    [
        "", ".", "example", "xbroker.example", "broker.example.evil", "sub.broker.example",
        "gates.city.example", "a.b.gates.city.example", ".gates.city.example",
        "*.gates.city.example", "10.0.3.2", "10.0.3.1.example", "::ffff:10.0.3.1",
        "broker.example\0.evil", "broker .example", "broker..example", "a" * 70 + ".gates.city.example",
    ],
)  # fmt: skip
def test_a_name_that_it_does_not_bear(asked: str) -> None:
    assert not bears(BROKER, asked)


@pytest.mark.parametrize(
    "pattern",
    ["*", "*.", "*.example", "*.*.example", "b*.city.example", "a.*.example", "**.city.example"],
)
def test_a_wildcard_stands_for_one_whole_label_above_two_others(pattern: str) -> None:
    for asked in ("broker.city.example", "broker.example", "a.b.example", "example", pattern):
        assert not bears(Names((pattern,)), asked)


def test_an_address_is_never_matched_as_a_name() -> None:
    assert not bears(Names(("10.0.3.1", "*.0.3.1")), "10.0.3.1")
    assert not bears(Names((), ("10.0.3.1",)), "broker.example")


def test_names_are_listed_for_a_person() -> None:
    assert listed(Names(("a.example",), ("10.0.0.1",))) == "a.example, 10.0.0.1"
    assert listed(Names()) == "no name"
