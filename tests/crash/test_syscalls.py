"""A real process, real files, real SQLite: killed or failed at the Nth call, and judged by what it had said.

The long form is the parts `syscalls` and `gateway` of `make crash`.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import part_gateway
import pytest
import syscalls
from syscall_child import Terms

pytestmark = pytest.mark.peer("gcc")

STORIES = range(40)


@pytest.mark.timeout(120)
def test_whatever_call_a_life_ends_at_its_promises_are_kept(tmp_path: Path) -> None:
    done: dict[str, int] = {}
    with syscalls.server() as lives:
        for number in STORIES:
            counts = syscalls.Story(lives, f"seed {number}").run()
            told = [f"{each.case}: {each.what}" for each in counts.violations]
            assert not told, "\n".join(told)
            for unit, count in counts.done.items():
                done[unit] = done.get(unit, 0) + count
    assert done["kill points"] > 30
    assert done["faults"] > 8


@pytest.mark.timeout(120)
@pytest.mark.peer("mosquitto")
def test_the_whole_gateway_is_killed_at_a_call_of_its_own_and_loses_nothing() -> None:
    import asyncio

    counts = asyncio.run(part_gateway.story("a gateway", lives=1))
    assert not counts.violations, counts.violations[0].what
    assert sum(counts.done.values()) == 1


def _strace_works() -> bool:
    strace = shutil.which("strace")
    return (
        strace is not None
        and subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not _strace_works(), reason="strace is not installed, or may not trace here")
def test_the_shim_counts_the_calls_that_the_kernel_sees(tmp_path: Path) -> None:
    folder, told, trace = tmp_path / "box", tmp_path / "told", tmp_path / "trace"
    folder.mkdir()
    terms = Terms(5, 40_000, True, 10, "close")
    asked = json.dumps(
        [str(folder), str(told), {f: getattr(terms, f) for f in terms.__struct_fields__},
         [0, 0, 0, syscalls.CHANGES, 1, ""]]
    )  # fmt: skip
    calls = "write,writev,pwrite64,pwritev,fsync,fdatasync,ftruncate,fchmod,openat,creat,rename,"
    calls += (
        "renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,open,truncate,link,fallocate,sendfile"
    )
    calls += ",copy_file_range"
    names = ",".join(f"?{each}" for each in calls.split(","))
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", f"trace={names}", "-E",
         f"LD_PRELOAD={syscalls.shim()}", sys.executable, syscalls.HERE / "syscall_child.py", asked],
        check=True, capture_output=True,
    )  # fmt: skip
    seen = 0
    for line in trace.read_text().splitlines():
        if f"{folder}" not in line:
            continue
        if re.search(r"\b(openat|open)\(", line):
            seen += "O_CREAT" in line or "O_TRUNC" in line
        else:
            seen += 1
    (counted,) = [
        words[1] for words in map(json.loads, told.read_text().splitlines()) if words[0] == "calls"
    ]
    assert counted == seen
    assert counted > 100


def test_a_sound_disk_under_the_shim_is_a_sound_disk(tmp_path: Path) -> None:
    """What the shim only counts it does not change."""
    library = ctypes.CDLL(str(syscalls.shim()))
    assert library.fault_count() == 0
    environment = {**os.environ, "LD_PRELOAD": str(syscalls.shim()), "FAULT_ROOT": str(tmp_path)}
    code = "import sys; open(sys.argv[1], 'w').write('level'); print(open(sys.argv[1]).read())"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "file"], env=environment, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "level\n"
