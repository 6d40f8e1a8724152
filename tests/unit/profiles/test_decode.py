import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.messages import entries, render_problem
from headgate.profiles import decode
from headgate.profiles.decode import MAX_BYTES
from headgate.profiles.schema import Decoded

POINT = '[[point]]\nname = "level"\ntype = "uint16"\nunit = "m"\n'
MODBUS = {"toy": {"register": "", "area": "", "bit": "", "order": ""}}


def codes(decoded: Decoded) -> list[str]:
    return [problem.code for problem in decoded.problems]


def test_a_small_profile_is_read(read) -> None:
    decoded = read(POINT + "register = 0x10\n")
    assert decoded.problems == ()
    profile = decoded.profile
    assert profile.id == "acme/x1"
    assert [v.when_unknown for v in profile.variants] == [True]
    assert profile.variants[0].points[0].source == {"register": 16}


def test_every_mistake_is_reported_at_once_with_its_line(read) -> None:
    decoded = read(
        'titel = "red"\n'  # 5
        "[params]\n"  # 6
        'k = { unit = "metres" }\n'  # 7
        "[[point]]\n"  # 8
        'name = "level"\n'
        'type = "unit16"\n'  # 10
        "[[point]]\n"  # 11
        'name = "rain"\n'
        'type = "uint16"\n'
        'unit = "°C"\n'  # 14
        'scale = "$kk"\n'  # 15
        'offset = "2 +"\n'  # 16
        "sentinels = [70000]\n"  # 17
    )
    assert decoded.profile is None
    found = {(p.where.split(":")[1], p.code, p.fields.get("nearest")) for p in decoded.problems}
    assert found == {
        ("5", "HG-8006", "title"),
        ("7", "HG-8009", "m"),
        ("10", "HG-8008", "uint16"),
        ("14", "HG-8009", "Cel"),
        ("15", "HG-8011", "k"),
        ("16", "HG-8010", None),
        ("17", "HG-8015", None),
    }


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ('[[point]]\ntype = "uint16"\n', "HG-8005", 5),
        ('[[point]]\nname = "a b"\ntype = "uint16"\n', "HG-8007", 6),
        (POINT + "scale = true\n", "HG-8007", 9),
        (POINT + 'access = "x"\n', "HG-8008", 9),
        (POINT + 'class = "alarms"\n', "HG-8008", 9),
        (POINT + "scale = 2\nlookup = [[0, 1]]\n", "HG-8013", 10),
        (POINT + 'type2 = "uint16"\n', "HG-8006", 9),
        (POINT + POINT, "HG-8012", 9),
        ('[[point]]\nname = "t"\ntype = "text"\nscale = 2\n', "HG-8014", 8),
        (POINT + "polynomial = []\n", "HG-8007", 9),
        (POINT + "bits = { shift = 60, width = 8 }\n", "HG-8007", 9),
        (POINT + "interval_s = 0\n", "HG-8007", 9),
        (POINT + 'sentinels = ["nan"]\n', "HG-8015", 9),
        (POINT + "sentinels = [-1]\n", "HG-8015", 9),
        (POINT + "scale = inf\n", "HG-8010", 9),
        ("address_base = 2\n" + POINT, "HG-8007", 5),
        ("address_base = 40001\n" + POINT + "register = 5\narea = \"holding\"\n", "HG-8021", 10),
        ("address_base = 1\n" + POINT + "register = 0\n", "HG-8021", 10),
        ("", "HG-8005", 1),
        ("point = 3\n", "HG-8007", 5),
        ("[params]\nk = 3\n" + POINT, "HG-8007", 6),
        ('[params]\nk = { default = "x" }\n' + POINT, "HG-8007", 6),
        ("[params]\nk = { default = 3, range = [0, 2] }\n" + POINT, "HG-8007", 6),
        ("[params]\nk = { default = 3, required = true }\n" + POINT, "HG-8025", 6),
        ("[quirks]\ngap = [1]\n" + POINT, "HG-8007", 6),
        ('[identify]\nregister = 0\n' + POINT, "HG-8005", 5),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_code_and_line(read, text: str, code: str, line: int) -> None:
    decoded = read(text, point_keys=MODBUS)
    assert (code, line) in [(p.code, int(p.where.split(":")[1])) for p in decoded.problems]
    assert decoded.profile is None
    for problem in decoded.problems:
        assert problem.code in entries()
        for lang in ("zh", "en"):
            assert "?" not in render_problem(problem, lang).replace(
                "?)", ""
            )  # every field is filled


VARIANTS = (
    POINT
    + """
[[variant]]
name = "old"
firmware = { below = "2.0" }
[[variant]]
name = "new"
firmware = { from = "2.0" }
when_unknown = true
"""
)


