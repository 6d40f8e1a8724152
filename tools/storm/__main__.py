"""`python -m storm`: a storm, its figures, and an exit status that is verify's."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

from storm.field import StormPlan
from storm.run import storm


def main() -> int:
    """Read the options and run."""
    options = argparse.ArgumentParser(prog="python -m storm", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="real minutes (10)")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--share", type=float, default=1.0, help="1 is a hundred devices")
    options.add_argument(
        "--kill", action=argparse.BooleanOptionalAction, default=True, help="kill the gateway once"
    )
    options.add_argument("--keep", type=Path, help="keep everything in this new folder")
    options.add_argument("--quiet", action="store_true", help="the figures alone")
    asked = options.parse_args()
    plan = StormPlan(asked.minutes, asked.seed, asked.share, kill=asked.kill)
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="storm-"))
    folder.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        if not asked.quiet:
            print(line, flush=True)

    try:
        found = asyncio.run(storm(plan, folder.absolute(), say))
    except KeyboardInterrupt:
        return 130
    finally:
        if asked.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps({**found, "days": f"{len(found['days'])} rows"}, indent=1, ensure_ascii=False))
    return 0 if found["good"] and found["storm"]["drained"] else 1


if __name__ == "__main__":
    sys.exit(main())
