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


def test_a_new_profile_passes_its_own_case_as_it_is(tmp_path: Path) -> None:
    into = str(tmp_path / "mine")
    made = headgate_profiles("new", "acme/th-20", "--into", into)
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
    file.write_text(file.read_text().replace('driver = "modbus"', 'driver = "dlt645"'))
    result = headgate_profiles("test", "acme/th-20", "--profiles", str(tmp_path))
    assert result.exit_code == 1
    assert "HG-8041" in result.stderr
