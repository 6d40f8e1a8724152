"""Installing, upgrading and taking off, in a folder that stands for a box.

Building the environment (venv and pip) is played by a stand-in here; `make install-test` does it for real.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.install.layout import Layout
from headgate.cli.install.steps import Installation
from headgate.cli.install.wheels import run, version_in
from headgate.errors import HeadgateError


class Box:
    """What programs would do: makes environments of files, answers for `check` and systemctl."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.said: list[str] = []
        self.ran: list[list[str]] = []
        self.verdicts: dict[str, Any] = {}
        self.pip_fails = False

    def offer(self, version: str) -> Path:
        for old in self.wheels.iterdir():
            old.unlink()
        (self.wheels / f"headgate-{version}-py3-none-any.whl").touch()
        return self.wheels

    def do(self, words: Sequence[str]) -> tuple[int, str]:
        self.ran.append(list(words))
        if words[1:3] == ["-m", "venv"]:
            made = Path(words[3])
            (made / "bin").mkdir(parents=True)
            (made / "pyvenv.cfg").write_text(f"command = {made}\n")
            (made / "bin" / "headgate").write_text(f"#!{made}/bin/python\n")
            return 0, ""
        if words[1:3] == ["-m", "pip"]:
            return (1, "ERROR: No matching distribution found") if self.pip_fails else (0, "")
        if "check" in words or "--version" in words:
            version = Path(words[0]).parents[1].name
            verdict = self.verdicts.get(version, True)
            return (1, "Traceback") if verdict is None else (0, json.dumps({"ok": verdict}))
        return 0, ""

    def tell(self, code: str, **fields: object) -> None:
        self.said.append(code)

    @property
    def layout(self) -> Layout:
        return Layout(root=self.root)

    def installation(self) -> Installation:
        return Installation(self.layout, self.do, self.tell)

    def install(self, version: str) -> None:
        self.installation().install(self.offer(version), "fast", "python3")

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.layout.versions.iterdir())

    def in_use(self) -> str:
        found = self.layout.in_use()
        return found.name if found else ""


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_box_gets_version_unit_folders_and_command(box: Box) -> None:
    box.install("1.0")
    root = box.root
    assert (box.versions(), box.in_use()) == (["1.0"], "1.0")
    unit = (root / "etc/systemd/system/headgate.service").read_text()
    assert "ExecStart=/opt/headgate/current/bin/headgate run /etc/headgate" in unit
    assert (root / "usr/local/bin/headgate").readlink() == Path(
        "/opt/headgate/current/bin/headgate"
    )
    assert (root / "etc/headgate/site.d").is_dir()
    assert (root / "var/lib/headgate").is_dir()
    # Built below the root, it speaks of where it will lie.
    script = (root / "opt/headgate/current/bin/headgate").read_text()
    assert script == "#!/opt/headgate/versions/1.0/bin/python\n"
    # A tree for an image: nothing is asked of the machine we run on.
    assert not any("systemctl" in words[0] for words in box.ran)
    assert all("--no-index" in words for words in box.ran if words[1:3] == ["-m", "pip"])


def test_an_upgrade_keeps_site_state_and_the_version_before(box: Box) -> None:
    box.install("1.0")
    site, state = box.root / "etc/headgate/site.toml", box.root / "var/lib/headgate/state.db"
    site.write_text("mine")
    state.write_text("readings")
    box.install("1.1")
    box.install("1.1")  # a rebuilt wheel of the same version
    assert box.in_use() == "1.1.2"
    assert box.versions() == ["1.1", "1.1.2"]
    assert (site.read_text(), state.read_text()) == ("mine", "readings")


@pytest.mark.parametrize(("verdict", "code"), [(None, "HG-9254"), (False, "HG-9255")])
def test_a_version_that_is_worse_is_taken_back(box: Box, verdict: Any, code: str) -> None:
    box.install("1.0")
    (box.root / "etc/headgate/site.toml").write_text("mine")
    box.verdicts["1.1"] = verdict
    with pytest.raises(HeadgateError) as refused:
        box.install("1.1")
    assert refused.value.code == code
    assert (box.versions(), box.in_use()) == (["1.0"], "1.0")


def test_a_site_with_mistakes_of_its_own_does_not_hold_up_an_upgrade(box: Box) -> None:
    box.install("1.0")
    (box.root / "etc/headgate/site.toml").write_text("broken")
    box.verdicts |= {"1.0": False, "1.1": False}
    box.install("1.1")
    assert box.in_use() == "1.1"
    assert "HG-9265" in box.said


def test_a_missing_wheel_leaves_nothing_behind(box: Box) -> None:
    box.pip_fails = True
    with pytest.raises(HeadgateError) as refused:
        box.install("1.0")
    assert refused.value.code == "HG-9253"
    assert "No matching distribution" in str(refused.value)
    assert box.versions() == []
    assert not (box.root / "etc/systemd").exists()


def test_a_service_that_does_not_come_up_goes_back_to_the_version_before(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.install("1.0")
    monkeypatch.setattr(Layout, "staged", False)
    restarts: list[str] = []

    def do(words: Sequence[str]) -> tuple[int, str]:
        if list(words[:2]) == ["systemctl", "restart"]:
            restarts.append(box.in_use())
            return int(box.in_use() == "1.1"), ""
        return box.do(words)

    installation = Installation(box.layout, do, box.tell)
    with pytest.raises(HeadgateError) as refused:
        installation.install(box.offer("1.1"), "", "python3")
    assert refused.value.code == "HG-9257"
    assert restarts == ["1.1", "1.0"]
    assert (box.versions(), box.in_use()) == (["1.0"], "1.0")


def test_a_service_that_was_stopped_stays_stopped(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layout, "staged", False)

    def do(words: Sequence[str]) -> tuple[int, str]:
        done = box.do(words)
        return (3, "") if "is-active" in words else done

    Installation(box.layout, do, box.tell).install(box.offer("1.0"), "", "python3")
    assert ["systemctl", "enable", "headgate.service"] in box.ran
    assert not any("restart" in words for words in box.ran)


@pytest.mark.parametrize("purge", [False, True])
def test_taking_off_keeps_site_and_state_unless_told_otherwise(box: Box, purge: bool) -> None:
    box.install("1.0")
    (box.root / "etc/headgate/site.toml").write_text("mine")
    box.installation().uninstall(purge=purge)
    assert not (box.root / "opt/headgate").exists()
    assert not (box.root / "etc/systemd/system/headgate.service").exists()
    assert not (box.root / "usr/local/bin/headgate").is_symlink()
    assert (box.root / "etc/headgate/site.toml").exists() is not purge
    assert (box.root / "var/lib/headgate").exists() is not purge


@pytest.mark.parametrize(
    "names", [[], ["headgate-1.0-py3-none-any.whl", "headgate-1.1-py3-none-any.whl"]]
)
def test_a_folder_holds_one_version(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(HeadgateError) as refused:
        version_in(tmp_path)
    assert refused.value.code == "HG-9251"


def test_a_program_that_is_not_there_is_a_status_and_not_an_error() -> None:
    assert run(["/no/such/program"])[0] == 127


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_accepts_the_unit(box: Box) -> None:
    box.install("1.0")
    unit = box.root / "etc/systemd/system/headgate.service"
    here = box.root / "headgate.service"
    here.write_text(
        unit.read_text().replace(
            "/opt/headgate/current/bin/headgate run /etc/headgate", "/bin/true"
        )
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_version_says_what_it_is_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    from headgate.cli import main

    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("headgate ")
