"""The hand that writes: lines into files, each hanging on the one before, durable when `write` returns.

All of it in the log's own thread. A file is written by one start only; a new start, a full file, a
refusal of the disk and a file that is not what was written begin a new one, whose first line says why and
what is known of what lies before: `log-opened`, `log-torn` or `log-break`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from headgate.audit.entry import Entry
from headgate.audit.files import LogFolder
from headgate.audit.head import Head, Signer, statement
from headgate.audit.line import NOTHING, Field, Line, encode, json_text
from headgate.env import AppendFile, ClockState

FORMAT: Final = 1
#: How often a batch is tried again in a new file when somebody takes the file away under it.
_TRIES: Final = 3


class Instant(msgspec.Struct, frozen=True):
    """When an entry was made: boottime, wall time, and how far that can be trusted."""

    at: int
    boot: bytes
    wall: int
    clock: ClockState


class Place(msgspec.Struct, frozen=True):
    """The end of the chain: the log's name, the last durable entry, its digest, and where it ends."""

    log: str
    seq: int = 0
    sm3: str = NOTHING
    file: int = 0
    end: int = 0


class Cause(msgspec.Struct, frozen=True):
    """Why a file begins that follows on no sound end: becomes fields of its first line.

    `torn`: bytes of a write that nobody was told of; nothing that was confirmed is missing.
    Entries `lost_from` to `lost_to` were confirmed and cannot be read any more.
    """

    reason: str
    text: str = ""
    torn: bool = False
    lost_from: int | None = None
    lost_to: int | None = None


class Start(msgspec.Struct, frozen=True):
    """Where a log goes on: the end of its chain, the next numbers of entry and file, and a cause."""

    place: Place
    next_seq: int
    next_file: int
    cause: Cause | None = None
    known: dict[int, int] = {}


