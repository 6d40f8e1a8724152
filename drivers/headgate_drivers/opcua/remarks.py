"""What is not as it should be while the line is up: once in the log, in `headgate status` while it lasts."""

from __future__ import annotations

import logging

from headgate.sdk import Channel

log = logging.getLogger(__name__)


class Remarks:
    """The remarks of one line, by their code in the catalogue."""

    def __init__(self, line: Channel, logged: set[str]) -> None:
        """`logged`: what an earlier connection said already; kept up to date."""
        self._line = line
        self._logged = logged
        self._now: dict[str, str] = {}

    def say(self, code: str, text: str, **fields: object) -> None:
        """From now on this is so."""
        before = self._now.get(code)
        if before == text:
            return
        self._now[code] = text
        if f"{code} {text}" not in self._logged:
            self._logged.add(f"{code} {text}")
            log.warning(text, extra={"code": code, "channel": self._line.id, **fields})
        self.tell()

    def over(self, code: str) -> None:
        """It is so no more."""
        if self._now.pop(code, None) is not None:
            self._logged -= {said for said in self._logged if said.startswith(code)}
            log.info("no more: %s", code, extra={"channel": self._line.id})
            self.tell()

    def tell(self) -> None:
        """Have them shown beside the line's state."""
        report = getattr(self._line, "report", None)
        if report is not None:
            report("up", "; ".join(f"{code}: {text}" for code, text in sorted(self._now.items())))
