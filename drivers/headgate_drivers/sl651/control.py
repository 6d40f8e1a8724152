"""Data without an identifier: pumps, valves, gates, quota, version, event counters.

Tables 57, 71, 74, 77, 80 and 82. The same bytes go down as a command and come up as the state.
"""

from __future__ import annotations

from headgate_drivers.sl651 import values
from headgate_drivers.sl651.fields import Shape
from headgate_drivers.sl651.items import Events, Gates, Item, Quota, Switches, Version

#: Table 82: thirty-two counters of two bytes.
EVENT_COUNTERS = 32
ON, OFF = 0xFF, 0x00


def read(shape: Shape, data: bytes) -> Item | str:
    """What `data` say, or what is wrong with them."""
    if shape is Shape.EVENTS:
        if len(data) != 2 * EVENT_COUNTERS:
            return f"{len(data)} bytes of event counters"
        pairs = zip(data[::2], data[1::2], strict=True)
        return Events(tuple(hi << 8 | lo for hi, lo in pairs))
    if shape is Shape.QUOTA:
        if data not in (bytes([ON]), bytes([OFF])):
            return f"the quota is neither on nor off: {data[:4].hex()}"
        return Quota(data[0] == ON)
    if shape is Shape.GATES:
        return _gates(data)
    if not data or len(data) != 1 + data[0]:
        return f"{len(data) - 1} bytes where {data[0] if data else 1} are announced"
    return Switches(data[1:]) if shape is Shape.SWITCHES else Version(data[1:])


def _gates(data: bytes) -> Gates | str:
    count = data[0] if data else 0
    bits = (count + 7) // 8
    states, rest = data[1 : 1 + bits], data[1 + bits :]
    # A command may leave the openings out; a state has one for each gate.
    if len(states) != bits or len(rest) not in (0, 2 * count):
        return f"{len(data)} bytes for {count} gates"
    digits = [rest[at : at + 2].hex().upper() for at in range(0, len(rest), 2)]
    if not all(d.isdecimal() or values.no_data(d) for d in digits):
        return "an opening that is no number"
    return Gates(
        open=tuple(bool(states[gate // 8] >> gate % 8 & 1) for gate in range(count)),
        openings=tuple(int(d) if d.isdecimal() else None for d in digits),
    )


def write(item: Switches | Gates | Quota | Events | Version) -> bytes:
    """The bytes of one datum.

    Raises:
        ValueError: more than one byte can count, or an opening that has no room in four digits.
    """
    if isinstance(item, Quota):
        return bytes([ON if item.on else OFF])
    if isinstance(item, Events):
        return b"".join(count.to_bytes(2, "big") for count in item.counts)
    if isinstance(item, Gates):
        if item.openings and len(item.openings) != len(item.open):
            raise ValueError(f"{len(item.openings)} openings of {len(item.open)} gates")
        states = bytearray((len(item.open) + 7) // 8)
        for gate, is_open in enumerate(item.open):
            states[gate // 8] |= is_open << gate % 8
        openings = "".join(values.digits_of(o, 2, 0) for o in item.openings)
        return bytes([len(item.open)]) + states + bytes.fromhex(openings)
    return bytes([len(item.data)]) + item.data
