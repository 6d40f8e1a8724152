"""`headgate receive` as a program: what it leaves on the disk and says in its log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = [sys.executable, "-c", "from headgate.cli import main; main()"]


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_a_store_is_for_its_account_and_group_and_the_log_says_codes(
    tmp_path: Path, kind: str
) -> None:
    subprocess.run([*MAIN, "certs", "dev", str(tmp_path / "pki")], check=True, capture_output=True)
    folder = tmp_path / "store"
    folder.mkdir()
    words = ["--broker", "mqtt://127.0.0.1:1", "--keys", str(tmp_path / "pki")]
    process = subprocess.Popen(
        [*MAIN, "receive", *words, "--store", f"{kind}:{folder / 'readings'}"],
        stderr=subprocess.PIPE,
        text=True,
        umask=0o022,
        env={**os.environ, "HEADGATE_LANG": "en"},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "broker lost" in line
        assert "code=HG-5010" in line
        # The keys of records lie in it.
        assert {path.name: path.stat().st_mode & 0o007 for path in folder.iterdir()} == {
            path.name: 0 for path in folder.iterdir()
        }
        assert list(folder.iterdir())
    finally:
        process.terminate()
        process.communicate()
