"""One line of the audit log, and the seam through which the rooms write it."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One security event: who did what, and what came of it. When is added by whoever keeps the log.

    `kind` is a word of `docs/reference/audit.md` ("command-selected", "plugin-refused"); `who` an
    operator ("operator:wang.li"), a local user ("uid:1000"), or "gateway"; `what` the object
    ("pump-1/run = 1"); `result` "ok", "refused" or "failed". `code` is the sentence of the catalogue
    that says why. Nothing secret stands in any of them.
    """

    kind: str
    who: str
    what: str
    result: str
    code: str = ""
    fields: dict[str, str | int | float | bool | None] = {}


class Audit(Protocol):
    """Where entries go."""

    async def note(self, entry: Entry) -> None:
        """Return once the entry is on disk (fsync).

        Raises:
            SpoolError: the disk refuses. What must not happen unwritten must then not happen.
        """
