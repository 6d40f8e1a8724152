from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headgate.cli.profiles import app
from headgate.errors import HeadgateError, ProfileError
from headgate.messages import render_error

ENGLISH = {"HEADGATE_LANG": "en"}


def headgate_profiles(*words: str, lang: str = "en") -> Result:
    return CliRunner().invoke(app, list(words), env={"HEADGATE_LANG": lang})


def test_list_shows_what_there_is() -> None:
    result = headgate_profiles("list")
    assert result.exit_code == 0
    assert "generic/rain-gauge" in result.stdout
    assert "1.x 2.x" in result.stdout
    assert "翻斗式雨量计" in headgate_profiles("list", lang="zh").stdout


def test_list_tells_every_mistake_and_fails(tmp_path: Path) -> None:
    folder = tmp_path / "acme/x1"
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text('schema = 1\ntitel = "x"\n')
    result = headgate_profiles("list", "--profiles", str(tmp_path))
    assert result.exit_code == 1
    assert "profile.toml:2: titel" in result.stderr
    assert "title" in result.stderr
    assert "generic/rain-gauge" in result.stdout
    broken = headgate_profiles("show", "acme/x1", "--profiles", str(tmp_path))
    assert isinstance(broken.exception, ProfileError)
    assert "HG-8006" in {p.code for p in broken.exception.problems}


def test_show_tells_registers_and_parameters() -> None:
    result = headgate_profiles("show", "generic/radar-level")
    assert result.exit_code == 0
    for word in ("mounting_elevation_m", "[1.x, below 2.0]", "holding 1", "order=CDAB"):
        assert word in result.stdout


def test_show_says_how_a_raw_value_becomes_a_reading_and_what_can_be_commanded() -> None:
    piezometer = headgate_profiles("show", "generic/vibrating-wire-piezometer").stdout
    assert "polynomial=$g * $f0 * $f0 / 1000, 0, -$g / 100000" in piezometer
    assert "lookup (linear) 377: 80, 19 more, 29046: -20" in piezometer
    assert "none: 0 65535" in piezometer
    assert max(map(len, piezometer.splitlines())) < 400
    valve = headgate_profiles("show", "generic/valve-controller").stdout
    assert "lookup (exact) 0: 0, 1: 1, 2: 2, 16: 3, 128: 4" in valve
    assert "  rw  Position commanded" in valve


def test_show_of_an_unknown_profile_names_the_nearest() -> None:
    error = headgate_profiles("show", "generic/rain-guage").exception
    assert isinstance(error, ProfileError)
    assert "generic/rain-gauge" in render_error(error, "en")


@pytest.mark.parametrize("driver", ["modbus", "serial", "serial-polled"])
def test_a_new_profile_passes_its_own_case_as_it_is(tmp_path: Path, driver: str) -> None:
    into = str(tmp_path / "mine")
    made = headgate_profiles("new", "acme/th-20", "--into", into, "--driver", driver)
    assert made.exit_code == 0
    assert len(made.stdout.split()) == 4
    tested = headgate_profiles("test", "acme/th-20", "--profiles", into)
    assert (tested.exit_code, tested.stderr) == (0, "")
    assert tested.stdout.split() == ["ok", "acme/th-20", "all", "plain"]
    again = headgate_profiles("new", "acme/th-20", "--into", into)
    assert isinstance(again.exception, HeadgateError)
    assert again.exception.code == "HG-8044"


@pytest.mark.parametrize("name", ["acme", "../x", "a/b/c", "acme/..", "/x", "acme/"])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    error = headgate_profiles("new", name, "--into", str(tmp_path)).exception
    assert isinstance(error, HeadgateError)
    assert error.code == "HG-8045"
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_fails_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    headgate_profiles("new", "acme/th-20", "--into", str(tmp_path))
    expected = tmp_path / "acme/th-20/cases/plain/expected.toml"
    expected.write_text(expected.read_text().replace("level = 1.334 ", "level = 1.335 "))
    result = headgate_profiles("test", "acme/th-20", "--profiles", str(tmp_path))
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL")
    assert "expected 1.335, got 1.334" in result.stderr


