"""The disk in memory is asked exactly what the kernel is asked: nothing is durable there that is not here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_files import Inode, RecordedFiles, env_on
from same_as_system import life

HERE = Path(__file__).parent
CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,ftruncate,truncate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,link,linkat,fallocate"
)
#: The lock holds no data; the WAL index is memory that happens to have a name.
NOT_DATA = re.compile(r"(^|/)(lock|state\.db-shm)$")

Asked = tuple[str, str, int]


class Told(RecordedFiles):
    """Notes what it was asked, in the kernel's words."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.asked: list[Asked] = []

    def _note(self, what: str, path: Path, size: int = 0) -> None:
        if path.is_relative_to(self.root) and not NOT_DATA.search(str(path)):
            self.asked.append((what, str(path.relative_to(self.root)), size))

    def create(self, path: Path) -> Inode:
        self._note("create", path)
        return super().create(path)

    def write(self, path: Path, inode: Inode, offset: int, data: bytes) -> None:
        self._note("write", path, len(data))
        super().write(path, inode, offset, data)

    def truncate(self, path: Path, inode: Inode, size: int) -> None:
        self._note("truncate", path, size)
        super().truncate(path, inode, size)

    def sync(self, path: Path, inode: Inode) -> None:
        self._note("sync", path)
        super().sync(path, inode)

    def sync_folder(self, folder: Path) -> None:
        self._note("sync", folder)
        super().sync_folder(folder)

    def rename(self, old: Path, new: Path) -> None:
        self._note("rename", new)
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        if path in self.entries:
            self._note("unlink", path)
        super().remove(path)

    def make_folder(self, path: Path, mode: int = 0o755) -> None:
        if path not in self.folders and path != self.root:
            self._note("mkdir", path)
        super().make_folder(path, mode)


def watched(root: Path, log: Path) -> list[Asked]:
    """What the kernel was asked by the same life on real files."""
    subprocess.run(
        ["strace", "-f", "-y", "-s", "0", "-o", log, "-e", f"trace={CALLS}",
         sys.executable, HERE / "same_as_system.py", root],
        check=True, timeout=120,
    )  # fmt: skip
    asked: list[Asked] = []
    there: set[str] = set()
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)\) += (-?\d+)", line)
        if match is None or int(match[3]) < 0 or str(root) not in line:
            continue
        call, arguments, result = match[1], match[2], int(match[3])
        names = [
            p for p in re.findall(r"[<\"]([^<>\"]+)[>\"]", arguments) if p.startswith(str(root))
        ]
        if not names or NOT_DATA.search(names[-1]):
            continue
        name = str(Path(names[-1]).relative_to(root))
        if call.startswith(("open", "creat")):
            if "O_CREAT" in arguments and name not in there:
                asked.append(("create", name, 0))
                there.add(name)
        elif "write" in call:
            asked.append(("write", name, result))
        elif "truncate" in call:
            asked.append(("truncate", name, int(arguments.rsplit(",", 1)[1])))
        elif "sync" in call:
            asked.append(("sync", name, 0))
        elif call.startswith("rename"):
            asked.append(("rename", name, 0))
            there.discard(str(Path(names[0]).relative_to(root)))
            there.add(name)
        elif call.startswith("unlink"):
            asked.append(("unlink", name, 0))
            there.discard(name)
        elif call.startswith("mkdir"):
            asked.append(("mkdir", name, 0))
        else:
            asked.append((call, name, 0))
    return asked


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace to see what the kernel is asked"
)
def test_the_recorded_disk_is_asked_what_the_kernel_is_asked(tmp_path: Path) -> None:
    root = tmp_path / "box"
    root.mkdir()
    told = Told(Path("/box"))
    told.make_folder(told.root)
    life(env_on(told), told.root)
    real = watched(root, tmp_path / "log")
    # The random name of a log changes no size, but boot ids and epochs are the test's own in both.
    for place, (one, other) in enumerate(zip(told.asked, real, strict=False)):
        assert one == other, f"operation {place}: {told.asked[max(0, place - 3) : place + 3]}"
    assert len(told.asked) == len(real) > 200
