"""Is a log what was written? Every changed, removed, added or moved byte is found, by entry and time.

    checker = Checker(sm3, keys, heads)
    for number in folder.numbers():
        checker.feed(number, folder.read(number))
    report = checker.finish()

What no file can show by itself is a tail that was cut off at the end of a line, or a log rewritten from
some entry on by whoever holds the key: for those there are the heads that travelled up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from headgate.audit.head import Head, from_fields
from headgate.audit.line import NOTHING, Field, Found, Line, scan

#: Files whose bytes are kept while the next begins: a start may go on from before the newest.
_MOST_HELD: Final = 8

Verify = Callable[[bytes, bytes], bool]


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was written: a sentence of the catalogue, and where in the log.

    `wall_us` is the time of the nearest sound entry before; `grave` is False where the log itself says so
    and nothing that was confirmed is missing.
    """

    code: str
    file: int
    offset: int
    wall_us: int | None
    fields: dict[str, Field]
    grave: bool = True


class Report(msgspec.Struct, frozen=True):
    """What a check found. `unknown_keys`: heads whose key was not given to check them with."""

    gateway: str
    log: str
    entries: int
    first: Line | None
    last: Line | None
    heads: int
    unknown_keys: int
    compared: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not any(finding.grave for finding in self.findings)


class _End(msgspec.Struct, frozen=True):
    """The end of the chain after one entry."""

    line: Line
    sm3: str
    file: int
    end: int


