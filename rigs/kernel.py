"""Debian's own kernel, unpacked and not installed, and the small image that it starts from.

Made once into `build/rigs`; `make clean` takes it away again. The kernel package comes from the
machine's own package sources, of the version that they offer now.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "rigs"
#: Command and the Debian package that has it.
NEEDED = {
    "qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "modprobe": "kmod",
    "depmod": "kmod", "dpkg-deb": "dpkg", "apt-get": "apt", "setpriv": "util-linux",
}  # fmt: skip
#: What the start image itself must be able to load: the disk below everything.
_EARLY = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_SBIN = "/usr/sbin:/sbin"

# 9p shows this machine's files, a tmpfs lies over them: whatever the guest writes is gone with it.
_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
while read module; do $b insmod $module; done < /modules/order
$b mkdir -p /below /above
$b mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose,ro,msize=262144 host /below
$b mount -t tmpfs above /above
$b mkdir -p /above/files /above/work
$b mount -t overlay -o lowerdir=/below,upperdir=/above/files,workdir=/above/work root /newroot
for place in proc sys dev; do $b mkdir -p /newroot/$place; $b mount --move /$place /newroot/$place; done
exec $b switch_root /newroot /bin/sh $RIG_START
"""


class Missing(Exception):
    """Something a rig needs is not on this machine; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that QEMU can start. `modules` is what `modprobe -d` wants."""

    version: str
    image: Path
    start: Path
    modules: Path


def need(commands: dict[str, str]) -> None:
    """Say what is not installed.

    Raises:
        Missing: with the one line that installs it.
    """
    path = f"{_environment()['PATH']}"
    packages = {pack for name, pack in commands.items() if not shutil.which(name, path=path)}
    if packages:
        raise Missing(f"apt install {' '.join(sorted(packages))}")


def prepared() -> Kernel:
    """The kernel, made when it is not there yet.

    Raises:
        Missing: a program, or the kernel's package.
    """
    need(NEEDED)
    tree = BUILD / "kernel"
    if not (tree / "ready").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        _unpack(tree)
    (version,) = [folder.name for folder in (tree / "lib/modules").iterdir()]
    return Kernel(version, tree / f"boot/vmlinuz-{version}", tree / "start.gz", tree)


def _unpack(tree: Path) -> None:
    said = _run("apt-cache", "depends", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if found is None:
        raise Missing("no package linux-image-amd64 in the package sources: apt-get update")
    print(f"fetching {found[1]} (once)", flush=True)
    _run("apt-get", "download", "-qq", found[1], cwd=tree)
    (package,) = tree.glob("linux-image-*.deb")
    _run("dpkg-deb", "-x", str(package), str(tree))
    package.unlink()
    (version,) = [folder.name for folder in (tree / "lib/modules").iterdir()]
    _run("depmod", "-b", str(tree), version)
    _pack(tree, version)
    (tree / "ready").touch()


def _pack(tree: Path, version: str) -> None:
    """The start image: busybox, a few modules in the order in which they load, and `init`."""
    image = tree / "start"
    for name in ("bin", "modules", "newroot", "proc", "sys", "dev"):
        (image / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, image / "bin/busybox")
    order = list(_files(_run("modprobe", "-d", str(tree), "-S", version, "-a",
                             "--show-depends", *_EARLY).splitlines()))  # fmt: skip
    for path in order:
        shutil.copy(path, image / "modules")
    (image / "modules/order").write_text("".join(f"/modules/{p.name}\n" for p in order))
    (image / "init").write_text(_INIT)
    (image / "init").chmod(0o755)
    names = "".join(f"{p.relative_to(image)}\n" for p in sorted(image.rglob("*")))
    packed = subprocess.run(
        ["busybox", "cpio", "-o", "-H", "newc"], input=names.encode(), capture_output=True,
        cwd=image, check=True, env=_environment(),
    )  # fmt: skip
    (tree / "start.gz").write_bytes(gzip.compress(packed.stdout, 1))


def _files(lines: Iterable[str]) -> Iterable[Path]:
    seen: set[str] = set()
    for line in lines:
        verb, _, path = line.strip().partition(" ")
        if verb == "insmod" and path not in seen:
            seen.add(path)
            yield Path(path.split()[0])


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SBIN}", "LC_ALL": "C"}


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=_environment(), check=False
    )
    if done.returncode:
        tail = " ".join(done.stderr.split())[-300:]
        raise Missing(f"{command[0]} did not do its part: {tail}")
    return done.stdout
