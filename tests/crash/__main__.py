"""The crash programme: every part in turn until the time is up, counted live; nonzero at any violation.

python tests/crash --minutes 10 --seed 7
python tests/crash --parts images,rot --minutes 1
python tests/crash replay images CASE
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence

from programme import PARTS, Counts, Violation, attempt, load
from schedule import Programme, said


def turn(name: str, seed: int, seconds: float) -> int:
    """Run a part for a while; each report is one line of JSON on stdout."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a part prints is talk, not a report

    def report(counts: Counts) -> None:
        found = [[v.case, v.what] for v in counts.violations]
        out.write(json.dumps({"done": counts.done, "violations": found}) + "\n")

    try:
        load(name).run(seed, time.monotonic() + seconds, report)
    except Exception:  # noqa: BLE001 - a part that raises is one violation
        report(Counts(violations=[Violation(f"seed={seed}", traceback.format_exc())]))
        return 1
    return 0


def replay(name: str, case: str) -> int:
    """One case again, aloud."""
    counts = attempt(load(name).replay, case)
    for violation in counts.violations:
        print(f"{name} {violation.case}\n{violation.what}\n")
    print(said(counts.done) or "nothing was done", "|", len(counts.violations), "violations")
    return 1 if counts.violations else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The crash programme.")
    parser.add_argument("--minutes", type=float, default=1.0, help="0: until Ctrl-C")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of: " + ", ".join(PARTS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """The command line."""
    # What the product logs of the faults that it is given is of no interest here.
    logging.disable(logging.CRITICAL)
    if argv[:1] == ["turn"]:
        return turn(argv[1], int(argv[2]), float(argv[3]))
    if argv[:1] == ["replay"]:
        return replay(argv[1], argv[2])
    asked = _parse(argv)
    names = [name for name in asked.parts.split(",") if name]
    unknown = [name for name in names if name not in PARTS]
    if unknown or not names:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
        return 2
    programme = Programme(names, asked.seed, max(1, asked.jobs))
    signal.signal(signal.SIGINT, programme.stop)
    signal.signal(signal.SIGTERM, programme.stop)
    print(f"seed {asked.seed}, {asked.minutes:g} minutes, parts {', '.join(names)}", flush=True)
    programme.run(asked.minutes * 60)
    some = "" if asked.parts == ",".join(PARTS) else f" PARTS={asked.parts}"
    print(programme.report(f"make crash MINUTES={asked.minutes:g} SEED={asked.seed}{some}"))
    return 1 if programme.total().violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
