"""One virtual machine: started, listened to, and its power cut."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rigs.kernel import BUILD, ROOT, Kernel

#: Translated code, not KVM: a KVM guest inside a virtual machine was seen to spin for ever.
_ACCELERATOR = "tcg,thread=multi"


class Machine:
    """`async with Machine(kernel, "ble") as machine`: boots, and is dead when it is left.

    The guest runs `rigs/guest/start.sh`, which loads `modules` and then `python -m rigs.guest.<rig>`.

    Args:
        disk: an image that the guest sees as /dev/vda. The host's page cache stands for a disk that keeps
            what it was told to keep: only what the guest flushed, or the kernel wrote back by itself.
        told: environment of the guest's program.
        forward: this TCP port of our loopback is the guest's; the guest finds our loopback at 10.0.2.2.
    """

    def __init__(
        self,
        kernel: Kernel,
        rig: str,
        modules: Sequence[str] = (),
        *,
        disk: Path | None = None,
        told: Mapping[str, str] | None = None,
        memory_mb: int = 1536,
        forward: int | None = None,
    ) -> None:
        self.log = BUILD / f"{rig}.log"
        self._process: asyncio.subprocess.Process | None = None
        words = {
            "RIG": rig, "RIG_ROOT": str(ROOT), "RIG_START": str(ROOT / "rigs/guest/start.sh"),
            "RIG_TREE": str(kernel.modules), "RIG_MODULES": ",".join(modules), **(told or {}),
        }  # fmt: skip
        append = "console=ttyS0 quiet loglevel=1 panic=-1 net.ifnames=0 "
        net = "none"
        if forward is not None:
            net = f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{forward}-:{forward}"
        append += " ".join(f"{key}={value}" for key, value in words.items())
        qemu = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
        self._command = [
            # Whatever becomes of us, the machine does not outlive us.
            "setpriv", "--pdeathsig", "KILL", qemu,
            "-accel", _ACCELERATOR, "-cpu", "max", "-m", str(memory_mb), "-smp", "2",
            "-nographic", "-no-reboot", "-nic", net, "-serial", "stdio", "-monitor", "none",
            "-kernel", str(kernel.image), "-initrd", str(kernel.start), "-append", append,
            # Without multidevs=remap, /proc and /sys of the guest are lost behind the host's.
            "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        ]  # fmt: skip
        if disk is not None:
            drive = f"file={disk},format=raw,if=virtio,cache=writeback"
            self._command += ["-drive", drive]

    async def __aenter__(self) -> Machine:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, limit=1 << 20,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def cut(self) -> None:
        """The power is gone: the process is killed in the middle of whatever it does."""
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()

    async def lines(self) -> AsyncIterator[str]:
        """What it says on its console, until it is off. All of it is kept in `build/rigs/<rig>.log`."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self.log.open("ab", buffering=0) as log:
            async for raw in self._process.stdout:
                log.write(raw)
                yield raw.decode(errors="replace").strip()
