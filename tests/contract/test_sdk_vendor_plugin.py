"""A vendor's plugin, installed as a stranger would install it: looked at without being imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "vendor-plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed in it, by pip, from a copy of its source, without a network."""
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source)
    # Importing it leaves a mark: who only looks at it must leave none.
    init = source / "acme_th20" / "__init__.py"
    mark = 'open(__import__("os").environ["ACME_MARK"], "w").close()\n'
    init.write_text(init.read_text(encoding="utf-8") + mark, encoding="utf-8")
    target = tmp_path_factory.mktemp("site")
    made = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-index",
            "--no-deps", "--target", str(target), str(source),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return target


def headgate(
    installed: Path, folder: Path, *words: str, lang: str = "en"
) -> tuple[subprocess.CompletedProcess[str], bool]:
    """Run the command beside the plugin; what came of it, and whether the plugin was imported."""
    mark = folder / "imported"
    mark.unlink(missing_ok=True)
    env = {
        **os.environ, "PYTHONPATH": str(installed), "ACME_MARK": str(mark), "HEADGATE_LANG": lang,
        "HEADGATE_SITE": str(folder), "COLUMNS": "200",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "from headgate.cli import main; main()", *words],
        cwd=folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, mark.exists()


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)}


def test_it_is_listed_refused_and_not_imported_without_the_switch(
    installed: Path, tmp_path: Path
) -> None:
    done, imported = headgate(installed, tmp_path, "plugins", "--format", "json")
    plugins = listed(done)
    assert plugins["acme-th20"]["state"] == "refused"
    assert plugins["acme-th20"]["problems"] == ["HG-2001"]
    assert plugins["acme-th20"]["version"] == "1.0.0"
    assert plugins["modbus"]["state"] == "loaded"
    assert not imported


def test_it_is_loaded_with_the_switch(installed: Path, tmp_path: Path) -> None:
    done, imported = headgate(installed, tmp_path, "plugins", "--development", "--format", "json")
    plugin = listed(done)["acme-th20"]
    assert plugin["state"] == "loaded"
    assert plugin["brings"][0] == "driver:acme-th20"
    assert plugin["brings"][1].startswith("profiles:")
    assert imported


@pytest.mark.parametrize(("lang", "word"), [("en", "host process"), ("zh", "宿主进程")])
def test_a_person_is_told_why_in_their_language(
    installed: Path, tmp_path: Path, lang: str, word: str
) -> None:
    done, _ = headgate(installed, tmp_path, "plugins", lang=lang)
    assert word in done.stdout
    assert "HG-2001" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_its_own_tests_pass(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    env = {**os.environ, "PYTHONPATH": str(installed), "ACME_MARK": str(tmp_path / "imported")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "tests")],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_imports_the_sdk_and_nothing_else_of_ours() -> None:
    lines = [
        line
        for file in (EXAMPLE / "acme_th20").glob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith(("from headgate", "import headgate"))
    ]
    assert lines
    assert all(line.startswith("from headgate.sdk import") for line in lines), lines