def test_a_case_of_nonsense_frames_fails_in_a_sentence(tmp_path: Path) -> None:
    headgate_profiles("new", "acme/th-20", "--into", str(tmp_path))
    (tmp_path / "acme/th-20/cases/plain/frames.txt").write_text("> 00\n< 00\n")
    result = headgate_profiles("test", "acme/th-20", "--profiles", str(tmp_path))
    assert result.exit_code == 1
    assert "HG-8043" in result.stderr


def test_a_variant_without_a_case_is_told(tmp_path: Path) -> None:
    headgate_profiles("new", "acme/th-20", "--into", str(tmp_path))
    (tmp_path / "acme/th-20/cases/plain/expected.toml").unlink()
    (tmp_path / "acme/th-20/cases/plain/frames.txt").unlink()
    (tmp_path / "acme/th-20/cases/plain").rmdir()
    result = headgate_profiles("test", "acme/th-20", "--profiles", str(tmp_path))
    assert "HG-8046" in result.stderr


def test_a_driver_that_is_not_there_is_told(tmp_path: Path) -> None:
    headgate_profiles("new", "acme/th-20", "--into", str(tmp_path))
    file = tmp_path / "acme/th-20/profile.toml"
    file.write_text(file.read_text().replace('driver = "modbus"', 'driver = "iec104"'))
    result = headgate_profiles("test", "acme/th-20", "--profiles", str(tmp_path))
    assert result.exit_code == 1
    assert "HG-8041" in result.stderr


# ---------------------------------------------------------------- a trace becomes a case

COVER = "7E432300000011010101020000020200000302000A04020E1005020000060400000001CE124F"
OTHER = "7E43230012A3F40A0201020005020201800302 04B404020BEA050200B906040000019DA96C6E"
METER = "68101800004040920081 16901F00290000002C290000002C000000000000000023B516"
READ_METER = "FEFEFEFE 681018000040409200 01 03 1F90 00 55 16"


def line(mark: str, frame: str | bytes) -> str:
    raw = frame if isinstance(frame, bytes) else bytes.fromhex(frame)
    return f"{mark} {raw.hex(' ')}  # 0.1"


@pytest.mark.parametrize(
    ("driver", "profile", "unit", "trace", "kept"),
    [
        ("", "generic/manhole-cover", "00000011", [line("<", COVER), line("<", OTHER)], 2),
        ("", "generic/manhole-cover", "0012A3F4", [line("<", COVER), line("<", OTHER)], 1),
        (
            "", "generic/water-meter-cjt188", "00924040000018",
            [line(">", READ_METER), line(">", READ_METER), line("<", METER)], 2,
        ),
        (
            "serial", "acme/th-20", "1",
            [
                line("<", b"1 D=9.999 T=1.0*0000\r\n#01 D=1.2"),
                line("<", b"34 T=18.5*DDAF\r\n"),
            ], 2,
        ),
        (
            "serial-polled", "acme/th-20", "1",
            [
                line(">", b"#01R\r"), line("<", b"#01 D=1.234 T=18.5*0000\r\n"),
                line(">", b"#01R\r"), line("<", b"#01 D=1.234 T=18.5*DDAF\r\n"),
                line(">", b"#02R\r"), line("<", b"#02 D=1.234 T=18.5*DDAF\r\n"),
            ], 2,
        ),
    ],
)  # fmt: skip
def test_a_trace_of_a_serial_line_becomes_a_case_that_passes(
    tmp_path: Path, driver: str, profile: str, unit: str, trace: list[str], kept: int
) -> None:
    into = str(tmp_path / "mine")
    if driver:
        headgate_profiles("new", profile, "--into", into, "--driver", driver)
    (tmp_path / "t.txt").write_text("\n".join(trace) + "\n")
    cases = tmp_path / "cases"
    words = ("--profile", profile, "--unit", unit, "--profiles", into, "--into", str(cases))
    made = headgate_profiles("case", str(tmp_path / "t.txt"), *words)
    assert made.exit_code == 0, made.exception
    frames = (cases / "recorded" / "frames.txt").read_text()
    if driver == "serial-polled":
        assert "2A 30 30 30 30" not in frames, "an answer that does not check is none"
    assert len([text for text in frames.splitlines() if text[0] in "<>"]) <= kept
    if driver:
        (cases / "recorded").rename(tmp_path / "mine" / profile / "cases" / "recorded")
        tested = headgate_profiles("test", profile, "--profiles", into)
        assert tested.exit_code == 0, tested.stderr
        assert tested.stdout.count("ok") == 2


