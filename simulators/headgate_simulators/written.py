"""What several simulators take on their command lines, read from its written form."""

from __future__ import annotations

from headgate_simulators.world import Storm


def storm_of(written: str) -> Storm:
    """`PEAK[:DURATION][@START]`: mm/h, world seconds, real seconds after the start.

    Raises:
        ValueError: says what to write instead.
    """
    what, _, start = written.partition("@")
    peak, _, duration = what.partition(":")
    try:
        return Storm(float(start or 0), float(peak), float(duration or 1800))
    except ValueError as wrong:
        raise ValueError(
            f"storm {written!r}: write PEAK[:DURATION][@START], for example 80:1800@5 ({wrong})"
        ) from None
