"""A site file becomes types, or every mistake in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.site import CHANNEL, DEVICE, GATEWAY, UPLINK, WHOLE, told

from headgate.config import Duration, HostPort, Loaded, SecretRef, Size, Url, load
from headgate.config.check import Known
from headgate.config.files import DEPTH_LIMIT, FILE_LIMIT, FILES_LIMIT, NODE_LIMIT, parse
from headgate.config.load import examine
from headgate.config.schema import reference_page, schema
from headgate.env import system_env
from headgate.errors import ConfigError, Problem
from headgate.messages import render_problem

Examine = Callable[..., Loaded]


def test_a_small_site_has_defaults_for_the_rest(site: Examine) -> None:
    made = site(WHOLE).site
    assert made is not None
    assert made.gateway.id == "g"
    assert made.state.quota == Size.parse("4GiB")
    assert made.metrics.listen == HostPort("127.0.0.1", 9469)
    assert made.channels["bus"].url == Url("modbus+tcp", "10.0.0.1", 502)
    assert made.devices["d1"].interval == Duration.parse("5s")
    assert made.timeout(made.devices["d1"]) == Duration.parse("1s")
    assert made.uplinks["up"].ack == "platform"


def test_everything_a_file_can_say_is_read(site: Examine) -> None:
    text = """
schema = 1
[gateway]
id = "ezhou-pump-07"
name = "鄂州泵站"
labels = { district = "E" }
timezone = "UTC"
language = "en"
[state]
folder = "state"
quota = "1GiB"
max_loss = "50ms"
[identity]
certificate = "c.crt"
key = "file:c.key"
kek = "systemd:KEK"
[metrics]
listen = "off"
[log]
level = "debug"
format = "text"
[api]
socket = "/run/headgate/headgate.sock"
[plugins]
blocked = ["x"]
[[channel]]
id = "a"
url = "modbus+tcp://h:502"
depth = 4
retries = 0
[[device]]
id = "d"
channel = "a"
address = "01-0A"
profile = "v/m"
firmware = "1.10"
interval = "100ms"
timeout = "80ms"
labels = { MN = "88" }
params = { a = 1, b = 2.5, c = "x", d = true }
[[stage]]
type = "deadband"
devices = ["d*"]
minimum = 0.5
[[uplink]]
id = "u"
type = "mqtt-json"
url = "mqtt://localhost"
username = "me"
password = "env:PW"
template = "{x}"
nested = { token = "env:T", list = [1, "2"] }
"""
    loaded = site(text)
    assert told(loaded) == []
    made = loaded.site
    assert made is not None
    assert made.metrics.listen is None
    assert made.devices["d"].params == {"a": 1, "b": 2.5, "c": "x", "d": True}
    assert made.timeout(made.devices["d"]) == Duration.parse("80ms")
    assert made.retries(made.devices["d"]) == 0
    assert made.stage[0].options == {"minimum": 0.5}
    assert made.uplinks["u"].password == SecretRef("env", "PW")
    options = made.uplinks["u"].options
    assert options["nested"] == {"token": SecretRef("env", "T"), "list": [1, "2"]}


def test_paths_start_at_the_site_file(site: Examine, tmp_path: Path) -> None:
    made = site(WHOLE + '[state]\nfolder = "state"\n').site
    assert made is not None
    assert made.state_folder == tmp_path / "state"
    assert made.api_socket == tmp_path / "state" / "headgate.sock"
    assert made.path("/etc/x") == Path("/etc/x")


def test_every_mistake_is_told_at_once_with_its_line(site: Examine) -> None:
    text = """schema = 1
