import math
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headgate.columns import convert
from headgate.errors import ProfileError
from headgate.model import BitField, Linear, Lookup, Point, Polynomial
from headgate.profiles import check_params, match, resolve
from headgate.profiles.compile import raw_range
from headgate.profiles.schema import raw_sentinel
from headgate.sdk import Device

RADAR = """
[params.height]
unit = "m"
title = "Elevation"
[params.datum]
type = "text"
default = "1985"
label = "datum"
[[point]]
name = "level"
type = "uint16"
unit = "m"
scale = -0.001
offset = "$height"
range = ["$height - 40", "$height"]
deadband = "0.01"
sentinels = [0xFFFF]
register = 3
[[point]]
name = "state"
type = "bool"
[[point]]
name = "gap"
type = "uint16"
"""


def test_a_decimal_scale_gives_the_decimal_value(device) -> None:
    made = device('[[point]]\nname = "t"\ntype = "int16"\nscale = 0.1\n')
    conversion = made.points[0].point.conversion
    assert conversion == Linear(1, 10, 0)
    assert convert(conversion, 235) == 23.5
    assert convert(conversion, 3) == 0.3  # 3 * 0.1 would be 0.30000000000000004


@given(st.integers(-32768, 32767), st.integers(-999, 999), st.integers(0, 6))
def test_every_decimal_scale_is_correctly_rounded(raw: int, digits: int, places: int) -> None:
    assume(digits)
    scale = Decimal(digits).scaleb(-places)
    point = resolve_one(f"scale = {scale:f}" if places else f"scale = {digits}")
    assert convert(point.conversion, raw) == float(raw * scale)


def resolve_one(text: str, **params: float) -> Point:
    from headgate.profiles import decode

    head = 'schema = 1\nvendor = "a"\nmodel = "b"\ndriver = "x"\n'
    declared = "".join(f"[params.{name}]\n" for name in params)
    decoded = decode(
        f'{head}{declared}[[point]]\nname = "p"\ntype = "int16"\n{text}\n'.encode(), "p"
    )
    assert decoded.profile is not None, decoded.problems
    made = resolve(
        decoded.profile,
        device_id="d",
        number=1,
        channel="c",
        address=1,
        sm3=lambda _: b"",
        params=params,
    )
    return made.points[0].point


def test_a_devices_own_parameters_go_into_conversion_range_and_labels(device) -> None:
    made = device(RADAR, params={"height": 21.5}, labels={"station": "S1"}, firmware="1.0")
    level = made.points[0].point
    assert convert(level.conversion, 3245) == 18.255
    assert level.range == (-18.5, 21.5)
    assert level.deadband == 0.01
    assert made.labels == made.table.labels == {"datum": "1985", "station": "S1"}
    assert made.params == {"height": 21.5, "datum": "1985"}
    assert made.points[0].source == {"type": "uint16", "register": 3}
    assert (made.table.profile, made.table.firmware) == ("acme/x1@all", "1.0")


def test_points_of_one_type_share_a_column(device) -> None:
    made = device(RADAR, params={"height": 1})
    assert [p.name for p in made.table.points] == ["level", "gap", "state"]
    assert made.table.runs() == (("u16", 0, 2), ("bool", 2, 1))
    assert tuple(p.point for p in made.points) == made.table.points


def test_the_table_is_named_by_the_hash_of_its_bytes(device) -> None:
    seen = []
    made = device(RADAR, params={"height": 1}, sm3=lambda data: seen.append(data) or b"hash")
    assert made.table_hash == b"hash"
    assert seen == [msgspec.msgpack.encode(made.table)]


def test_a_device_crosses_to_a_plugin_host_unchanged(device) -> None:
    made = device(RADAR, params={"height": 1})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Device) == made


def test_a_parameter_of_the_wrong_kind_is_told_what_belongs_there(read) -> None:
    profile = read("[params.a]\n[params.b]\nrange = [0, 1]\n" + RADAR.strip()).profile
    given = {"a": "25.4", "b": "x", "height": 1}
    said = [(p.fields["value"], p.fields["allowed"]) for p in check_params(profile, given, "d")]
    assert said == [('"25.4"', "number"), ('"x"', "number, 0 .. 1")]


def test_everything_wrong_with_the_parameters_is_told_together(read) -> None:
    text = "[params.a]\n[params.b]\nrange = [0, 1]\n[params.c]\n" + RADAR.strip()
    profile = read(text).profile
    with pytest.raises(ProfileError) as error:
        resolve(
            profile, device_id="d", number=1, channel="c", address=1, sm3=lambda b: b,
            params={"b": 5, "heigth": 3, "c": "x", "datum": 5},
        )  # fmt: skip
    found = {(p.code, p.fields["param"], p.fields.get("nearest")) for p in error.value.problems}
    assert found == {
        ("HG-8032", "b", None),
        ("HG-8031", "heigth", "height"),
        ("HG-8032", "c", None),
        ("HG-8032", "datum", None),
        ("HG-8030", "a", None),
        ("HG-8030", "height", None),
    }


