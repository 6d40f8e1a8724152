"""What stations reported and were confirmed, compared with what is stored of them. Pure.

A station that dials in puts an instant of its own clock on what it reports, and keeps each report until it
is confirmed. So a stored look is known by that instant and its values; and a report that was confirmed must
be there, once, whatever happened on the way: no gap excuses it. One that was not confirmed may be there or
not: the station still has it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping

import msgspec

from headgate.model import Value
from headgate_receiver.verify.findings import Findings
from headgate_receiver.verify.items import Clocks, Look

#: Two right ways of computing differ in the last digits. Source: truth.md.
_TOLERANCE = 1e-9


class Told(msgspec.Struct):
    """What one report says of one instant."""

    serial: int | str
    at_us: int
    values: dict[str, Value]
    confirmed: bool = False
    stored: bool = False


class StationTruth:
    """What one station reported, and what was confirmed to it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.reports = self.confirmed = self.said_again = 0
        #: Seconds from a report's first word to its confirmation.
        self.waits_s: list[float] = []
        self.instants: dict[int, list[Told]] = {}
        #: The newest report of each serial number: numbers wrap.
        self._newest: dict[int | str, list[Told]] = {}

    def tell(
        self, serial: int | str, told: Iterable[tuple[float, Mapping[str, Value]]], *, kept: bool
    ) -> None:
        """One report. `kept`: its station keeps it until it is confirmed."""
        self.reports += 1
        said = [Told(serial, round(at_s * 1e6), dict(values)) for at_s, values in told]
        for each in said:
            self.instants.setdefault(each.at_us, []).append(each)
        if kept:
            self._newest[serial] = said

    def confirm(self, serial: int | str, after_s: float, tries: int) -> None:
        """A report was confirmed. Raises ValueError: nobody made one with this number."""
        said = self._newest.pop(serial, None)
        if said is None:
            raise ValueError(f"confirmed {serial!r}, which was not told")
        self.confirmed += 1
        self.said_again += tries > 1
        self.waits_s.append(after_s)
        for each in said:
            each.confirmed = True

    @property
    def told(self) -> Iterable[Told]:
        """All that it said, instant by instant."""
        return (each for there in self.instants.values() for each in there)


class ReportComparison:
    """Takes stored looks of stations one by one, in any order; says what it found at the end."""

    def __init__(
        self, truth: Mapping[str, StationTruth], clocks: Clocks, findings: Findings
    ) -> None:
        self._truth, self._clocks, self._findings = truth, clocks, findings
        #: Looks of an instant that a report names, with other values than all of them so far.
        self._left: list[tuple[StationTruth, Look]] = []
        self.stored = self.matched = self.missing = self.doubled = 0
        self.changed = self.unexpected = self.bad = self.unconfirmed = 0

    def take(self, look: Look) -> None:
        """Compare one stored look."""
        truth = self._truth[look.device]
        self.stored += 1
        if look.wrong:
            self._changed(look, look.wrong)
        if look.device_us is None:
            # Nothing that a station said: the gateway's word that it is silent.
            self.bad += 1
            return
        there = truth.instants.get(look.device_us)
        if there is None:
            self.unexpected += 1
            text = ", ".join(f"{point} {value!r}" for point, value in look.values.items())
            self._findings.add("unexpected", look.device, -1, look.device_us / 1e6, text)
            return
        same = [each for each in there if not _difference(each.values, look.values)]
        # Two reports may say the same of an instant: what was confirmed is looked for first.
        fresh = [each for each in same if not each.stored]
        if fresh:
            self.matched += 1
            max(fresh, key=lambda each: each.confirmed).stored = True
        elif same:
            self.doubled += 1
            self._findings.add("doubled", look.device, same[0].serial, look.device_us / 1e6)
        else:
            self._left.append((truth, look))

    def finish(self) -> None:
        """Find what is not there, once every look was taken."""
        for truth, look in self._left:
            assert look.device_us is not None
            there = truth.instants[look.device_us]
            fresh = [each for each in there if not each.stored]
            if not fresh:
                self.unexpected += 1
                self._findings.add("unexpected", look.device, -1, look.device_us / 1e6)
                continue
            nearest = min(fresh, key=lambda each: len(_difference(each.values, look.values)))
            nearest.stored = True
            self._changed(look, "; ".join(_difference(nearest.values, look.values)), nearest.serial)
        for truth in self._truth.values():
            for each in truth.told:
                if each.stored:
                    continue
                if each.confirmed:
                    self.missing += 1
                    self._findings.add("missing", truth.device, each.serial, each.at_us / 1e6)
                else:
                    self.unconfirmed += 1

    def _changed(self, look: Look, text: str, serial: int | str = -1) -> None:
        self.changed += 1
        if look.device_us is None:
            at_s = self._clocks.wall_s(look.boot, look.at_us)
        else:
            at_s = look.device_us / 1e6
        self._findings.add("changed", look.device, serial, at_s, text)


def _difference(told: Mapping[str, Value], stored: Mapping[str, Value]) -> list[str]:
    """What differs, a sentence each. Points that the station did not speak of are not compared."""
    wrong = []
    for point, said in told.items():
        if point not in stored:
            wrong.append(f"{point}: {said!r} was not stored")
        elif not _same(said, stored[point]):
            wrong.append(f"{point}: {said!r} was stored as {stored[point]!r}")
    return wrong


def _same(said: Value, stored: Value) -> bool:
    if isinstance(stored, bytes):
        return stored.hex() == said
    if isinstance(said, str) and isinstance(stored, str) and said != stored:
        return _base64(said) == stored  # bytes, as JSON lines keep them
    if isinstance(said, int | float) and isinstance(stored, int | float):
        return said == stored or abs(said - stored) <= max(_TOLERANCE * abs(said), _TOLERANCE)
    return said == stored


def _base64(written: str) -> str | None:
    try:
        return b64encode(bytes.fromhex(written)).decode()
    except ValueError:
        return None
