"""Device lists: what a desk's spreadsheet holds becomes devices, or every mistake in it is told."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import pytest

from headgate import config
from headgate.cli import main
from headgate.cli.devices.owned import list_name, page
from headgate.cli.devices.table import COLUMNS_LIMIT, read_table
from headgate.env import system_env
from headgate.errors import ConfigError

SITE = """\
schema = 1
[gateway]
id = "hg-test"
[[channel]]
id = "bridge"
url = "modbus+tcp://10.0.3.21:502"
[[device]]
id = "by-hand"
channel = "bridge"
address = 9
profile = "generic/radar-level"
name = "手写"
params = { mounting_elevation_m = 25.4 }
"""
HEAD = "设备编号,名称,通道,通道地址,地址,设备型号,采集周期,标签.站码,参数.mounting_elevation_m\r\n"
GAUGE = "g-{n},水位计{n},,modbus+tcp://10.0.4.{n}:502,1,generic/radar-level,10s,S{n},2{n}.40\r\n"
LIST = HEAD + "".join(GAUGE.format(n=n) for n in (1, 2, 3))


class Shell:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        (folder / "site.toml").write_text(SITE, encoding="utf-8")
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(["--site", str(self.folder), "devices", *words])
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.err
        return int(left.value.code or 0)

    def write(self, text: str | bytes, name: str = "street.csv") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    @property
    def made(self) -> Path:
        return self.folder / "site.d" / "imported-street.toml"

    def site(self) -> config.Site:
        return config.load(system_env(), self.folder)


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setenv("HEADGATE_LANG", "en")
    monkeypatch.setenv("HEADGATE_SITE", "")
    return Shell(tmp_path, capsys)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_list_becomes_devices_whatever_saved_it(
    shell: Shell, encoding: str, delimiter: str
) -> None:
    file = shell.write(LIST.replace(",", delimiter).encode(encoding))
    assert shell("import", file) == 0, shell.err
    site = shell.site()
    device = site.devices["g-2"]
    assert (device.name, device.address, device.labels) == ("水位计2", 1, {"站码": "S2"})
    assert device.params == {"mounting_elevation_m": 22.4}
    assert device.interval.s == 10
    assert str(site.channels[device.channel].url) == "modbus+tcp://10.0.4.2:502"
    assert "by-hand" in site.devices


def test_the_same_list_again_changes_nothing_in_whatever_order(shell: Shell) -> None:
    assert shell("import", shell.write(LIST)) == 0
    before, stamp = shell.made.read_bytes(), shell.made.stat().st_mtime_ns
    head, *rows = LIST.splitlines(keepends=True)
    assert shell("import", shell.write(head + "".join(reversed(rows)))) == 0
    assert "Nothing changed" in shell.out
    assert shell.made.read_bytes() == before
    assert shell.made.stat().st_mtime_ns == stamp


def test_every_mistake_is_told_at_its_cell_and_nothing_is_written(shell: Shell) -> None:
    rows = (
        "g-1,,,modbus+tcp://10.0.4.1:502,1,generic/radar-levle,10s,,1\r\n"
        "g-2,,,modbus+tcp://10.0.4.2:502,1,generic/radar-level,10 sec,,1\r\n"
        "g-3,,,modbus+tcp://10.0.4.3:502,1,generic/radar-level,10s,,\r\n"
        "g-4,,nowhere,,1,generic/radar-level,10s,,1\r\n"
        "g-2,,bridge,,3,generic/radar-level,10s,,1\r\n"
        ",,bridge,,4,generic/radar-level,10s,,1\r\n"
    )
    assert shell("import", shell.write(HEAD + rows)) == 1
    assert 'street.csv:3: G 采集周期: "10 sec" is not a duration. [HG-1107]' in shell.err
    assert "street.csv:6: A 设备编号:" in shell.err
    assert "HG-9215" in shell.err
    assert "street.csv:7: The row has no device id. [HG-9214]" in shell.err
    assert not shell.made.exists()
    # What can only be judged when every cell could be read comes with the next look.
    right = (
        rows.replace("10 sec", "10s")
        .replace("g-2,,bridge", "g-5,,bridge")
        .replace("\r\n,,", "\r\ng-6,,")
    )
    assert shell("import", shell.write(HEAD + right)) == 1
    assert "street.csv:2: F 设备型号:" in shell.err
    assert "generic/radar-level" in shell.err
    assert "street.csv:4" in shell.err
    assert "mounting_elevation_m" in shell.err
    assert "street.csv:5: C 通道:" in shell.err
    assert "HG-1201" in shell.err
    assert not shell.made.exists()


def test_what_a_driver_refuses_is_told_along_with_the_rest(shell: Shell) -> None:
    wrong = LIST.replace("502,1,generic/radar-level,10s,S2", "502,999,generic/radar-level,10s,S2")
    wrong = wrong.replace("generic/radar-level,10s,S3", "generic/radar-levle,10s,S3")
    assert shell("import", shell.write(wrong.encode("gb18030"))) == 1
    assert "street.csv:3: " in shell.err
    assert "HG-3122" in shell.err
    assert "street.csv:4: " in shell.err
    assert "HG-8040" in shell.err
    shell("import", shell.write(wrong.encode("gb18030")), "--partial")
    assert set(shell.site().devices) == {"by-hand", "g-1"}


def test_partial_takes_the_right_rows_and_says_which_are_left_out(shell: Shell) -> None:
    file = shell.write(LIST.replace("22.40", "high"))
    assert shell("import", file, "--partial") == 1
    assert "lines 3" in shell.out
    assert set(shell.site().devices) == {"by-hand", "g-1", "g-3"}


def test_a_row_that_is_gone_is_kept_until_pruned(shell: Shell) -> None:
    assert shell("import", shell.write(LIST)) == 0
    shorter = shell.write(HEAD + GAUGE.format(n=1))
    assert shell("import", shorter) == 0
    assert "kept: 2 (g-2, g-3)" in shell.out
    assert "g-3" in shell.site().devices
    assert shell("import", shorter, "--prune") == 0
    site = shell.site()
    assert set(site.devices) == {"by-hand", "g-1"}
    assert set(site.channels) == {"bridge", "10.0.4.1-502"}


def test_a_dry_run_writes_nothing(shell: Shell) -> None:
    assert shell("import", shell.write(LIST), "--dry-run") == 0
    assert "3 new" in shell.out
    assert not shell.made.exists()


def test_what_a_person_wrote_is_never_rewritten(shell: Shell) -> None:
    same = "by-hand,手写,bridge,,9,generic/radar-level,,,25.4\r\n"
    assert shell("import", shell.write(HEAD + same)) == 0
    assert "1 the same in another file" in shell.out
    assert not shell.made.exists()
    other = shell.write(HEAD + same.replace("25.4", "26"))
    assert shell("import", other) == 1
    assert "HG-9216" in shell.err
    assert "street.csv:2: I 参数.mounting_elevation_m" in shell.err
    shell.made.parent.mkdir(exist_ok=True)
    shell.made.write_text("# mine\n")
    assert shell("import", shell.write(LIST)) == 1
    assert "HG-9217" in shell.err
    assert shell.made.read_text() == "# mine\n"


def test_two_devices_at_one_address_are_told_with_both_rows(shell: Shell) -> None:
    twice = GAUGE.format(n=1) + GAUGE.format(n=1).replace("g-1", "g-7")
    assert shell("import", shell.write(HEAD + twice)) in (0, 1)
    assert "street.csv:3: E 地址" in shell.err
    assert "HG-1202" in shell.err


def test_a_column_that_the_list_lacks_leaves_the_key_alone(shell: Shell) -> None:
    assert shell("import", shell.write(LIST)) == 0
    short = "id,channel url,address,profile,interval\ng-1,modbus+tcp://10.0.4.1:502,1,generic/radar-level,\n"
    assert shell("import", shell.write(short)) == 0, shell.err
    device = shell.site().devices["g-1"]
    assert (device.name, device.labels) == ("水位计1", {"站码": "S1"})
    assert device.interval.s == 5  # the cell was emptied


def test_headings_are_found_in_either_language_and_the_nearest_is_named(shell: Shell) -> None:
    assert shell("import", shell.write("id,Chanel,address,profile\na,b,1,c\n")) == 1
    assert "street.csv:1: B Chanel" in shell.err
    assert "Perhaps channel?" in shell.err
    assert "HG-9209" in shell.err
    text = (
        "Ｄevice ID,CHANNEL-URL,Unit_Id,Model,param.mounting_elevation_m\n"
        "g-1,modbus+tcp://10.0.4.1:502,1,generic/radar-level,1\n"
    )
    assert shell("import", shell.write(text)) == 0, shell.err


@pytest.mark.parametrize("name", ["all.csv", "all.xlsx"])
@pytest.mark.parametrize("options", [(), ("--encoding", "gb18030")])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_what_export_writes_import_reads(
    shell: Shell,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
    lang: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tricky = LIST.replace("水位计3", '"=1+1, ""引号"""').replace("S3", "0012")
    assert shell("import", shell.write(tricky)) == 0
    before = shell.site()
    file = tmp_path / name
    monkeypatch.setenv("HEADGATE_LANG", lang)
    assert shell("export", str(file), *options) == 0, shell.err
    assert shell("export", str(file), *options) == 1  # never over another
    if name == "all.csv" and options:
        file.read_bytes().decode("gb18030")
    # As it is, it says what the site says already.
    monkeypatch.setenv("HEADGATE_LANG", "en")
    assert shell("import", str(file), "--name", "street") == 0, shell.err
    assert "Nothing changed" in shell.out
    # And from nothing it makes the same devices.
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "site.toml").write_text(SITE.partition("[[channel]]")[0])
    shell.folder = fresh
    assert shell("import", str(file)) == 0, shell.err
    after = shell.site()
    assert after.devices == before.devices
    assert {c.id: c.url for c in after.channel} == {c.id: c.url for c in before.channel}


