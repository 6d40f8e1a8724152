"""Which platforms were reached and which were refused, as entries of the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from headgate.audit import Entry
from headgate.runtime.delivery import UplinkStatus

#: States of an uplink whose connection stands, whatever else may be wrong.
_CONNECTED: Final = frozenset({"online", "no receipts", "refused", "holding", "locked"})
#: What one end held against the other: certificates, suites, log-ins. A line that is merely down is none.
_REFUSALS: Final = frozenset(
    f"HG-50{number}" for number in (11, 13, 14, *range(60, 72), 73, 74, 82, 85)
)


class PeerWatch:
    """Told how the uplinks stand, again and again; an entry each time that changes.

    Args:
        tell: takes an entry without waiting.
    """

    def __init__(self, tell: Callable[[Entry], None]) -> None:
        self._tell = tell
        self._connected: set[str] = set()
        self._refused: dict[str, str] = {}

    def look(self, uplinks: Iterable[UplinkStatus]) -> None:
        """Compare with the look before."""
        for uplink in uplinks:
            connected = uplink.state in _CONNECTED
            if connected and uplink.id not in self._connected:
                self._connected.add(uplink.id)
                self._refused.pop(uplink.id, None)
                self._say("peer-connected", uplink.id, "ok", "")
            elif not connected:
                self._connected.discard(uplink.id)
            code = uplink.code or ""
            # The same refusal at every try is one event; another reason is another one.
            if not connected and code in _REFUSALS and self._refused.get(uplink.id) != code:
                self._refused[uplink.id] = code
                self._say("peer-refused", uplink.id, "refused", code)

    def _say(self, kind: str, uplink: str, result: str, code: str) -> None:
        self._tell(
            Entry(kind=kind, who="gateway", what=f"uplink {uplink}", result=result, code=code)
        )