class Checker:
    """Goes over a log file by file.

    Args:
        keys: how a signature of each known key is verified, by the hexadecimal SM3 of its public key.
        heads: what is known elsewhere of this gateway's logs.
    """

    def __init__(
        self,
        sm3: Callable[[bytes], bytes],
        keys: Mapping[str, Verify] | None = None,
        heads: Iterable[Head] = (),
    ) -> None:
        self._sm3 = sm3
        self._keys = keys or {}
        self._known: dict[tuple[str, int], list[Head]] = {}
        for head in heads:
            self._known.setdefault((head.log, head.seq), []).append(head)
        self._held: list[tuple[int, bytes]] = []
        self._ends: dict[str, _End] = {}
        self._end: _End | None = None
        self._findings: list[Finding] = []
        self._dropped: dict[str, int] = {}
        self._lost: list[tuple[int, int]] = []
        self._first: Line | None = None
        self._gateway = self._log = ""
        self._logs: dict[str, int] = {}
        self._entries = self._compared = 0
        #: Each head once, whether it stands in the log, the platform sent it, or both.
        self._heads: set[tuple[str, int, str, str]] = set()
        self._unknown: set[tuple[str, int, str, str]] = set()

    # ------------------------------------------------------------ file by file

    def feed(self, number: int, data: bytes) -> None:
        """The next file, by rising number."""
        self._held = [*self._held[1 - _MOST_HELD :], (number, data)]
        oldest = self._held[0][0]
        self._ends = {sm3: end for sm3, end in self._ends.items() if end.file >= oldest}
        unread: int | None = None
        opening = True
        for item in scan(data):
            if not isinstance(item, Found):
                unread = item.offset
                after = self._end.line.seq if self._end else 0
                self._find(
                    "HG-9310", number, item.offset,
                    file=number, first=item.offset, last=item.end - 1, after=after,
                )  # fmt: skip
                continue
            if opening and item.line.kind in ("log-torn", "log-break"):
                self._go_on(number, item.line)
            self._link(number, item, unread is not None)
            self._take(number, item)
            unread, opening = None, False

    def unreadable(self, number: int, reason: str) -> None:
        """A file that the disk does not give."""
        self._find("HG-9323", number, 0, file=number, reason=reason)

    def _go_on(self, number: int, line: Line) -> None:
        """A file that begins after something went wrong: what lies behind the place it names is told."""
        place = self._ends.get(line.previous)
        if place is not None:
            rest = b"".join(
                data[place.end if each == place.file else 0 :]
                for each, data in self._held
                if place.file <= each < number
            )
            self._back_to(place)
            bytes_, sm3 = line.fields.get("rest_bytes"), line.fields.get("rest_sm3")
            if bytes_ is not None and (len(rest), self._sm3(rest).hex()) != (bytes_, sm3):
                self._find("HG-9319", number, 0, seq=line.seq, kind=line.kind)
        first, last = line.fields.get("lost_from"), line.fields.get("lost_to")
        reason = f"{line.fields.get('reason')}: {line.fields.get('text')}"
        if isinstance(first, int) and isinstance(last, int):
            self._lost.append((first, last))
            self._find("HG-9318", number, 0, seq=line.seq, first=first, last=last, reason=reason)
        elif line.kind == "log-break":
            self._find("HG-9324", number, 0, grave=False, seq=line.seq, reason=reason)

    def _back_to(self, place: _End) -> None:
        """What lies behind this place was never confirmed: nothing is found against it."""
        self._end = place
        here = (place.file, place.end)
        self._findings = [f for f in self._findings if (f.file, f.offset) < here]
        behind = [sm3 for sm3, end in self._ends.items() if (end.file, end.end) > here]
        for sm3 in behind:
            del self._ends[sm3]
        self._entries -= len(behind)

    def _link(self, number: int, item: Found, after_unread: bool) -> None:
        """Whether an entry hangs on the one before."""
        line, before = item.line, self._end
        if before is None:
            self._first = line
            return
        explained = line.kind in ("log-torn", "log-break")
        if line.previous == before.sm3 and (line.seq == before.line.seq + 1 or explained):
            return
        where = (number, item.offset)
        if explained and line.previous == NOTHING and line.fields.get("log") != self._log:
            return  # a log begun anew, which its first line says, and what is lost with it
        if line.seq > before.line.seq + 1:
            if not after_unread or line.seq > before.line.seq + 2:
                first, last = before.line.seq + 1, line.seq - 1
                self._find("HG-9312", *where, first=first, last=last)
        elif line.seq == before.line.seq + 1:
            self._find("HG-9311", *where, seq=before.line.seq, next=line.seq)
        else:
            self._find("HG-9313", *where, seq=line.seq)

    def _take(self, number: int, item: Found) -> None:
        line = item.line
        digest = self._sm3(item.text).hex()
        if line.kind in ("log-opened", "log-torn", "log-break"):
            self._gateway = str(line.fields.get("gateway", ""))
            self._log = str(line.fields.get("log", ""))
        elif line.kind == "log-dropped":
            if isinstance(last := line.fields.get("to_seq"), int):
                self._dropped[str(line.fields.get("sm3"))] = last
        elif line.kind == "log-head":
            self._head(number, item)
        self._end = _End(line, digest, number, item.end)
        self._ends[digest] = self._end
        self._entries += 1
        self._logs[self._log] = line.seq
        for head in self._known.pop((self._log, line.seq), ()):
            self._compared += 1
            if head.sm3 != digest:
                self._find("HG-9315", number, item.offset, seq=line.seq)
            else:
                self._signature(number, item.offset, head)

    def _head(self, number: int, item: Found) -> None:
        line = item.line
        head = from_fields(self._gateway, line.fields)
        if head is None or head.log != self._log or not self._stands(head, line):
            self._heads.add(("", line.seq, "", ""))
            self._find("HG-9316", number, item.offset, seq=line.seq)
            return
        self._signature(number, item.offset, head)

    def _stands(self, head: Head, line: Line) -> bool:
        """Whether a head is of an entry that stands before it, as far as those are here."""
        end, first = self._ends.get(head.sm3), self._first
        if end is not None:
            return end.line.seq == head.seq
        before = (line.seq - 1, line.previous)
        if first is not None and first.previous == head.sm3:
            before = (first.seq - 1, first.previous)
        return (head.seq, head.sm3) == before

    def _signature(self, number: int, offset: int, head: Head) -> None:
        name = (head.log, head.seq, head.sm3, head.key)
        self._heads.add(name)
        verify = self._keys.get(head.key)
        if verify is None:
            self._unknown.add(name)
            return
        try:
            good = verify(bytes.fromhex(head.signature), head.message())
        except ValueError:
            good = False
        if not good:
            self._find("HG-9316", number, offset, seq=head.seq)

    def _find(
        self, code: str, file: int, offset: int, /, *, grave: bool = True, **fields: Field
    ) -> None:
        wall = self._end.line.wall if self._end is not None else None
        self._findings.append(Finding(code, file, offset, wall, fields, grave))

    # ------------------------------------------------------------ at the end

    def finish(self, remembered: int = 0) -> Report:
        """What was found.

        Args:
            remembered: number of an entry that was durable, from outside the log.
        """
        first, end = self._first, self._end
        if (
            first is not None
            and first.previous != NOTHING
            and first.kind != "log-break"  # which tells what is lost
            and self._dropped.get(first.previous) != first.seq - 1
        ):
            self._find("HG-9317", 0, 0, seq=first.seq)
        last = end.line.seq if end is not None else 0
        file = end.file if end is not None else 0
        beyond = max(remembered, *(seq for log, seq in self._known if log == self._log), 0)
        if beyond > last:
            self._find("HG-9314", file, 0, seq=last, known=beyond)
        for log, seq in self._known:
            if log not in self._logs:
                self._find("HG-9320", file, 0, log=log, seq=seq)
            elif seq < last and (first is None or seq >= first.seq) and not self._is_lost(seq):
                self._find("HG-9312", file, 0, first=seq, last=seq)
        return Report(
            self._gateway, self._log, self._entries, first, end.line if end else None,
            len(self._heads), len(self._unknown), self._compared, tuple(self._findings),
        )  # fmt: skip

    def _is_lost(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self._lost)
