"""A platform in Java commands: examples/commander-java against the worked example and a gateway."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from peers.test_command_example import SHOWN, TRUST, VECTORS
from peers.test_java_decoder import JARS

from headgate.crypto.provider import default_provider
from headgate.envelope.command import parse_command
from headgate.envelope.signers import verify_command

ROOT = Path(__file__).parents[2]
PROVIDER = [jar for jar in JARS if "bcprov" in jar.name]
pytestmark = [
    pytest.mark.skipif(
        shutil.which("javac") is None or not PROVIDER,
        reason="the Java example needs javac and bcprov (libbcprov-java), named in HEADGATE_JAVA_JARS",
    ),
    pytest.mark.timeout(240),
]


def test_java_makes_the_example_anew_and_believes_what_it_may() -> None:
    done = subprocess.run(
        ["java", "-cp", str(PROVIDER[0]), ROOT / "examples/commander-java/SendCommand.java",
         ROOT / "docs/operate/platform-commands.md", *VECTORS["bad_answers"].values(),
         VECTORS["confirmed"]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        f"select {SHOWN['select_body'].hex()}",
        "answer selected for 10000 ms",
        f"operate {SHOWN['operate_body'].hex()}",
    ]
    assert lines[4:6] == [
        "answer confirmed  read back true, done true",
        "answer refused HG-6518 read back null, done false",
    ]
    judged = lines[6:]
    assert len(judged) == len(VECTORS["bad_answers"]) + 1
    assert all(line.startswith("not believed") for line in judged[:-1]), judged
    assert judged[-1] == "believed confirmed"
    # What it signed, a gateway takes for its operator's.
    sent = parse_command(bytes.fromhex(lines[3].removeprefix("message ")))
    assert verify_command(default_provider(), sent, TRUST).subject_cn == "wang.li"
    assert sent.body == SHOWN["operate_body"]
    assert sent.approvals == (SHOWN["approval"],)