class Pen:
    """Appends to the log.

    Args:
        instant: what the clocks say now.
        large: a file is closed when it has this many bytes, and when it is `long_us` old.
    """

    def __init__(
        self,
        folder: LogFolder,
        gateway: str,
        version: str,
        sm3: Callable[[bytes], bytes],
        instant: Callable[[], Instant],
        start: Start,
        *,
        large: int,
        long_us: int,
    ) -> None:
        self._folder = folder
        self._gateway = gateway
        self._version = version
        self._sm3 = sm3
        self._instant = instant
        self._large = large
        self._long_us = long_us
        self._file: AppendFile | None = None
        self._open_number = 0
        self._next_file = start.next_file
        self._next_seq = start.next_seq
        self._first_seq = start.next_seq
        self._since_us = 0
        self._cause = start.cause
        #: The end of what is durable.
        self.place = start.place
        #: Files by number, and how long each should be.
        self.known = dict(start.known)
        #: Bytes, files that could not be gone on with, and breaks on record, since the start.
        self.written = self.abandoned = self.breaks = 0

    # ------------------------------------------------------------ writing

    def write(self, batch: Sequence[tuple[Entry, Instant]]) -> None:
        """Return when all of it is durable.

        Raises:
            OSError: none of it is to be counted on. The next write begins a new file.
        """
        for _ in range(_TRIES):
            try:
                if self._append(batch):
                    return
            except OSError as error:
                self._abandon(Cause("refused", str(error.strerror or error)))
                raise
            # Somebody took the file away or changed it under us: what is in it proves nothing.
            self._abandon(self._altered())
        raise OSError("the audit log is taken away as fast as it is written")

    def sign(self, signer: Signer) -> Head | None:
        """A signed head of what is durable, written into the log; None when there is nothing to sign.

        Raises:
            OSError, SecurityError: it is not in the log.
        """
        place = self.place
        if not place.seq:
            return None
        signature = signer.sign(statement(self._gateway, place.log, place.seq, place.sm3))
        head = Head(
            gateway=self._gateway, log=place.log, seq=place.seq, sm3=place.sm3,
            key=signer.key.hex(), signature=signature.hex(),
        )  # fmt: skip
        what = f"entry {head.seq}"
        entry = Entry(kind="log-head", who="gateway", what=what, result="ok", fields=head.fields())
        self.write([(entry, self._instant())])
        return head

    def close(self) -> None:
        """Close the file. What `write` returned for is durable anyway."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def begin_anew(self, cause: Cause) -> None:
        """The next write begins a file, and says why."""
        self._abandon(cause)

    # ------------------------------------------------------------ one file

    def _append(self, batch: Sequence[tuple[Entry, Instant]]) -> bool:
        """Write and sync; False when the file is then not what was written."""
        files, folder = self._folder.files, self._folder.folder
        now_us = self._instant().at
        size = self.place.end
        if self._file is not None and (
            size >= self._large or now_us - self._since_us >= self._long_us
        ):
            self.close()
        place, lines = self.place, list[bytes]()
        if fresh := self._file is None:
            size = 0
            files.make_folder(folder, 0o750)
            # Never into a file that is there, whoever put it there.
            number = max(self._next_file, *(n + 1 for n in self._folder.numbers()), 1)
            rest = self._rest(number)
            self._next_file = number + 1
            self._open_number = number
            self._first_seq, self._since_us = self._next_seq, now_us
            self._file = files.append(self._folder.path(number))
            place = msgspec.structs.replace(place, file=number, end=0)
            place = self._line(lines, place, self._opening(number, rest), self._instant())
        for entry, instant in batch:
            place = self._line(lines, place, entry, instant)
        whole = b"".join(lines)
        assert self._file is not None
        self._file.write(whole)
        self._file.sync()
        if fresh:
            files.sync_folder(folder)
            files.sync_folder(folder.parent)
        self.written += len(whole)
        if self._folder.size(place.file) != place.end:
            return False
        if fresh and self._cause is not None and not self._cause.torn:
            self.breaks += 1
        self.place, self._cause = place, None
        self.known[place.file] = place.end
        return True

    def _line(self, lines: list[bytes], place: Place, entry: Entry, instant: Instant) -> Place:
        # A number is burned when it is given out: one that a refusing disk took is never used again.
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        text = json_text(
            Line(
                seq=seq, at=instant.at, boot=instant.boot.hex(), wall=instant.wall,
                clock=instant.clock, kind=entry.kind, who=entry.who, what=entry.what,
                result=entry.result, code=entry.code, fields=entry.fields, previous=place.sm3,
            )
        )  # fmt: skip
        lines.append(encode(text))
        end = place.end + len(lines[-1])
        return Place(place.log, seq, self._sm3(text).hex(), place.file, end)

    def _opening(self, number: int, rest: dict[str, Field]) -> Entry:
        fields: dict[str, Field] = {
            "format": FORMAT, "gateway": self._gateway, "log": self.place.log, "file": number,
            "version": self._version,
        }  # fmt: skip
        cause = self._cause
        if cause is None:
            return Entry(
                kind="log-opened", who="gateway", what=f"file {number}", result="ok", fields=fields
            )
        fields |= {"reason": cause.reason, "text": cause.text, **rest}
        if cause.lost_from is not None:
            fields |= {"lost_from": cause.lost_from, "lost_to": cause.lost_to}
        kind, result = ("log-torn", "ok") if cause.torn else ("log-break", "failed")
        return Entry(kind=kind, who="gateway", what=f"file {number}", result=result, fields=fields)

    # ------------------------------------------------------------ when something is wrong

    def _rest(self, before: int) -> dict[str, Field]:
        """What lies behind the end of the chain in older files: told, so that nothing can be slipped in."""
        if self._cause is None:
            return {}
        data = b""
        try:
            for number in self._folder.numbers():
                if self.place.file <= number < before:
                    start = self.place.end if number == self.place.file else 0
                    data += self._folder.read(number)[start:]
        except OSError:
            return {"rest_bytes": None, "rest_sm3": None}
        return {"rest_bytes": len(data), "rest_sm3": self._sm3(data).hex()}

    def _altered(self) -> Cause:
        """What can be said of a file that is not what was written."""
        text = "a file was changed or taken away while it was written"
        if self.place.file not in self.known:  # the very first write: nothing was confirmed
            return Cause("altered", text)
        size = self._folder.size(self.place.file)
        if size is None:
            del self.known[self.place.file]  # told here, and not again as missing
        elif size >= self.place.end:
            return Cause("altered", text)
        return Cause("altered", text, lost_from=self._first_seq, lost_to=self.place.seq)

    def _abandon(self, cause: Cause) -> None:
        """Never again into this file: after a failed fsync nobody knows what of it is on disk."""
        self.close()
        self.abandoned += 1
        if self._open_number != self.place.file:
            # Nothing in it was ever confirmed: a full disk must not fill with the beginnings of files.
            with suppress(OSError):
                self._folder.files.remove(self._folder.path(self._open_number))
        # A cause that is not on record yet is the older one, and says more.
        if self._cause is None or self._cause.torn:
            self._cause = cause
