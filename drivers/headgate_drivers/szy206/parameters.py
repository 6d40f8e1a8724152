"""What the data of a setting, a control, a question or its answer says: 10 to 34, 50 to 65, 90 to B2.

A setting and its question have one layout; some answers hold more (what is left besides what was paid), or
end with the two words of a report. Nothing is judged: what does not fit a layout is None.
"""

from __future__ import annotations

from headgate_drivers.szy206 import layouts
from headgate_drivers.szy206.frames import Afn
from headgate_drivers.szy206.items import Edition, Value
from headgate_drivers.szy206.layouts import LAYOUTS, Found
from headgate_drivers.szy206.particulars import PARTICULAR

#: What says that a setting was done (90, 30 to 33).
DONE = 0x5A
#: Down they say nothing, up they say that it is done.
_SWITCHES = (Afn.CARD_ON, Afn.CARD_OFF, Afn.QUOTA_ON, Afn.QUOTA_OFF)
#: Questions that are asked with nothing but their function: 61 says which picture, B1 and B2 from when to
#: when.
_BARE = {afn for afn in Afn if 0x50 <= afn <= 0x65 and afn != Afn.PICTURE_RECORD} | {Afn.ASK_VALUES}
QUESTIONS = frozenset(_BARE | {Afn.PICTURE_RECORD, Afn.ASK_STORED, Afn.ASK_MEMORY})
#: With password and time label.
COMMANDS = frozenset(
    afn for afn in Afn if 0x10 <= afn <= 0x4F or 0x90 <= afn <= 0x9F or 0xA0 <= afn <= 0xAF
)


def read(afn: int, raw: bytes, edition: Edition, *, up: bool) -> Found | None:
    """What these bytes say, without password and time label; None: they are not of this function."""
    if not up and afn in _BARE:
        return Found() if not raw else None
    special = PARTICULAR.get(afn)
    if special is not None:
        return special(raw, edition, up)
    if up and afn in (Afn.RESET, *_SWITCHES) and raw == bytes([DONE]):
        return Found((Value("done", 1.0),))
    if afn in _SWITCHES:
        return Found() if not raw and not up else None
    if not raw and not up and afn in (Afn.SWITCH_MODEM, Afn.SWITCH_RELAY):
        return Found()
    layout = LAYOUTS.get(afn)
    return None if layout is None else layouts.read(layout, raw, edition, up=up)
