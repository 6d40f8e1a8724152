"""What the driver keeps of one device: its layout, and what was learned by asking."""

from __future__ import annotations

from headgate.sdk import LineSettings
from headgate_drivers.modbus.plan import Layout
from headgate_drivers.modbus.points import Line

#: A request that fails this often in a row while others are answered is asked more and more seldom.
PATIENCE = 3
#: ... down to one look in this many.
SELDOM = 64


class ModbusPlan:
    """What the driver keeps of one device: its layout, and what was learned by asking."""

    def __init__(self, unit: int, layout: Layout, line: Line = Line()) -> None:  # noqa: B008 - a value
        self.unit = unit
        self.layout = layout
        self.line = line
        #: The line settings of its transactions, worked out for the channel with this URL.
        self.settings: LineSettings | None = None
        self.line_url = ""
        #: How often a request that crossed a hole was refused and cut.
        self.splits = 0
        #: The request that was answered last: asked first, because it shows whether anybody is there.
        self.lead = 0
        #: Requests that go unanswered while others do not: (failures in a row, looks to let pass).
        self.mute: dict[int, tuple[int, int]] = {}
        #: Requests that were answered as they are: no hole of theirs is one to the device.
        self.proved: set[int] = set()

    def split(self, index: int) -> None:
        """Cut a request at its holes, for good."""
        self.layout = self.layout.split(index)
        self.splits += 1
        self.lead = 0
        self.mute = {}
        self.proved = set()

    def neglect(self, index: int) -> None:
        """A request went unanswered while another was not: ask it more seldom if that goes on."""
        failures = self.mute.get(index, (0, 0))[0] + 1
        pause = 0 if failures < PATIENCE else min(SELDOM, 2 ** (failures - PATIENCE + 1)) - 1
        self.mute[index] = failures, pause

    def order(self) -> list[int]:
        """The requests in the order to ask them."""
        rest = range(len(self.layout.requests))
        return [self.lead, *(i for i in rest if i != self.lead)]
