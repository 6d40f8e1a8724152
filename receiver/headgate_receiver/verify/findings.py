"""Examples of what is wrong: a few of each kind, so that one knows where to look."""

from __future__ import annotations

from typing import NamedTuple

#: Examples kept of each kind: enough to begin to look, however much is wrong.
EXAMPLES = 20


class Finding(NamedTuple):
    """One example of what is wrong.

    `sample` is the device's counter, a report's serial number, or the slot where `text` says so.
    """

    kind: str
    device: str
    sample: int | str
    at_s: float | None
    text: str = ""


class Findings:
    """The examples of each kind."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[Finding]] = {}

    def add(
        self, kind: str, device: str, sample: object, at_s: float | None, text: str = ""
    ) -> None:
        """One more, unless there are enough of its kind."""
        known = self.kinds.setdefault(kind, [])
        if len(known) < EXAMPLES:
            known.append(
                Finding(kind, device, sample if isinstance(sample, int | str) else -1, at_s, text)
            )

    def full(self, kind: str) -> bool:
        """Whether more of a kind would be thrown away."""
        return len(self.kinds.get(kind, ())) >= EXAMPLES
