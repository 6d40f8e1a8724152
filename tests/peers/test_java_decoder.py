"""A platform in Java opens what we send: examples/decoder-java against the worked example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kit.refusals import KINDS, load
from peers.test_worked_example import PAGE, SHOWN

FOLDER = Path(__file__).parents[2] / "examples" / "decoder-java"


def _jars() -> list[Path]:
    """BouncyCastle and aircompressor: named in HEADGATE_JAVA_JARS, from Debian, or from Maven's cache."""
    found = [Path(name) for name in os.environ.get("HEADGATE_JAVA_JARS", "").split(":") if name]
    maven = Path.home() / ".m2" / "repository"
    for pattern in (
        "org/bouncycastle/bcprov-jdk18on/*/*.jar",
        "io/airlift/aircompressor/0.*/*.jar",
    ):
        found += sorted(maven.glob(pattern))[-1:]
    found.append(Path("/usr/share/java/bcprov.jar"))
    return [jar for jar in found if jar.is_file()]


JARS = _jars()
MISSING = shutil.which("javac") is None or not all(
    any(name in jar.name for jar in JARS) for name in ("bcprov", "aircompressor")
)
REASON = (
    "the Java example needs javac, bcprov (Debian: libbcprov-java) and aircompressor; "
    "name the two jars in HEADGATE_JAVA_JARS"
)
pytestmark = [pytest.mark.skipif(MISSING, reason=REASON), pytest.mark.timeout(240)]


def compiled(folder: Path) -> str:
    """The example compiled into a folder; the class path to run it with."""
    path = ":".join(map(str, JARS))
    sources = sorted(FOLDER.glob("*.java"))
    subprocess.run(["javac", "-d", folder, "-cp", path, *sources], check=True)
    return f"{folder}:{path}"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(tmp_path_factory.mktemp("classes"))


def _open(classes: str, page: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["java", "-cp", classes, "OpenRecord", page], capture_output=True, text=True, check=False
    )


def test_java_opens_the_worked_example_and_reads_its_values(classes: str, tmp_path: Path) -> None:
    page = tmp_path / "uplink.md"
    page.write_text(PAGE, encoding="utf-8")
    done = _open(classes, page)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "gateway gauge-house-7",
        f"record-key {SHOWN['record_key'].hex()}",
        f"payload {SHOWN['payload'].hex()}",
        "weir-north level 1780000000500000 4.734 m 0 0",
        "weir-north battery 1780000000500000 12 V 0 0",
        "weir-north level 1780000001500000 - m 2 256",
        "weir-north battery 1780000001500000 - V 2 256",
    ]


@pytest.mark.parametrize(
    ("block", "at", "said"),
    [("record", -1, "mac check"), ("record", 31, "mac check"), ("grant", 40, "Refused: grant")],
)
def test_java_refuses_an_altered_message(
    classes: str, tmp_path: Path, block: str, at: int, said: str
) -> None:
    altered = bytearray(SHOWN[block])
    altered[at] ^= 1
    page = tmp_path / "uplink.md"
    page.write_text(
        re.sub(
            rf":name: {block}\n\n[0-9a-f\n]+```", f":name: {block}\n\n{altered.hex()}\n```", PAGE
        ),
        encoding="utf-8",
    )
    done = _open(classes, page)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_java_refuses_what_is_to_be_refused_and_says_as_what(
    classes: str, tmp_path: Path, kind: str
) -> None:
    file = load(kind)
    lines = [f"{name}\t{value}" for name, value in _shared(file).items()] + [""]
    for case in file["cases"]:
        at, revoked = case.get("at", "-"), ",".join(case.get("revoked", ())) or "-"
        lines.append(f"{case['message'] or '-'}\t{case.get('zeros_behind', 0)}\t{at}\t{revoked}")
    cases = tmp_path / "cases"
    cases.write_text("\n".join(lines) + "\n", encoding="ascii")
    words = ["java", "-cp", classes, "Verdicts", kind, str(cases)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert len(said) == len(file["cases"])
    wrong = {
        case["name"]: (case["verdict"], word)
        for case, word in zip(file["cases"], said, strict=True)
        if case["verdict"] != word
    }
    assert wrong == {}


def _shared(file: dict[str, Any]) -> dict[str, str]:
    """What all cases of a file share, as plain lines: the example in Java reads no JSON."""
    found = {
        name: value for name, value in file.items() if isinstance(value, str) and name != "about"
    }
    return found | {name: ",".join(file[name]) for name in ("anchors", "pinned") if name in file}
