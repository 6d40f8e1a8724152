"""`python -m fuzz [NAME ...] [--seconds 30]`: targets one after the other, each in its own process.

What is found is written to `fuzz/found/NAME-<hash>`; `make test` replays that folder from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

from fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
#: Where inputs that reached something new are kept from run to run.
CORPUS = Path(".fuzz")
#: More memory than this for one input is a finding.
MEMORY_MB = 768
#: So is one input that takes longer, in seconds.
SLOW_S = 10


def main() -> int:
    """How many targets found something."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="fuzz the pure decoders")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}")
    try:
        import atheris  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except ImportError:
        version = ".".join(map(str, sys.version_info[:2]))
        print(
            f"atheris is not installed for Python {version}. It has wheels for 3.11 to 3.13 on Linux "
            "(requirements/fuzz.txt); `make test` replays the seeds without it."
        )
        return 2
    names = asked.names or list(TARGETS)
    failed = [name for name in names if not _fuzz(name, asked.seconds)]
    print(f"{len(names) - len(failed)} of {len(names)} targets found nothing")
    return 1 if failed else 0


def _fuzz(name: str, seconds: int) -> bool:
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    target = TARGETS[name]
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "fuzz.one", name, str(corpus),
            f"-max_total_time={seconds}", f"-max_len={target.longest}", f"-timeout={SLOW_S}",
            f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={FOUND / name}-", "-verbosity=1",
            "-print_final_stats=1",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    runs = _number(r"number_of_executed_units: (\d+)", said)
    peak = _number(r"peak_rss_mb: *(\d+)", said)
    took = time.monotonic() - began
    word = "nothing found" if done.returncode == 0 else "FOUND"
    print(f"{name:18} {runs:>9} runs  {took:4.0f} s  {peak:4} MB  {word}", flush=True)
    if done.returncode:
        print("    " + "\n    ".join(said.splitlines()[-40:]))
    return done.returncode == 0


def _number(pattern: str, said: str) -> int:
    found = re.findall(pattern, said)
    return int(found[-1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
