"""What a site file says of catching up after an outage, and whether it ever would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from headgate.config import Site

#: Bytes of a sealed record for one polled point, about: bench figures lie between 1 and 3.
_POINT_BYTES: Final = 2.5
#: And for the record itself, one per `max_loss` at most.
_RECORD_BYTES: Final = 150.0


def paces(site: Site, points_s: float) -> Iterator[tuple[str, dict[str, object]]]:
    """A message for each uplink, and one more where the backlog would grow for ever.

    Args:
        points_s: what the site measures.
    """
    made = points_s * _POINT_BYTES + (_RECORD_BYTES / site.state.max_loss.s if points_s else 0.0)
    for entry in site.uplink:
        if not entry.enabled:
            continue
        share = site.state.history_share if entry.history_share is None else entry.history_share
        rate = entry.history_rate or site.state.history_rate
        yield "HG-4030", {"uplink": entry.id, "share": f"{share:.0%}", "rate": f", {rate}/s"}
        if rate.bytes < made:
            hours = f"{made / rate.bytes:.1f}"
            fields = {"uplink": entry.id, "rate": str(rate), "made": round(made), "hours": hours}
            yield "HG-4031", fields