def test_variants_share_the_base_and_their_own_keys_win(read) -> None:
    decoded = read(
        "[quirks]\ngap = 1\n" + POINT + "register = 1\nscale = 0.1\n"
        '[[point]]\nname = "spare"\ntype = "bits"\n'
        '[[variant]]\nname = "old"\nfirmware = { below = "2.0" }\n'
        '[[variant.point]]\nname = "level"\nregister = 9\nlookup = [[0, 0], [1, 5]]\n'
        '[[variant.point]]\nname = "extra"\ntype = "int16"\n'
        '[[variant]]\nname = "new"\nfirmware = { from = "2.0" }\nwhen_unknown = true\n'
        "[variant.quirks]\ngap = 2\nslow = true\n"
        '[[variant.point]]\nname = "spare"\nremove = true\n'
    )
    assert decoded.problems == ()
    old, new = decoded.profile.variants
    assert [p.name for p in old.points] == ["level", "spare", "extra"]
    assert [p.name for p in new.points] == ["level"]
    assert old.points[0].source == {"register": 9}
    # A conversion of another kind takes the place of the base's.
    assert (old.points[0].scale, old.points[0].lookup) == (None, ((0, 0), (1, 5)))
    assert new.points[0].scale == 0.1
    assert (old.quirks, new.quirks) == ({"gap": 1}, {"gap": 2, "slow": True})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (('below = "2.0"', 'below = "2.1"'), "HG-8017"),
        (("when_unknown = true", "when_unknown = false"), "HG-8018"),
        (('from = "2.0"', 'from = "beta"'), "HG-8019"),
        (('from = "2.0"', 'from = "4.0", below = "3.0"'), "HG-8020"),
        (('from = "2.0"', 'one_of = ["2"]'), "HG-8025"),
        (('from = "2.0"', 'form = "2.0"'), "HG-8006"),
        (('name = "new"', 'name = "old"'), "HG-8012"),
        (("when_unknown = true", '[[variant.point]]\nname = "levle"\nremove = true'), "HG-8016"),
    ],
)
def test_variants_that_cannot_be_told_apart_are_refused(read, change, code: str) -> None:
    assert code in codes(read(VARIANTS.replace(*change)))


def test_a_mistake_in_what_variants_share_is_told_once_and_where_it_stands(read) -> None:
    text = VARIANTS.replace('unit = "m"', 'unit = "metre"')
    for name in ("old", "new"):
        text = text.replace(
            f'name = "{name}"', f'name = "{name}"\npoint = [{{ name = "level", scale = 2 }}]'
        )
    (problem,) = read(text).problems
    assert (problem.code, problem.where) == ("HG-8009", "profile.toml:8: point[1].unit")


def test_a_base_point_whose_name_is_no_name_is_refused(read) -> None:
    assert "HG-8007" in codes(read(VARIANTS.replace('name = "level"', "name = [1]")))


def test_a_hole_between_variants_is_a_notice_not_an_error(read) -> None:
    decoded = read(VARIANTS.replace('from = "2.0"', 'from = "2.5", below = "3.0"'))
    assert decoded.problems == ()
    holes = [(n.fields["above"], n.fields["below"]) for n in decoded.notices]
    assert holes == [("2.0", "2.5"), ("3.0", "…")]


@pytest.mark.parametrize(
    ("base", "register", "area", "zero_based"),
    [(0, 7, "input", (7, "input")), (1, 7, "input", (6, "input")), (40001, 40008, None, (7, "holding")),
     (40001, 30001, "input", (0, "input")), (40001, 465536, None, (65535, "holding")),
     (40001, 1, None, (0, "coil"))],
)  # fmt: skip
def test_registers_are_counted_as_the_manual_counts(read, base, register, area, zero_based) -> None:
    text = f"address_base = {base}\n" + POINT + f"register = {register}\n"
    text += f'area = "{area}"\n' if area else ""
    source = read(text).profile.variants[0].points[0].source
    assert (source["register"], source["area"]) == zero_based


def test_a_key_of_an_unknown_driver_passes_unless_it_is_nearly_one_of_ours(read) -> None:
    assert read(POINT + 'node = "ns=2;s=Level"\n').problems == ()
    assert codes(read(POINT + "scael = 2\n")) == ["HG-8006"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"#" * (MAX_BYTES + 1), "HG-8002"),
        (b"a = \n", "HG-8003"),
        (b"\xff\xfe", "HG-8003"),
        (b"a = " + b"[" * 100_000, "HG-8004"),
        (b"a = " + b"{a=" * 5_000, "HG-8004"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_in_a_sentence(data: bytes, code: str) -> None:
    assert codes(decode(data, "p.toml")) == [code]


def test_too_many_points_are_refused(read) -> None:
    many = "".join(f'[[point]]\nname = "p{i}"\ntype = "bits"\n' for i in range(2001))
    assert "HG-8023" in codes(read(many))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.sampled_from(
    ["schema", "vendor", "point", "variant", "params", "name", "type", "scale", "range", "firmware",
     "lookup", "bits", "sentinels", "remove", "quirks", "identify", "unit", "register", "area"]
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(c for c in value if c.isalnum()) + '"'
    return "0" if value is None else str(value)


@given(st.dictionaries(keys, trees, max_size=6))
def test_any_toml_gives_a_profile_or_problems_and_never_a_traceback(
    tree: dict[str, object],
) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in tree.items())
    decoded = decode(text.encode(), "p.toml")
    assert (decoded.profile is None) == bool(decoded.problems)
