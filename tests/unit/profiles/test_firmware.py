import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.profiles.firmware import (
    FirmwareRange,
    HasFirmware,
    Hole,
    Overlap,
    choose,
    covers,
    parse,
    survey,
)


def variant(
    name: str,
    from_: str | None = None,
    below: str | None = None,
    *one_of: str,
    unknown: bool = False,
) -> HasFirmware:
    return HasFirmware(name, FirmwareRange(from_, below, one_of), unknown)


def test_dotted_versions_compare_number_by_number() -> None:
    ordered = ["1.9.9", "2", "2.10", "10.0"]
    versions = [parse("dotted", text) for text in ordered]
    assert versions == sorted(versions)
    assert len(set(versions)) == 4
    assert parse("dotted", "2") == parse("dotted", "2.0.0") == parse("dotted", " V2.0 ")


numbers = st.lists(st.integers(0, 10**6), min_size=1, max_size=5)


@given(numbers, numbers)
def test_dotted_order_is_the_order_of_the_numbers(a: list[int], b: list[int]) -> None:
    long = max(len(a), len(b))
    padded = [x + [0] * (long - len(x)) for x in (a, b)]
    mine = [parse("dotted", ".".join(map(str, x))) for x in (a, b)]
    assert (mine[0] < mine[1]) == (padded[0] < padded[1])
    assert (mine[0] == mine[1]) == (padded[0] == padded[1])


def test_dates_and_integers_compare_as_such() -> None:
    assert parse("date", "2023-05-01") == parse("date", "20230501") < parse("date", "2023.12.01")
    assert parse("integer", "9") < parse("integer", "10")


@pytest.mark.parametrize(
    ("scheme", "text"),
    [("dotted", "1.4-rc1"), ("dotted", ""), ("dotted", "1..2"), ("dotted", "-1"), ("integer", "1.4"),
     ("integer", "²"), ("date", "2023-02-30"), ("date", "2023-0501"), ("exact", " "), ("dotted", "9" * 99)],
)  # fmt: skip
def test_what_is_not_of_a_scheme_is_refused(scheme: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is for no one
        parse(scheme, text)  # type: ignore[arg-type]


def test_a_range_holds_from_and_not_below() -> None:
    span = FirmwareRange("2.0", "3.0")
    assert [covers("dotted", span, text) for text in ("1.9.9", "2", "2.99", "3.0")] == [
        False, True, True, False,
    ]  # fmt: skip


def test_ranges_that_meet_neither_overlap_nor_leave_a_hole() -> None:
    found = survey("dotted", [variant("old", None, "2.0"), variant("new", "2.0")])
    assert found == ([], [])


def test_overlaps_and_holes_are_found_whatever_the_order_of_the_file() -> None:
    overlaps, holes = survey(
        "dotted", [variant("c", "5", "6"), variant("a", "1.0", "3.0"), variant("b", "2.0", "4.0")]
    )
    assert overlaps == [Overlap("a", "b")]
    assert holes == [Hole(None, "1.0"), Hole("4.0", "5"), Hole("6", None)]


def test_a_range_inside_another_does_not_hide_the_next_overlap() -> None:
    overlaps, holes = survey(
        "dotted", [variant("wide", "1", "9"), variant("in", "2", "3"), variant("late", "4", "12")]
    )
    assert overlaps == [Overlap("wide", "in"), Overlap("wide", "late")]
    assert Hole("12", None) in holes


def test_an_unbounded_variant_overlaps_everything() -> None:
    overlaps, _ = survey("dotted", [variant("any"), variant("new", "2.0")])
    assert overlaps == [Overlap("any", "new")]


spans = (
    st.tuples(st.none() | st.integers(0, 8), st.none() | st.integers(0, 9))
    .filter(lambda s: s[0] is None or s[1] is None or s[0] < s[1])
    .filter(lambda s: s[1] != 0)
)


@given(st.lists(spans, min_size=1, max_size=4))
def test_a_survey_agrees_with_trying_every_version(
    given_spans: list[tuple[int | None, int | None]],
) -> None:
    variants = [
        variant(f"v{i}", *(None if x is None else str(x) for x in span))
        for i, span in enumerate(given_spans)
    ]
    counts = [sum(covers("integer", v.firmware, str(n)) for v in variants) for n in range(12)]
    overlaps, holes = survey("integer", variants)
    assert bool(overlaps) == (max(counts) > 1)
    if not overlaps:
        # A hole below `from = 0` holds no version that these numbers could be.
        real = [hole for hole in holes if hole != Hole(None, "0")]
        assert bool(real) == (min(counts) == 0)


def test_exact_firmware_is_listed_and_has_no_order() -> None:
    variants = [variant("a", None, None, "A1", "A2"), variant("b", None, None, "A2", unknown=True)]
    assert survey("exact", variants) == ([Overlap("a", "b")], [])
    assert choose("exact", variants, "A1") == (variants[0], None)
    assert choose("exact", variants, "Z9") == (variants[1], "HG-8052")


def test_a_unit_gets_its_variant_or_the_one_for_the_unknown_with_a_notice() -> None:
    old, new = variant("old", None, "2.0"), variant("new", "2.0", "3.0", unknown=True)
    for firmware, expected in [
        ("1.4", (old, None)),
        ("2.0", (new, None)),
        (None, (new, None)),
        ("3.0", (new, "HG-8052")),
        ("beta", (new, "HG-8053")),
    ]:
        assert choose("dotted", [old, new], firmware) == expected


def test_a_profile_of_one_map_takes_any_firmware_in_silence() -> None:
    only = variant("all", unknown=True)
    assert choose("dotted", [only], "beta") == (only, None)