[gateway]
id = "Big Name"
[stat]
quota = "1GiB"
[[channel]]
id = "bus"
url = "10.0.0.1"
depht = 3
[[channel]]
id = "two"
url = "modbus+tcp://[fd00::2]:502"
timeout = "5 sec"
retries = true
[[device]]
id = "d1"
channel = "two"
address = 1.5
interval = "5s"
on_start_failure = "retyr"
"""
    loaded = site(text)
    assert loaded.site is None
    assert told(loaded) == [
        "site.toml:3: gateway.id HG-1111",
        "site.toml:4: stat HG-1101",
        "site.toml:8: channel[1].url HG-1109",
        "site.toml:9: channel[1].depht HG-1101",
        "site.toml:13: channel[2].timeout HG-1107",
        "site.toml:14: channel[2].retries HG-1103",
        "site.toml:18: device[1].address HG-1103",
        "site.toml:20: device[1].on_start_failure HG-1105",
        "site.toml:15: device[1] HG-1102",
    ]
    assert "did you mean `depth`" in render_problem(loaded.problems[3], "en")


def test_load_raises_with_all_of_them_and_returns_when_there_are_only_warnings(
    tmp_path: Path,
) -> None:
    file = tmp_path / "site.toml"
    file.write_text(GATEWAY + "a = 1\nb = 2\n")
    with pytest.raises(ConfigError) as caught:
        load(system_env(), file)
    assert [p.code for p in caught.value.problems] == ["HG-1100", "HG-1100"]
    file.write_text(GATEWAY)
    loaded = examine(system_env(), file)
    assert told(loaded) == ["site.toml:2: gateway HG-1214"]
    assert load(system_env(), file).gateway.id == "g"


def test_a_literal_password_is_refused_and_never_repeated(site: Examine) -> None:
    text = WHOLE + 'username = "me"\npassword = "hunter2"\napi_token = "hunter2"\n'
    loaded = site(text + '[identity]\nkey = "hunter2"\ncertificate = "c"\nkek = 12345678\n')
    assert [p.code for p in loaded.problems].count("HG-1110") == 3
    assert "hunter2" not in repr(loaded.problems)
    assert "12345678" not in repr(loaded.problems)


def test_a_password_in_a_url_is_never_repeated(site: Examine) -> None:
    loaded = site(GATEWAY + CHANNEL.replace("://", "://me:hunter2@") + UPLINK)
    assert told(loaded) == ["site.toml:6: channel[1].url HG-1113"]
    assert "hunter2" not in repr(loaded.problems)


def test_lists_may_be_spread_over_parts_and_mistakes_name_the_part(site: Examine) -> None:
    second = DEVICE.replace("d1", "d2").replace("address = 1", "address = 2")
    loaded = site(
        WHOLE, b="# a comment\n" + second, a=second.replace("d2", "d3").replace("= 2", "= 3")
    )
    assert loaded.site is not None
    assert [d.id for d in loaded.site.device] == ["d1", "d3", "d2"]
    wrong = site(WHOLE, b="# a comment\n" + second + "intervall = 1\n")
    assert "site.d/b.toml:7: device[1].intervall HG-1101" in told(wrong)


def test_a_table_may_stand_in_one_file_only(site: Examine) -> None:
    loaded = site(WHOLE, a='[log]\nlevel = "info"\n', b='[log]\nlevel = "debug"\n')
    assert told(loaded) == ["site.d/b.toml:1: log HG-1010"]


def test_hidden_and_foreign_files_among_the_parts_are_passed_over(
    site: Examine, tmp_path: Path
) -> None:
    site(WHOLE)
    (tmp_path / "site.d").mkdir()
    (tmp_path / "site.d" / ".new.toml").write_text("nonsense")
    (tmp_path / "site.d" / "old.toml.bak").write_text("nonsense")
    assert examine(system_env(), tmp_path).site is not None


def test_a_file_by_another_name_has_its_own_parts(tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_text(GATEWAY + UPLINK)
    (tmp_path / "demo.d").mkdir()
    (tmp_path / "demo.d" / "a.toml").write_text(CHANNEL + DEVICE)
    loaded = examine(system_env(), tmp_path / "demo.toml")
    assert told(loaded) == []
    assert loaded.site is not None
    assert list(loaded.site.devices) == ["d1"]


def test_no_file_is_one_clear_problem(tmp_path: Path) -> None:
    assert told(examine(system_env(), tmp_path)) == [f"{tmp_path / 'site.toml'} HG-1001"]


def test_a_folder_in_the_place_of_a_file_is_one_clear_problem(tmp_path: Path) -> None:
    (tmp_path / "site.toml").mkdir()
    assert told(examine(system_env(), tmp_path)) == ["site.toml HG-1002"]


def test_a_byte_order_mark_and_windows_line_ends_are_read(site: Examine) -> None:
    loaded = site(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())
    assert told(loaded) == []


def test_another_encoding_is_named_with_its_place(site: Examine) -> None:
    loaded = site((GATEWAY + 'name = "鄂州"\n').encode("gb18030"))
    assert told(loaded) == ["site.toml:4 HG-1004"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (GATEWAY + 'name = "x\n', "site.toml:4"),
        (GATEWAY + "[gateway]\n", "site.toml:4"),
        (GATEWAY + "x = [1, 2\n", "site.toml:5"),
        (GATEWAY + "x = " + "9" * 5000 + "\n", "site.toml"),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(site: Examine, text: str, where: str) -> None:
    assert told(site(text)) == [f"{where} HG-1003"]


@pytest.mark.parametrize(
    ("schema", "code"), [("2", "HG-1009"), ('"1"', "HG-1009"), ("true", "HG-1009")]
)
def test_a_file_of_another_schema_is_not_judged_further(
    site: Examine, schema: str, code: str
) -> None:
    loaded = site(WHOLE.replace("schema = 1", f"schema = {schema}") + "nonsense = 1\n")
    assert told(loaded) == [f"site.toml:1: schema {code}"]


def test_a_missing_schema_and_gateway_are_told(site: Examine) -> None:
    assert told(site("")) == ["site.toml:1 HG-1102", "site.toml:1 HG-1102"]


# ---------------------------------------------------------------- bounds


def test_a_file_that_is_too_large_is_not_parsed(site: Examine) -> None:
    assert told(site(WHOLE + "#" * FILE_LIMIT)) == ["site.toml HG-1005"]


@pytest.mark.parametrize(
    "bomb",
    [
        "x = " + "[" * (DEPTH_LIMIT + 2) + "]" * (DEPTH_LIMIT + 2),
        "x = " + "[" * 200_000,
        "x = " + "{a=" * 200_000,
        ".".join(["a"] * 60) + " = 1",
        ".".join(["a"] * 300_000) + " = 1",
        "[" + ".".join(["a"] * 300_000) + "]",
        "x = { " + ".".join(["'a'"] * 200_000) + " = 1 }",
    ],
    ids=["brackets", "open-brackets", "inline", "dotted", "long-dotted", "header", "quoted"],
)
def test_a_nesting_bomb_is_refused(site: Examine, bomb: str) -> None:
    codes = {p.code for p in site(GATEWAY + bomb + "\n").problems}
    assert codes == {"HG-1006"}


def test_too_many_values_are_refused(site: Examine) -> None:
    loaded = site(GATEWAY + "x = [" + "1," * (NODE_LIMIT + 1) + "]\n")
    assert told(loaded) == ["site.toml HG-1007"]


def test_too_many_parts_are_refused(site: Examine) -> None:
    loaded = site(WHOLE, **{f"p{n}": "" for n in range(FILES_LIMIT + 1)})
    assert told(loaded) == ["site.d HG-1008"]


# ---------------------------------------------------------------- what a stranger may write

_KEYS = st.sampled_from(
    ["schema", "gateway", "state", "device", "channel", "uplink", "stage", "id", "url", "address", "quota",
     "interval", "params", "password", "listen", "devices", "type", "labels", "kek", "", "日", "a b"]
)  # fmt: skip
_LEAVES = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=20), st.datetimes(), st.dates(), st.times(),
    st.sampled_from(["5s", "mqtt://h", "env:X", "1GiB", "bus", "*", "127.0.0.1:1"]),
)  # fmt: skip
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=30,
)


class _Files:
    """A folder that holds one file."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def list(self, folder: Path) -> list[str]:
        return []

    def size(self, path: Path) -> int:
        return len(self.data)

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        return self.data[offset:][:size]


