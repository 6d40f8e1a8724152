"""Quality and status of a reading as a mark of the standard (table 8). Pure."""

from __future__ import annotations

from headgate.sdk import Quality, Status
from headgate_drivers.hj212.data import Mark
from headgate_drivers.hj212.points import STATUS

NORMAL = Mark.NORMAL.value
NO_CONNECTION = Mark.NO_CONNECTION.value
_BY_STATUS: dict[Status, str] = {
    Status.NO_ANSWER: "B",
    Status.LINE_CLOSED: "B",
    Status.STALE: "B",
    Status.NOT_READ: "B",
    Status.NO_CLOCK: "B",
    Status.OUT_OF_RANGE: "T",
    Status.SUBSTITUTED: "S",
}


def mark_of(quality: Quality, status: int) -> str:
    """N for good; the mark that the device itself gave, where it came by HJ 212; else by the status."""
    if quality is Quality.GOOD:
        return NORMAL
    letter = chr(status & 0xFF)
    try:
        reason = Status(status >> 8)
    except ValueError:
        return "D"
    if STATUS.get(letter) is reason and letter in {each.value for each in Mark}:
        return letter
    return _BY_STATUS.get(reason, "D")
