"""Water quality: five bytes say which parameters follow, four bytes each.

The order and the decimals are those that makers publish for SZY 206; the text of the table was not at hand.
Compare a station's display with its values before they are relied upon (docs: SZY 206, what is not known).
"""

from __future__ import annotations

from headgate_drivers.szy206 import values
from headgate_drivers.szy206.items import Value
from headgate_drivers.szy206.values import Form

MASK = 5
#: Of one bacterium count the number has ten digits, in SZY 206.
LONG = 24

PARAMETERS: dict[int, tuple[str, int, str]] = {
    0: ("water_temperature", 1, "°C"), 1: ("ph", 2, ""), 2: ("dissolved_oxygen", 1, "mg/L"),
    3: ("permanganate_index", 1, "mg/L"), 4: ("conductivity", 0, "uS/cm"), 5: ("orp", 1, "mV"),
    6: ("turbidity", 0, "NTU"), 7: ("cod", 1, "mg/L"), 8: ("bod5", 1, "mg/L"),
    9: ("ammonia_nitrogen", 2, "mg/L"), 10: ("total_nitrogen", 2, "mg/L"), 11: ("copper", 4, "mg/L"),
    12: ("zinc", 4, "mg/L"), 13: ("fluoride", 2, "mg/L"), 14: ("selenium", 5, "mg/L"),
    15: ("arsenic", 5, "mg/L"), 16: ("mercury", 5, "mg/L"), 17: ("cadmium", 5, "mg/L"),
    18: ("chromium_vi", 3, "mg/L"), 19: ("lead", 5, "mg/L"), 20: ("cyanide", 3, "mg/L"),
    21: ("volatile_phenol", 3, "mg/L"), 22: ("phenol", 3, "mg/L"), 23: ("sulfide", 3, "mg/L"),
    24: ("faecal_coliforms", 0, "/L"), 25: ("sulfate", 2, "mg/L"), 26: ("chloride", 2, "mg/L"),
    27: ("nitrate_nitrogen", 2, "mg/L"), 28: ("iron", 2, "mg/L"), 29: ("manganese", 2, "mg/L"),
    30: ("oil", 2, "mg/L"), 31: ("anionic_surfactant", 2, "mg/L"),
}  # fmt: skip


def present(raw: bytes) -> list[int]:
    """Which parameters the mask names."""
    mask = int.from_bytes(raw[:MASK], "little")
    return [bit for bit in range(MASK * 8) if mask >> bit & 1]


def fits(raw: bytes) -> bool:
    """Whether the values are as long as the mask says."""
    if len(raw) < MASK:
        return False
    named = present(raw)
    rest = len(raw) - MASK - 4 * len(named)
    return rest == 0 or (rest == 1 and LONG in named)


def read(raw: bytes) -> list[Value]:
    """The parameters that are there; what has no name is `quality_BIT`, in steps of its last digit."""
    named = present(raw)
    long = len(raw) - MASK - 4 * len(named)
    found, at = [], MASK
    for bit in named:
        size = 4 + (long if bit == LONG else 0)
        name, form = _form(bit, size)
        found.append(values.read(name, form, raw[at : at + size]))
        at += size
    return found


def write(told: list[Value]) -> bytes:
    """The mask and the parameters.

    Raises:
        ValueError: a name that is none.
    """
    bits = {_form(bit)[0]: bit for bit in range(MASK * 8)}
    try:
        by_bit = {bits[each.name]: each for each in told}
    except KeyError as error:
        raise ValueError(f"{error} is no parameter") from None
    mask = sum(1 << bit for bit in by_bit).to_bytes(MASK, "little")
    return mask + b"".join(values.write(_form(bit)[1], by_bit[bit]) for bit in sorted(by_bit))


def _form(bit: int, size: int = 4) -> tuple[str, Form]:
    name, decimals, unit = PARAMETERS.get(bit, (f"quality_{bit}", 0, ""))
    return name, Form(size, decimals, unit)