def test_a_spreadsheets_traps_are_named(shell: Shell, tmp_path: Path) -> None:
    import datetime

    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(
        ["id", "channel", "address", "profile", "firmware", "name", "param.mounting_elevation_m"]
    )
    book.active.append(["g-1", "bridge", 3.0, "generic/radar-level", 1.1, "a", 2])
    book.active.append(
        ["g-2", "bridge", datetime.date(2026, 3, 1), "generic/radar-level", "1.10", "b", 2]
    )
    book.active.append(["g-3", "bridge", 5, "generic/radar-level", "1.10", "#N/A", 2])
    book.active.append([None, None])
    book.active.append(["g-4", "bridge", 6, "generic/radar-level", "1.10", 7, 2])
    book.save(tmp_path / "street.xlsx")
    assert shell("import", str(tmp_path / "street.xlsx")) == 1
    for told in (
        "street.xlsx:2: E firmware",
        "HG-9213",
        "street.xlsx:3: C address",
        "HG-9211",
        "HG-9212",
    ):
        assert told in shell.err
    assert shell("import", str(tmp_path / "street.xlsx"), "--partial") == 1
    assert shell.site().devices["g-4"].name == "7"


def _zip(**parts: bytes) -> bytes:
    page = io.BytesIO()
    with zipfile.ZipFile(page, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return page.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_zip(a=bytes(40 * 2**20)), "HG-9201"),
        (_zip(**{f"p{n}": b"" for n in range(600)}), "HG-9201"),
        (_zip(a=b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'), "HG-9206"),
        (_zip(a='<?xml version="1.0"?><!DOCTYPE x []><x/>'.encode("utf-16")), "HG-9206"),
        (_zip(a=b"<x/>"), "HG-9206"),
        (b"PK\x03\x04 torn", "HG-9206"),
        (b"\xd0\xcf\x11\xe0 old", "HG-9202"),
        (b"id,name\r\n\xff\xff\xff\xff", "HG-9203"),
        (b"id\0,name", "HG-9203"),
        (b'id,name\n1,"open', "HG-9204"),
        (b"", "HG-9205"),
        (b"\n , ,\n# only a remark\n", "HG-9205"),
        (b"," * COLUMNS_LIMIT + b"x", "HG-9201"),
        (b"id\n" + b"x\n" * 20_001, "HG-9201"),
        (b"id\n" + b"x" * 3_000, "HG-9201"),
        (b"x" * (8 * 2**20 + 1), "HG-9201"),
    ],
    ids=range(16),
)
def test_what_is_no_list_is_refused_before_it_costs_anything(data: bytes, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_table(data, "x")
    assert [p.code for p in refused.value.problems] == [code]


def test_lines_are_counted_as_an_editor_does() -> None:
    table = read_table(b'sep=;\nid;name\n1;"two\nlines"\n\n2;x\n', "x")
    assert [row.line for row in table.rows] == [3, 6]


def test_any_text_survives_the_file_we_write() -> None:
    import tomllib

    odd = {"id": "a", "name": '"\\\n\x7f\x00\u2028水', "labels": {"站 码": "x", "a.b": "y"}}
    made = page({}, {"a": odd})
    assert tomllib.loads(made.text)["device"] == [odd]
    line = next(n for n, place in made.places.items() if place == ("device", "a", "label.a.b"))
    assert "a.b" in made.text.split("\n")[line - 1]


@pytest.mark.parametrize(
    ("stem", "name"), [("Street 7", "street-7"), ("泵站 清单", "泵站-清单"), ("../..", "devices")]
)
def test_a_lists_name_is_fit_for_a_file(stem: str, name: str) -> None:
    assert list_name(stem) == name


def test_the_devices_are_listed(shell: Shell) -> None:
    assert shell("list") == 0
    assert "by-hand" in shell.out
    assert shell("list", "--format", "json") == 0
    assert '"id": "by-hand"' in shell.out


def _workbook(**cells: str) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    for place, value in cells.items():
        book.active[place] = value
    page = io.BytesIO()
    book.save(page)
    return page.getvalue()


def test_a_stray_cell_far_below_is_told_and_costs_nothing() -> None:
    with pytest.raises(ConfigError) as refused:
        read_table(_workbook(A1="id", A1048576="x"), "x")
    [problem] = refused.value.problems
    assert (problem.where, problem.code) == ("x:1048576", "HG-9201")


def by_another_program(rows: list[list[str]]) -> bytes:
    """A workbook of one sheet: text in place and shared in turns, an absolute target, no styles, no sizes."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    shared: list[str] = []

    def cell(place: str, text: str, at: int) -> str:
        if text.replace(".", "").isdigit():
            return f'<c r="{place}"><v>{text}</v></c>'
        if at % 2:
            return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'
        shared.append(text)
        return f'<c r="{place}" t="s"><v>{len(shared) - 1}</v></c>'

    sheet = "".join(
        f'<row r="{n}">'
        + "".join(cell(f"{chr(65 + at)}{n}", text, at) for at, text in enumerate(row) if text)
        + "</row>"
        for n, row in enumerate(rows, 1)
    )
    strings = "".join(f"<si><r><t>{t[:1]}</t></r><r><t>{t[1:]}</t></r></si>" for t in shared)
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/data.xml" ContentType="{kinds}.worksheet+xml"/>'
        f'<Override PartName="/xl/words.xml" ContentType="{kinds}.sharedStrings+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="a"'
        f' Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets>'
        '<sheet name="设备" sheetId="7" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="b" Type="{office}/worksheet" Target="/xl/data.xml"/>'
        f'<Relationship Id="c" Type="{office}/sharedStrings" Target="words.xml"/></Relationships>',
        "xl/data.xml": f"<worksheet {main}><sheetData>{sheet}</sheetData></worksheet>",
        "xl/words.xml": f"<sst {main}>{strings}</sst>",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in parts.items():
            packed.writestr(name, text)
    return file.getvalue()


def test_a_workbook_of_another_program_is_the_same_list(shell: Shell) -> None:
    assert shell("import", shell.write(LIST)) == 0, shell.err
    before = shell.made.read_bytes()
    rows = [line.split(",") for line in LIST.splitlines()]
    assert shell("import", shell.write(by_another_program(rows), "street.xlsx")) == 0, shell.err
    assert "Nothing changed" in shell.out
    assert shell.made.read_bytes() == before


def test_a_damaged_spreadsheet_never_gives_more_than_a_sentence() -> None:
    import random

    whole, chance = _workbook(A1="id", A2="g-1"), random.Random(7)
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(4, len(damaged))] = chance.randrange(256)
        with contextlib.suppress(ConfigError):  # anything else is a bug
            read_table(bytes(damaged), "x")
