"""A platform in Java opens what we send: examples/decoder-java against the worked example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from peers.test_worked_example import PAGE, SHOWN

SOURCE = Path(__file__).parents[2] / "examples" / "decoder-java" / "OpenRecord.java"


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
pytestmark = [
    pytest.mark.skipif(
        shutil.which("javac") is None
        or not all(any(name in jar.name for jar in JARS) for name in ("bcprov", "aircompressor")),
        reason="the Java example needs javac, bcprov (Debian: libbcprov-java) and aircompressor; "
        "name the two jars in HEADGATE_JAVA_JARS",
    ),
    pytest.mark.timeout(60),
]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("classes")
    path = ":".join(map(str, JARS))
    subprocess.run(["javac", "-d", folder, "-cp", path, SOURCE], check=True)
    return f"{folder}:{path}"


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