def test_parameters_that_give_no_number_are_a_problem_of_the_point(read) -> None:
    profile = read('[params.k]\n[[point]]\nname = "q"\ntype = "uint16"\nscale = "1 / $k"\n').profile
    with pytest.raises(ProfileError) as error:
        resolve(
            profile,
            device_id="d",
            number=1,
            channel="c",
            address=1,
            sm3=lambda b: b,
            params={"k": 0},
        )
    assert [(p.code, p.fields["point"]) for p in error.value.problems] == [("HG-8033", "q")]


@pytest.mark.parametrize(
    ("text", "conversion"),
    [
        ('polynomial = [1, "$k", 0.5]', Polynomial((1.0, 2.5, 0.5))),
        (
            'lookup = [[0, 0], [10, "$k"]]\nbetween = "step"',
            Lookup(((0.0, 0.0), (10.0, 2.5)), "step"),
        ),
        ("bits = { shift = 4, width = 3 }", BitField(4, 3)),
        ("offset = 5", Linear(1.0, 1.0, 5.0)),
        ("", None),
    ],
)
def test_each_kind_of_conversion_is_announced(text: str, conversion: object) -> None:
    assert resolve_one(text, k=2.5).conversion == conversion


def test_a_lookup_that_does_not_rise_is_refused() -> None:
    with pytest.raises(ProfileError):
        resolve_one("lookup = [[1, 0], [0, 1]]")


@pytest.mark.parametrize(
    ("column", "written", "raw"),
    [("i16", 0x8000, -32768), ("i16", -1, -1), ("i32", 0xFFFFFFFF, -1), ("u16", 0xFFFF, 65535),
     ("f64", -9999, -9999.0), ("f32", 0.1, 0.10000000149011612)],
)  # fmt: skip
def test_a_sentinel_stands_as_the_column_holds_it(column, written, raw) -> None:
    assert raw_sentinel(column, written) == raw


def test_nan_is_a_sentinel_of_floats_alone() -> None:
    assert math.isnan(raw_sentinel("f32", "nan"))
    for column in ("u16", "text", "bool"):
        with pytest.raises(ValueError):  # noqa: PT011
            raw_sentinel(column, "nan")


numbers = st.integers(-10_000, 10_000).map(lambda n: n / 1000)


@given(
    st.integers(-500, 500).filter(bool), st.sampled_from([1, 3, 10, 1000]), numbers, numbers, numbers,
    st.integers(-32768, 32767),
)  # fmt: skip
def test_the_raw_range_says_exactly_what_the_engineering_range_says(
    multiply: int, divide: int, offset: float, a: float, b: float, raw: int
) -> None:
    line = Linear(float(multiply), float(divide), offset)
    low, high = min(a, b), max(a, b)
    edges = raw_range(Point("p", "i16", conversion=line, range=(low, high)))
    assert edges is not None
    for near in (raw, *(int(edge) + step for edge in edges for step in (-1, 0, 1))):
        value = convert(line, near)
        assert (low <= value <= high) == (edges[0] <= near <= edges[1])


def test_an_open_end_of_a_range_stays_open_on_the_right_side() -> None:
    falling = Linear(-1.0, 10.0, 5.0)
    assert raw_range(Point("p", "i16", conversion=falling, range=(0.0, None))) == (None, 50.0)


def test_the_variant_is_chosen_by_firmware_and_a_doubt_is_told(read, device) -> None:
    profile = read(
        '[[point]]\nname = "a"\ntype = "uint16"\n[[variant]]\nname = "1.x"\nfirmware = { below = "2" }\n'
        '[[variant]]\nname = "2.x"\nfirmware = { from = "2", below = "3" }\nwhen_unknown = true\n'
        '[[variant.point]]\nname = "a"\nscale = 2\n'
    ).profile
    assert device(profile, firmware="1.9.9").table.profile == "acme/x1@1.x"
    assert device(profile, firmware="2.0.0").points[0].point.conversion == Linear(2.0, 1.0, 0.0)
    assert match(profile, "1.4").notice is None
    doubt = match(profile, "7.0", 'device "d"')
    assert (doubt.variant.name, doubt.notice.code, doubt.notice.where) == (
        "2.x",
        "HG-8052",
        'device "d"',
    )
