"""One simulated part of the field, as a child: its truth, its piece of the site file, its control socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headgate.cli.demo.child import Child
from headgate.env import reachable
from headgate.errors import HeadgateError

#: A simulator answers a command at once; on a busy machine later.
ANSWER_S = 20.0


class Simulator:
    """`headgate sim ...` with all its files in one folder, named for `name`.

    Args:
        command: the simulator and its options, without those for its files.
        hush: the commands that make it say no more of itself, for the end.
        controls: what of it may be commanded, as tables of a site file.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        hush: Sequence[Mapping[str, Any]] = (),
        controls: str = "",
    ) -> None:
        self.name = name
        self.hush = hush
        self.controls = controls
        self.truth = folder / f"{name}.truth.jsonl"
        self.site = folder / f"{name}.toml"
        self.control = folder / f"{name}.sock"
        files = ["--truth", str(self.truth), "--print-site", str(self.site)]
        files += ["--control", str(self.control)]
        self.child = Child.headgate(name, ["sim", *command, *files], folder / f"{name}.log")
        #: What it says of its devices, once it is ready.
        self.devices: list[dict[str, Any]] = []
        #: What whoever is to find it must have in its environment.
        self.environment: dict[str, str] = {}

    async def ready(self) -> None:
        """Return when all its lines listen.

        Raises:
            HeadgateError: it ended instead.
        """
        while True:
            for line in self.child.log.read_text(encoding="utf-8").splitlines():
                if line.startswith('{"ready"'):
                    said = json.loads(line)
                    self.devices = list(said["devices"])
                    if "bus" in said:
                        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": said["bus"]}
                    return
            self.child.check()
            await asyncio.sleep(0.02)

    async def tell(self, command: Mapping[str, Any]) -> None:
        """Give it a command.

        Raises:
            HeadgateError: it does not know it, or is not there.
        """
        answer = await asyncio.to_thread(self._say, command)
        if not answer.get("ok"):
            raise HeadgateError(
                f"{self.name}: {answer.get('error')}",
                code="HG-9510", name=self.name, status="-", said=str(answer.get("error")),
            )  # fmt: skip

    def _say(self, command: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as line, reachable(self.control) as name:
                line.settimeout(ANSWER_S)
                line.connect(name)
                line.sendall(json.dumps(command).encode() + b"\n")
                with line.makefile("rb") as answers:
                    answer: dict[str, Any] = json.loads(answers.readline())
        except (OSError, ValueError) as error:
            return {"ok": False, "error": str(error)}
        return answer
