"""What a CA has issued and taken back: a file of lines that only grows, and that a person can read.

Each line is one JSON object. The file is written whole and renamed, so a power cut leaves the lines
of before or those of after; a line stands there, on disk, before its certificate exists anywhere
else. So the register may name a certificate that nobody ever got, and never lacks one that somebody has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

from headgate.crypto.authority.keyfile import unusable
from headgate.crypto.crl import Reason, Revoked
from headgate.crypto.x509 import Names, Role
from headgate.env import Files
from headgate.errors import SecurityError

FILE: Final = "register.jsonl"
_MAX_FILE: Final = 256 * 1024 * 1024


class State(Enum):
    """Where a certificate is in its life."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Founded(msgspec.Struct, frozen=True, kw_only=True, tag="founded", tag_field="event"):
    """The first line: what this CA writes into the names of everything it issues."""

    at: datetime
    name: str
    organization: str
    country: str
    crl_url: str | None = None


class Issued(msgspec.Struct, frozen=True, kw_only=True, tag="issued", tag_field="event"):
    """One certificate. Digests are SM3, in hex; serial numbers are hex."""

    at: datetime
    serial: str
    role: Role
    name: str
    not_before: datetime
    not_after: datetime
    key: str
    """SM3 of SubjectPublicKeyInfo."""
    certificate: str
    """SM3 of the DER."""
    names: Names = Names()
    replaces: str | None = None
    """The serial of the certificate that this one renews."""
    pair: str | None = None
    """The serial of the other certificate of a pair."""


class RevokedEntry(msgspec.Struct, frozen=True, kw_only=True, tag="revoked", tag_field="event"):
    """A certificate taken back, for good."""

    at: datetime
    serial: str
    reason: str


class Listed(msgspec.Struct, frozen=True, kw_only=True, tag="crl", tag_field="event"):
    """A revocation list; its number is never used again, whatever became of the list."""

    at: datetime
    number: int
    next_update: datetime


Event = Founded | Issued | RevokedEntry | Listed
_DECODER: Final = msgspec.json.Decoder(Event)


class Register:
    """The register of the CA in a folder. One writer at a time: whoever holds the CA's lock.

    Raises:
        SecurityError: the file is not there, cannot be read, or is damaged.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self.path = folder / FILE
        self._content = b""
        self._take(b"")
        self.refresh()
        self.founded  # noqa: B018 - a register begins with it

    @classmethod
    def begin(cls, files: Files, folder: Path, founded: Founded) -> Register:
        """A new register with its first line."""
        path = folder / FILE
        try:
            files.replace(path, _line(founded), 0o644)
        except OSError as error:
            raise unusable(path, error) from None
        return cls(files, folder)

    def refresh(self) -> None:
        """Read what others have written since."""
        try:
            size = self._files.size(self.path)
            if size == len(self._content) and size:
                return
            content = self._files.read(self.path, 0, _MAX_FILE)
        except OSError as error:
            raise unusable(self.path, error) from None
        self._take(content)

    def append(self, *events: Event) -> None:
        """Return once all of `events` are on disk; either all of them are there, or none.

        Raises:
            SecurityError: the disk refuses; whether they are there is read from it again.
        """
        content = self._content + b"".join(map(_line, events))
        try:
            self._files.replace(self.path, content, 0o644)
        except OSError as error:
            self._content = b""
            raise unusable(self.path, error) from None
        self._content = content
        self._note(events)

    # ------------------------------------------------------------ what it says

    @property
    def founded(self) -> Founded:
        """What the CA is."""
        if self._founded is None:
            raise _damaged(self.path, 1)
        return self._founded

    @property
    def issued(self) -> Sequence[Issued]:
        """Everything issued, the oldest first."""
        return tuple(self._issued.values())

    @property
    def crl_number(self) -> int:
        """The highest number a revocation list was given; 0 before the first."""
        return self._crl_number

    def revoked(self) -> dict[int, Revoked]:
        """Everything taken back, as a revocation list wants it."""
        return {
            int(serial, 16): Revoked(entry.at, Reason[entry.reason])
            for serial, entry in self._revoked.items()
        }

    def find(self, serial: int | str) -> Issued | None:
        """The certificate with a serial number."""
        return self._issued.get(serial if isinstance(serial, str) else f"{serial:x}")

    def revocation(self, issued: Issued) -> RevokedEntry | None:
        """When and why a certificate was taken back; None while it was not."""
        return self._revoked.get(issued.serial)

    def state(self, issued: Issued, now: datetime) -> State:
        """Where a certificate is in its life."""
        if issued.serial in self._revoked:
            return State.REVOKED
        return State.EXPIRED if now > issued.not_after else State.VALID

    def of_name(self, name: str, role: Role | None = None) -> tuple[Issued, ...]:
        """What was issued to a name, the oldest first."""
        return tuple(
            issued for issued in self._by_name.get(name, ()) if role is None or issued.role is role
        )

    def of_key(self, key: str) -> tuple[Issued, ...]:
        """What was issued for a public key (SM3 of its SubjectPublicKeyInfo, hex)."""
        return tuple(self._by_key.get(key, ()))

    # ------------------------------------------------------------ inside

    def _take(self, content: bytes) -> None:
        self._founded: Founded | None = None
        self._issued: dict[str, Issued] = {}
        self._revoked: dict[str, RevokedEntry] = {}
        self._by_name: dict[str, list[Issued]] = {}
        self._by_key: dict[str, list[Issued]] = {}
        self._crl_number = 0
        lines = content.split(b"\n")
        if lines.pop() != b"":
            raise _damaged(self.path, len(lines) + 1)
        for number, line in enumerate(lines, 1):
            try:
                self._note([_DECODER.decode(line)])
            except (msgspec.DecodeError, KeyError):
                raise _damaged(self.path, number) from None
        self._content = content

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Founded():
                    self._founded = event
                case Issued():
                    self._issued[event.serial] = event
                    self._by_name.setdefault(event.name, []).append(event)
                    self._by_key.setdefault(event.key, []).append(event)
                case RevokedEntry():
                    Reason[event.reason]  # a reason we do not know is a damaged line
                    self._revoked.setdefault(event.serial, event)
                case Listed():
                    self._crl_number = max(self._crl_number, event.number)


def _line(event: Event) -> bytes:
    return msgspec.json.encode(event) + b"\n"


def _damaged(path: Path, line: int) -> SecurityError:
    return SecurityError(
        f"{path}, line {line}: not a line of a register", code="HG-6213", path=str(path), line=line
    )
