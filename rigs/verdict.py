"""What a rig promises to look at, and what was seen. A check that was never made has failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

#: How the guest begins a line that is meant for us.
MARK = "=> "


@dataclass(frozen=True, slots=True)
class Seen:
    """One check, made."""

    name: str
    good: bool
    what: str


@dataclass
class Verdict:
    """The checks of one rig, in the order in which they are made."""

    wanted: Sequence[str]
    seen: list[Seen] = field(default_factory=list)

    def hear(self, line: str) -> Seen | None:
        """A line of the guest's console: a check of ours, or nothing."""
        before, mark, rest = line.partition(MARK)
        if not mark or before:
            return None
        try:
            told = json.loads(rest)
            one = Seen(str(told["check"]), told["good"] is True, str(told["seen"]))
        except (ValueError, KeyError, TypeError):
            return None  # the kernel spoke in between
        return self.add(one)

    def add(self, one: Seen) -> Seen:
        """A check, made."""
        self.seen.append(one)
        print(f"  {'ok ' if one.good else 'NOT'} {one.name}: {one.what}", flush=True)
        return one

    @property
    def good(self) -> bool:
        """Whether every check was made, and none failed."""
        made = {one.name for one in self.seen}
        return made >= set(self.wanted) and all(one.good for one in self.seen)

    def close(self, reason: str = "") -> bool:
        """Say how it ended."""
        made = {one.name for one in self.seen}
        missing = [name for name in self.wanted if name not in made]
        failed = [one.name for one in self.seen if not one.good]
        if self.good:
            print(f"good: {len(self.seen)} checks", flush=True)
            return True
        for name in missing:
            print(f"  NOT {name}: not reached", flush=True)
        because = f" ({reason})" if reason else ""
        print(f"WRONG: {len(failed)} failed, {len(missing)} not reached{because}", flush=True)
        return False
