"""What stands in the storm: a hundred devices on nine kinds of line, in one world."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from headgate.cli.demo.simulator import Simulator

#: World minutes of a storm: however long it takes, it is one hour of weather.
WORLD_MINUTES = 60.0


@dataclass(frozen=True, slots=True)
class StormPlan:
    """How long, how large, and which of all possible storms.

    `share` scales the number of devices: 1 is a hundred.
    """

    minutes: float = 10.0
    seed: int = 1
    share: float = 1.0
    #: How often something goes wrong, in seconds on average.
    fault_every_s: float = 1.5
    #: Whether the gateway is killed once, at a little more than half time.
    kill: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.minutes <= 24 * 60:
            raise ValueError(f"minutes {self.minutes:g}: more than 0, at most a day")
        if not 0 < self.share <= 10:
            raise ValueError(f"share {self.share:g}: more than 0, at most 10")

    @property
    def seconds(self) -> float:
        """How long faults fire."""
        return 60 * self.minutes

    @property
    def speed(self) -> float:
        """World seconds in a real second."""
        return WORLD_MINUTES / self.minutes

    def number(self, of_a_hundred: int) -> int:
        """How many devices where a hundred in all would have so many; one at least."""
        return max(1, round(of_a_hundred * self.share))


def field(plan: StormPlan, folder: Path) -> list[Simulator]:
    """Every simulator of the storm."""
    lines = folder / "lines"
    (lines / "street").mkdir(parents=True)
    world = ["--seed", str(plan.seed), "--speed", f"{plan.speed:g}"]
    local = ["--bind", "127.0.0.1:0"]
    found = [
        Simulator(
            "gauges",
            ["water-gauge", "--count", str(plan.number(24)), "--per-connection", "4", *local,
             "--interval", "1s", *world],
            folder,
        ),
        Simulator(
            "bus",
            ["mixed-bus", *_lines("rtu", "ascii", "rtu-tcp", "rtu-tcp", "ascii-tcp", "udp", "dtu", "dtu"),
             "--per-line", str(plan.number(6)), "--pty", str(lines), "--interval", "2s", *world],
            folder,
        ),
        street(plan, folder, lines / "street", world),
        Simulator(
            "pumps",
            ["pump-station", "--count", "2", "--cycle", "1", *local, "--interval", "30s", *world],
            folder, hush=[{"hold": True}],
        ),
    ]  # fmt: skip
    if shutil.which("dbus-daemon"):
        tags = ["ble-street", "--count", str(plan.number(11)), "--strangers", "40", "--every", "1"]
        hush = [{"fault": "silent", "device": "*", "on": True}]
        found.append(Simulator("tags", [*tags, "--interval", "4s", *world], folder, hush=hush))
    return found


def street(plan: StormPlan, folder: Path, lines: Path, world: list[str]) -> Simulator:
    """Manholes on pseudo-terminals: who talks by himself is told to stop at the end."""
    covers = plan.number(12)
    command = ["manhole-street", "--covers", str(covers), "--heartbeat", "2", "--pty", str(lines)]
    hush = [
        {"fault": "silent", "device": f"cover-{number:03d}", "on": True}
        for number in range(1, covers + 1)
    ]
    return Simulator("covers", [*command, "--interval", "5s", *world], folder, hush=hush)


def _lines(*kinds: str) -> list[str]:
    return [word for kind in kinds for word in ("--line", kind)]
