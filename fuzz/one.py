"""One target under atheris: `python -m fuzz.one NAME [libFuzzer's own arguments]`."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped,unused-ignore]


def main() -> None:
    """Fuzz until libFuzzer's limits are reached, or something is found."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["headgate", "headgate_drivers"]):
        from fuzz.targets import TARGETS

    atheris.Setup(sys.argv, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