REPORT = bytes.fromhex(
    "7E7E050011223344 03E8 33 002B 02 0026 170718102202 F1F1 0011223344 48 F0F0 1707181022"
    "2019000040 2619000040 392300010490 38121102 03 F511"
)
OTHER = bytes.fromhex(
    "7E7E010060000001 1234 32 002B 02 0018 261121194939 F1F1 0060000001 48 F0F0 2611211949"
    "2019000000 2619000000 392300021245 38121261 03 DE0B"
)


def test_a_report_of_a_station_in_a_trace_of_its_port_becomes_a_case(tmp_path: Path) -> None:
    said = [OTHER, REPORT[:20], REPORT[20:], OTHER]
    (tmp_path / "t.txt").write_text("\n".join(line("<", each) for each in said) + "\n")
    words = ("--profile", "generic/hydrological-station", "--into", str(tmp_path / "cases"))
    made = headgate_profiles("case", str(tmp_path / "t.txt"), *words, "--unit", "0011223344")
    assert made.exit_code == 0, made.exception
    expected = (tmp_path / "cases/recorded/expected.toml").read_text()
    assert "water_level = 10.49" in expected
    assert REPORT.hex(" ").upper() in (tmp_path / "cases/recorded/frames.txt").read_text().upper()
    refused = headgate_profiles("case", str(tmp_path / "t.txt"), *words, "--unit", "0060000002")
    assert refused.exit_code == 1


def test_a_unit_that_said_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(line("<", COVER) + "\n")
    words = ("--profile", "generic/manhole-cover", "--unit", "0000FFFF", "--into", str(tmp_path))
    refused = headgate_profiles("case", str(tmp_path / "t.txt"), *words)
    assert isinstance(refused.exception, ProfileError)
    assert "0000FFFF" in render_error(refused.exception, "en")


FRAME = """schema = 1
vendor = "acme"
model = "x1"
driver = "serial"
source = "made up"
[frame]
length_at = 2
chekc = "crc8"
[[point]]
name = "level"
type = "uint16"
at = 3
order = "middle"
"""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_what_the_driver_cannot_read_is_told_with_file_and_line_before_any_case(
    tmp_path: Path, lang: str
) -> None:
    (tmp_path / "acme/x1").mkdir(parents=True)
    (tmp_path / "acme/x1/profile.toml").write_text(FRAME)
    result = headgate_profiles("test", "acme/x1", "--profiles", str(tmp_path), lang=lang)
    assert result.exit_code == 1
    assert "profile.toml:8: frame.chekc" in result.stderr
    assert "profile.toml:7: frame.length_at" in result.stderr
    assert ("noise would be taken" in result.stderr) == (lang == "en")
    (tmp_path / "acme/x1/profile.toml").write_text(
        FRAME.replace('length_at = 2\nchekc = "crc8"', 'start = "#"\nsize = 9')
    )
    result = headgate_profiles("test", "acme/x1", "--profiles", str(tmp_path), lang=lang)
    assert result.exit_code == 1
    assert "profile.toml:9: point level" in result.stderr
    assert "middle" in result.stderr
