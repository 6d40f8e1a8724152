"""A gateway on a disk that loses its power, slowed down around the commit of a station's report.

It says `RECEIVED` when a report was received and is not committed, and `COMMITTED` when it is and was not
confirmed, and then waits: whoever cuts the power has the time to hit exactly that instant.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headgate.cli import main as headgate
from headgate.cli.client import call
from headgate.errors import HeadgateError
from headgate.spool import Position, SealedRecord, Spool

DISK = Path("/mnt/disk")
SOCKET = Path("/run/gateway.sock")
#: Longer than the host takes to hear of it and to cut, on a busy machine.
_PAUSE_S = 2.0


def said(word: str, **what: object) -> None:
    """One line for the host."""
    sys.stdout.write(f"\n{word} {json.dumps(what)}\n")
    sys.stdout.flush()


def slowed(when: str, after: int) -> None:
    """Commits wait where the power is to be cut, once so many deliveries went through."""
    commit, count = Spool.commit, 0

    def wrapped(spool: Spool, records: Sequence[SealedRecord]) -> Sequence[Position]:
        nonlocal count
        count += sum(len(record.index.origins) for record in records)
        if count and os.environ["RIG_FLUSH"] == "off":
            # The counter-proof: who forgets to flush what stations say must be found out here.
            os.fsync = os.fdatasync = lambda _: None
        here = count > after and any(record.index.origins for record in records)
        if here and when == "received":
            said("RECEIVED", deliveries=count)
            time.sleep(_PAUSE_S)
        positions = commit(spool, records)
        if here and when == "committed":
            said("COMMITTED", deliveries=count)
            time.sleep(_PAUSE_S)
        return positions

    Spool.commit = wrapped  # type: ignore[method-assign]


def watch() -> None:
    """Say once a second how it stands."""
    while True:
        try:
            status: Any = next(call(SOCKET, "status"))
        except (HeadgateError, OSError, StopIteration):
            time.sleep(0.2)
            continue
        line = next(iter(status["channels"]), {"tally": {}, "state": ""})
        said(
            "STATUS", tally=line["tally"], state=line["state"],
            records=sum(each["outbox"]["records"] for each in status["uplinks"]),
            waiting=status["writer"]["waiting_bytes"],
        )  # fmt: skip
        time.sleep(1)


def main() -> None:
    """Network, disk, gateway."""
    DISK.mkdir(parents=True, exist_ok=True)
    for command in (
        "ip link set eth0 up", "ip addr add 10.0.2.15/24 dev eth0",
        "ip route add default via 10.0.2.2", f"mount -t ext4 /dev/vda {DISK}",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True)
    slowed(os.environ["RIG_CUT"], int(os.environ["RIG_AFTER"]))
    threading.Thread(target=watch, daemon=True).start()
    os.environ["RUNTIME_DIRECTORY"] = "/run"
    sys.argv = ["headgate", "run", os.environ["RIG_SITE"]]
    headgate()


if __name__ == "__main__":
    main()
