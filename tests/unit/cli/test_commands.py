"""The command line as a person meets it: what is said, where, and with which exit status."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from headgate.cli import commands, main
from headgate.cli.commands import COMMANDS, Command
from headgate.cli.service import _settle, plainly
from headgate.messages import entries


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def headgate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> object:
    monkeypatch.chdir(tmp_path)
    # Set here so that what --lang and --site set is taken back.
    for name in ("HEADGATE_LANG", "HEADGATE_SITE", "HEADGATE_TRACEBACK"):
        monkeypatch.setenv(name, "")

    def run(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Result(int(left.value.code or 0), captured.out, captured.err)

    return run


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\n"
        "from headgate.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('headgate.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    loaded = done.stderr
    assert "headgate.cli.check" not in loaded
    assert "headgate.config" not in loaded
    assert "headgate.runtime" not in loaded


def test_help_speaks_the_readers_language(headgate) -> None:
    assert "检查站点文件" in headgate("--help", "--lang", "zh").out
    assert "find every mistake" in headgate("--lang=en", "--help").out


def test_init_writes_what_check_accepts(headgate, tmp_path: Path) -> None:
    made = headgate("init", "box", "--gateway", "ezhou-pump-07")
    assert made.status == 0
    assert "headgate check box" in made.out
    assert 'id = "ezhou-pump-07"' in (tmp_path / "box" / "site.toml").read_text(encoding="utf-8")
    checked = headgate("check", "box")
    assert checked.status == 0, checked.out
    assert "HG-1214" in checked.out  # a site without uplink is worth a word


def test_the_example_is_without_a_mistake(headgate) -> None:
    headgate("init", "box", "--example")
    checked = headgate("check", "box", "--format", "json")
    told = json.loads(checked.out)
    installed = [p for p in told["problems"] if p["code"] not in ("HG-1205", "HG-1206")]
    assert installed == []


def test_init_never_overwrites(headgate, tmp_path: Path) -> None:
    (tmp_path / "site.d").mkdir()
    (tmp_path / "site.d" / "90-platform.toml").write_text("mine")
    refused = headgate("init", ".", "--example")
    assert refused.status == 1
    assert "HG-9003" in refused.err
    assert not (tmp_path / "site.toml").exists()
    assert (tmp_path / "site.d" / "90-platform.toml").read_text() == "mine"


def test_init_refuses_an_id_that_check_would_refuse(headgate, tmp_path: Path) -> None:
    assert headgate("init", "box", "--gateway", "No Good").status == 2
    assert not (tmp_path / "box").exists()


def test_init_says_why_it_cannot_write(headgate, tmp_path: Path) -> None:
    (tmp_path / "box").write_text("a file")
    refused = headgate("init", "box")
    assert refused.status == 1
    assert "HG-9004" in refused.err


def test_check_tells_everything_at_once_in_the_readers_language(headgate, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('schema = 1\n[gateway]\nid = "G"\nnam = "x"\n')
    told = headgate("check", "--lang", "zh")
    assert told.status == 1
    assert "site.toml:3: gateway.id" in told.out
    assert "是否想写 `name`" in told.out
    assert "2 处错误" in told.out


def test_check_names_a_missing_profile_and_missing_parameters(headgate, tmp_path: Path) -> None:
    channel = '[[channel]]\nid = "bus"\nurl = "modbus+tcp://10.0.0.1:502"\n'
    device = '[[device]]\nid = "{0}"\nchannel = "bus"\naddress = {1}\nprofile = "{2}"\n'
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n'
        + channel
        + device.format("a", 1, "generic/radar-levle")
        + device.format("b", 2, "generic/radar-level")
    )
    told = json.loads(headgate("check", "--format", "json").out)
    places = {p["code"]: p["where"] for p in told["problems"]}
    assert places["HG-8040"] == "site.toml:7: device[1].profile"
    assert places["HG-8030"] == "site.toml:12: device[2]: params"
    assert told["ok"] is False


def test_check_tells_what_is_wrong_in_the_file_of_a_profile_once(headgate, tmp_path: Path) -> None:
    folder = tmp_path / "profiles" / "acme" / "x1"
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text("schema = 1\ncolour = 3\n")
    unit = '[[device]]\nid = "d{0}"\nchannel = "a"\naddress = {0}\nprofile = "acme/x1"\n'
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "a"\nurl = "modbus+tcp://10.0.0.1"\n'
        + unit.format(1)
        + unit.format(2)
    )
    out = headgate("check", "--profiles", "profiles", "--lang", "en").out
    assert out.count("HG-8047") == 2
    assert out.count("HG-8006") == 1


def test_check_tells_of_every_room_in_one_go(headgate, tmp_path: Path) -> None:
    channel = '[[channel]]\nid = "bus"\nurl = "modbus+tcp://10.0.0.1:502"\n'
    device = '[[device]]\nid = "{0}"\nchannel = "{1}"\naddress = {2}\nprofile = "{3}"\n'
    params = "params = { mounting_elevation_m = 1 }\n"
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n'
        '[identity]\ncertificate = "nope.crt"\nkey = "file:nope.key"\nca = "gone.crt"\n'
        + channel
        + device.format("a", "bus", 300, "generic/radar-level")
        + params
        + device.format("b", "bus", 2, "generic/radar-levle")
        + device.format("c", "buss", 3, "generic/radar-level")
        + params
        + 'intervall = "5s"\n'
        + '[[uplink]]\nid = "up"\ntype = "mqtt"\nurl = "mqtts://platform.example"\ntrust = "system"\n'
        + 'receipt_timeout = "soon"\nahed = 3\n'
    )
    told = json.loads(headgate("check", "--format", "json").out)
    assert sorted((p["code"], p["severity"]) for p in told["problems"]) == [
        ("HG-1101", "error"),  # intervall
        ("HG-1101", "error"),  # ahed
        ("HG-1107", "error"),  # receipt_timeout
        ("HG-1222", "warning"),  # nope.crt
        ("HG-1222", "warning"),  # gone.crt
        ("HG-1225", "warning"),  # trust = "system"
        ("HG-3122", "error"),  # address 300
        ("HG-8040", "error"),  # radar-levle
    ]
    assert not (tmp_path / "state").exists()


def test_check_refuses_certificates_that_the_start_would_refuse(headgate, tmp_path: Path) -> None:
    headgate("certs", "dev", "pki", "--gateway", "g", "--gateway", "h")
    site = (
        'schema = 1\n[gateway]\nid = "g"\n[identity]\nca = "pki/ca.crt"\n'
        'certificate = "pki/gateways/g.crt"\nkey = "file:pki/gateways/{0}.key"\n'
        'platform_encryption = "pki/platform-encryption.crt"\n'
        'platform_receipt = "pki/platform-{1}.crt"\n'
    )

    def codes(key: str, receipt: str) -> list[str]:
        (tmp_path / "site.toml").write_text(site.format(key, receipt))
        told = json.loads(headgate("check", "--format", "json").out)
        return [p["code"] for p in told["problems"] if p["code"] != "HG-1214"]

    assert codes("g", "receipt") == []
    assert codes("h", "receipt") == ["HG-6100"]
    assert codes("g", "encryption") == ["HG-6105"]
    assert codes("gone", "receipt") == ["HG-1223"]


def test_check_asks_an_uplink_for_its_own_options(headgate, tmp_path: Path) -> None:
    text = (
        'schema = 1\n[gateway]\nid = "g"\n'
        '[[uplink]]\nid = "up"\ntype = "mqtt"\nurl = "mqtts://platform.example"\ntrust = "system"\n'
    )
    (tmp_path / "site.toml").write_text(text + "no_such_option = 1\n")
    told = headgate("check")
    assert told.status == 1, told.out
    assert "site.toml:9: uplink[1].no_such_option" in told.out
    # What may stand there is said in the site file's own words.
    assert "keepalive," in told.out and "keepalive_s" not in told.out
    assert "receipt_timeout" in told.out
    (tmp_path / "site.toml").write_text(
        text + 'username = "me"\npassword = "file:only-on-the-box"\n'
    )
    told = headgate("check")
    assert told.status == 0, told.out
    assert "HG-1220" in told.out


def test_check_adds_up_points_and_requests(headgate, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "bus"\nurl = "modbus+tcp://10.0.0.1:502"\n'
        '[[device]]\nid = "a"\nchannel = "bus"\naddress = 1\nprofile = "generic/radar-level"\n'
        'interval = "2s"\nparams = { mounting_elevation_m = 20.0 }\n'
    )
    told = headgate("check")
    assert told.status == 0, told.out
    assert "0.5 requests per second" in told.out
    assert "9600 baud" in told.out


def test_check_speaks_of_the_line_that_the_site_has(headgate, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "pair"\nurl = "serial:///dev/ttyS1?baud=2400"\n'
        '[[device]]\nid = "m"\nchannel = "pair"\naddress = "000000000101"\n'
        'profile = "generic/electricity-meter-dlt645"\ninterval = "15min"\n'
    )
    told = headgate("check")
    assert told.status == 0, told.out
    assert "2400 baud carries about 2.5 requests" in told.out
    assert "9600" not in told.out


@pytest.mark.parametrize(
    ("profile", "address"),
    [
        ("generic/electricity-meter-dlt645", '"000000000101"'),
        ("generic/water-meter-cjt188", '"00000000000101"'),
    ],
)
def test_line_settings_that_are_none_are_told_of_the_key_that_has_them(
    headgate, tmp_path: Path, profile: str, address: str
) -> None:
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "pair"\nurl = "serial:///dev/ttyS1?baud=2400"\n'
        f'[[device]]\nid = "m"\nchannel = "pair"\naddress = {address}\nline = "2400 8E3"\n'
        f'profile = "{profile}"\ninterval = "15min"\n'
    )
    told = headgate("check")
    assert told.status == 1, told.out
    assert 'site.toml:7: device[1].line: "2400 8E3" is no serial setting. [HG-1116]' in told.out
    assert "quirks" not in told.out
    assert "[frame]" not in told.out


def test_check_counts_no_requests_where_stations_report_by_themselves(
    headgate, tmp_path: Path
) -> None:
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[channel]]\nid = "port"\n'
        'url = "sl651+listen://127.0.0.1:5651"\n'
        '[[device]]\nid = "s"\nchannel = "port"\naddress = "0060000001"\n'
        'profile = "generic/hydrological-station"\n'
    )
    told = headgate("check")
    assert told.status == 0, told.out
    assert "none is asked for at an interval" in told.out
    assert "requests per second" not in told.out
    assert "baud" not in told.out


def test_the_site_is_found_where_it_was_named(headgate, tmp_path: Path) -> None:
    headgate("init", "a")
    assert "a: " in headgate("check", "--site", "a").out
    assert "HG-1001" in headgate("--site", "nowhere", "check").out


def test_a_file_that_is_no_text_is_told_as_such(headgate, tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_bytes(bytes(range(256)))
    told = headgate("check")
    assert told.status == 1
    assert "HG-1004" in told.out


@pytest.mark.parametrize("code", ["HG-1203", "1203"])
def test_explain_says_what_a_message_means(headgate, code: str) -> None:
    told = headgate("explain", code)
    assert told.status == 0
    assert told.out.startswith("HG-1203 (warning): ")
    assert "What to do" in told.out


def test_explain_knows_all_and_says_what_it_does_not_know(headgate) -> None:
    told = headgate("explain", "all", "--lang", "zh").out
    assert all(f"\n{code} " in f"\n{told}" for code, e in entries().items() if not e.reserved)
    assert headgate("explain", "HG-0000").status == 1


def test_schema_is_json(headgate) -> None:
    told = headgate("schema", "site")
    assert json.loads(told.out)["title"] == "Headgate site file"


@pytest.mark.parametrize(
    "arguments", [["chek"], ["check", "--format", "xml"], ["init"], ["--lang", "de"]]
)
def test_what_is_asked_wrongly_is_a_usage_error(headgate, arguments: list[str]) -> None:
    told = headgate(*arguments)
    assert told.status == 2
    assert told.err.startswith("Usage: ")


def test_a_misspelt_command_is_answered_with_the_right_one(headgate) -> None:
    assert "check" in headgate("chek").err.partition("No such command")[2]


def test_a_part_that_is_not_installed_is_one_sentence(
    headgate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "sim", Command("needs_more:app", "", "", "sim"))
    told = headgate("sim")
    assert told.status == 1
    assert "a_library_that_is_not_there" in told.err
    assert "headgate[sim]" in told.err
    monkeypatch.setitem(COMMANDS, "sim", Command("headgate.cli.not_there:app", "", ""))
    assert "HG-9002" in headgate("sim").err


def test_what_nobody_foresaw_is_still_a_sentence(headgate, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> object:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(commands, "load", broken)
    told = headgate("check")
    assert told.status == 1
    assert "HG-9006" in told.err
    assert "the moon is full" in told.err


def test_a_traceback_is_shown_to_who_asks_for_it(headgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_TRACEBACK", "1")

    def broken(name: str) -> object:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(commands, "load", broken)
    with pytest.raises(RuntimeError, match="moon"):
        main(["check"])


def test_a_gateway_run_as_a_service_does_without_the_command_line_library(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from headgate.cli import main\n"
        f"try: main(['run', {str(tmp_path / 'none')!r}])\n"
        "except SystemExit as left: print(left.code, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False"], done.stderr
    assert "HG-" in done.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["a", "b"], ["--profiles"], ["--profiles=x"], ["-x"]]
)
def test_run_leaves_what_is_not_plain_to_the_command_line_library(words: list[str]) -> None:
    assert plainly(words) is None


def test_run_takes_plain_arguments_in_any_order() -> None:
    assert plainly([]) == (None, [])
    assert plainly(["--profiles", "p", "site", "--profiles", "q"]) == (
        Path("site"), [Path("p"), Path("q")],
    )  # fmt: skip


async def test_garbage_is_collected_again_once_the_gateway_runs() -> None:
    ready = asyncio.Event()
    gc.disable()
    try:
        settling = asyncio.create_task(_settle(ready))
        await asyncio.sleep(0)
        assert not gc.isenabled()
        ready.set()
        await settling
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.enable()
        gc.unfreeze()