class _Env:
    def __init__(self, data: bytes) -> None:
        self.files = _Files(data)


def tell_all(data: bytes) -> None:
    loaded = examine(_Env(data), Path("site.toml"), Known(schemes=(), uplinks={}, stages={}))  # type: ignore[arg-type]
    told(loaded)
    for problem in loaded.problems:
        for lang in ("zh", "en"):
            assert render_problem(problem, lang)  # type: ignore[arg-type]
    assert (loaded.site is None) == bool(loaded.errors)


def toml(value: object) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return text(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def text(value: str) -> str:
    return (
        '"'
        + "".join(f"\\U{ord(c):08x}" if not "\ud800" <= c <= "\udfff" else "?" for c in value)
        + '"'
    )


@given(st.dictionaries(_KEYS, _TREES, max_size=6))
def test_any_toml_gives_a_site_or_problems(tree: dict[str, object]) -> None:
    body = "\n".join(f"{text(key)} = {toml(value)}" for key, value in tree.items())
    tell_all(body.encode())


_TABLES = st.sampled_from(["gateway", "state", "device", "channel", "uplink", "stage", "log"])


@given(st.lists(st.tuples(_TABLES, st.dictionaries(_KEYS, _LEAVES, max_size=6)), max_size=5))
def test_any_entries_give_a_site_or_problems(entries: list[tuple[str, dict[str, object]]]) -> None:
    lines = ["schema = 1"]
    for position, (name, keys) in enumerate(entries):
        single = name in ("gateway", "state", "log")
        if single and name in [n for n, _ in entries[:position]]:
            continue
        lines.append(f"[{name}]" if single else f"[[{name}]]")
        lines += [f"{text(key)} = {toml(value)}" for key, value in keys.items()]
    tell_all("\n".join(lines).encode())


@given(
    st.binary(max_size=200) | st.text(alphabet="[]{}=.\"'# \n\\ab1é", max_size=80).map(str.encode)
)
def test_any_bytes_give_a_site_or_problems(data: bytes) -> None:
    tell_all(data)


def test_schema_describes_every_key_and_accepts_what_we_accept() -> None:
    made = schema()
    assert made["required"] == ["schema", "gateway"]
    assert made["properties"]["gateway"]["additionalProperties"] is False
    assert made["properties"]["uplink"]["items"]["additionalProperties"] is True
    interval = made["properties"]["device"]["items"]["properties"]["interval"]
    assert interval["default"] == "5s"
    assert "采集周期" in interval["description"]


def test_a_line_is_found_however_a_key_is_written() -> None:
    problems: list[Problem] = []
    document = parse(
        "f",
        b'a = """\nb = 1\n"""\n# c = 1\n"q.r" = [\n  1, # ]\n  2,\n]\n'
        b"x.y = {z = 1}\n[[t]]\n[[t.u]]\nk = 1\n"
        b"[[t]]\n[t.'v w']\nk = '''\n[[t]]\n'''\n[[t]]\nz = 3\n",
        problems,
    )
    assert document is not None
    assert document.where(("q.r", 1)) == "f:5: 'q.r'[2]"
    assert document.where(("x", "y", "z")) == "f:9: x.y.z"
    assert document.where(("t", 0, "u", 0, "k")) == "f:12: t[1].u[1].k"
    assert document.where(("t", 1, "v w", "k")) == "f:15: t[2].'v w'.k"
    assert document.where(("t", 2, "z")) == "f:19: t[3].z"
    assert document.where(()) == "f:1"


def test_the_reference_page_is_what_the_types_say() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "site.md"
    # Made anew by `make docs`; committed so that it can be read on a code host.
    assert page.read_text(encoding="utf-8") == reference_page()


@pytest.mark.parametrize("name", ["site.toml", "site.d/more.toml"])
def test_a_pipe_given_for_a_file_is_told_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "site.d").mkdir()
    (tmp_path / "site.toml").write_text('schema = 1\n[gateway]\nid = "g"\n')
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    [problem] = examine(system_env(), tmp_path).problems
    assert (problem.code, problem.where) == ("HG-1002", name)
    assert problem.fields["reason"] == "Not a regular file"
