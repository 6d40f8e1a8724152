"""The process and its unit: closed to others, and what may be reached by them is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headgate import config
from headgate.env import system_env
from headgate.runtime.rights import open_to_others

UNIT = Path(__file__).parents[3] / "packaging" / "headgate.service"

CLOSED = """
import ctypes, resource, sys
from pathlib import Path
from headgate.env import close_to_others, system_env
if len(sys.argv) > 1:
    import os
    os.setresuid(65534, 65534, 65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process that was begun as that user
assert close_to_others() == []
assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0  # PR_GET_DUMPABLE
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
# What the kernel counts of our writes is read all the same.
assert b"write_bytes" in system_env().files.read(Path("/proc/self/io"))
print("closed")
"""


def test_a_gateway_dumps_no_core_and_lets_no_debugger_in() -> None:
    words = ["other user"] if os.getuid() == 0 else []
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, *words], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("closed\n", "")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_the_unit_is_as_closed_as_its_drivers_let_it_be() -> None:
    # 0 is a box without a wire; the network alone costs 0.8, serial ports 0.3.
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", str(UNIT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:]


def test_the_unit_dumps_no_core_and_gives_nothing_to_others() -> None:
    said = UNIT.read_text().splitlines()
    for line in (
        "LimitCORE=0", "UMask=0027", "StateDirectoryMode=0750", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "ProtectSystem=strict", "KeyringMode=private",
    ):  # fmt: skip
        assert line in said, line


def test_what_others_may_reach_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[state]\nfolder = "state"\n[identity]\nkek = "file:kek.hex"\n'
    )
    state = tmp_path / "state"
    state.mkdir(mode=0o750)
    (state / "identity.key").write_text("x")
    (state / "identity.key").chmod(0o600)
    (tmp_path / "kek.hex").write_text("x")
    (tmp_path / "kek.hex").chmod(0o640)
    env, site = system_env(), config.load(system_env(), tmp_path)
    assert list(open_to_others(env, site)) == []
    state.chmod(0o755)
    (tmp_path / "kek.hex").chmod(0o644)
    (state / "identity.key").chmod(0o604)
    found = {(each.path.name, each.mode) for each in open_to_others(env, site)}
    assert found == {("state", "0755"), ("kek.hex", "0644"), ("identity.key", "0604")}
