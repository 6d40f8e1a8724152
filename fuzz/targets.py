"""All targets by name."""

from __future__ import annotations

from fuzz.adverts import ADVERTS
from fuzz.commands import COMMANDS
from fuzz.enrolment import ENROLMENT
from fuzz.lines import LINES
from fuzz.local import LOCAL
from fuzz.meters import METERS
from fuzz.packages import PACKAGES
from fuzz.papers import PAPERS
from fuzz.sealed import SEALED
from fuzz.stations import STATIONS
from fuzz.stored import STORED
from fuzz.target import Target
from fuzz.texts import TEXTS

TARGETS: dict[str, Target] = {
    **LINES,
    **LOCAL,
    **STATIONS,
    **METERS,
    **ADVERTS,
    **SEALED,
    **COMMANDS,
    **PAPERS,
    **ENROLMENT,
    **STORED,
    **TEXTS,
    **PACKAGES,
}
